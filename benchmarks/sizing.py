"""How large must it be for N users, and what does that cost? `python -m benchmarks.sizing`.

Arithmetic over measured figures, each with its source; past the largest measurement it is an extrapolation, on paper.
Without --quick it also measures what a user's row takes in a real Redis. Prices
are yours: every unit costs 1 unless you say (--price cpu=…), so that a total means nothing until you do.
"""

import argparse
import math
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import script
from benchmarks.script import Document
from feature_repo import env_names

SCALES = (10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
DAY_S, GIB = 86_400, 2**30
EVENTS_A_USER = 595  # 1.47 M lines of 2,469 households
UNITS = ("cpu", "memory_gib", "disk_gib")  # a core, a GiB of memory, a GiB of disk, each for a month


@dataclass(frozen=True)
class Measured:
    """What was measured, and where. Seconds are of one core."""

    door_cpu_s: float = 0.0050  # an answer, 8 clients: docs/figures.md, "How fast it serves"
    router_cpu_s: float = 0.0008  # what the router adds: the same table
    door_memory_gib: float = 0.58  # of the process tree: docs/serving.md
    row_bytes: float = 14_934.0  # a user's row in Redis, 595 events each: this script without --quick
    profile_cpu_s: float = 1057 / 100e6  # an event, newest rows, 100 M events out of core: docs/figures.md
    profile_events: float = 100e6  # the largest run measured on one machine
    materialise_rows_s: float = 10_000 / 28.6  # rows a second into SQLite: benchmarks.profiles --materialise
    train_cpu_s: float = 2 * 120.1 / 70_936  # a training row of the intent model, 6 epochs on 2 cores: docs/figures.md
    log_bytes: float = 35_000.0  # a line of the request log, 20 to 50 kB: bentos/recommender/logs/requestlog.py
    event_bytes: float = 400.0  # a line of the event log, with its mark


@dataclass(frozen=True)
class Load:
    """What users do: assumptions, to be replaced by your own."""

    active: float = 0.1  # share of users who come on a day
    requests: float = 10.0  # reads of an active user a day
    events: float = 5.0  # of an active user a day
    peak: float = 4.0  # the busiest second over the day's mean
    history_days: float = 365.0  # of events that profiles are made of
    headroom: float = 0.6  # share of a core or of a memory that is used on purpose
    sample: float = 1.0  # of answers that are logged
    log_days: float = 28.0  # that the store keeps
    train_users: float = 100_000.0  # at most so many users give training rows (profiles.train_users)
    train_rows: float = 29.0  # a user, as in the grocery's 70,936 rows of 2,469 users
    redis_gib: float = 25.0  # of one Redis: more takes long to load and to fail over


def size(users: int, measured: Measured, load: Load) -> Document:
    """Return what so many users need."""
    reads = users * load.active * load.requests / DAY_S * load.peak  # a second, at the peak
    doors = max(2, math.ceil(reads * measured.door_cpu_s / load.headroom))
    routers = max(2, math.ceil(reads * measured.router_cpu_s / load.headroom))
    store_gib = 2 * users * measured.row_bytes / GIB  # two vocabularies while a release changes it
    history = users * load.active * load.events * load.history_days
    trained = min(users, load.train_users) * load.train_rows
    logged = users * load.active * load.requests * load.sample
    return {
        "users": users,
        "reads_per_s_peak": round(reads, 1),
        "doors": doors,
        "routers": routers,
        "doors_memory_gib": round(doors * measured.door_memory_gib, 1),
        "store_gib": round(store_gib / load.headroom, 2),
        "store_shards": math.ceil(store_gib / load.headroom / load.redis_gib),
        "events_of_history": round(history),
        "profile_core_hours": round(history * measured.profile_cpu_s / 3600, 2),
        "materialise_hours": round(users / measured.materialise_rows_s / 3600, 2),
        "train_core_hours": round(trained * measured.train_cpu_s / 3600, 2),
        "request_log_gib_day": round(logged * measured.log_bytes / GIB, 2),
        "event_log_gib_day": round(users * load.active * load.events * measured.event_bytes / GIB, 3),
    }


def limits(sized: Mapping[str, Any], measured: Measured) -> list[dict[str, str]]:
    """Say what does not hold any more at this scale, worst first, and what takes over."""
    doubts = (
        (sized["materialise_hours"] / 4, "one writer of profiles needs hours",
         "write only what changed (it does), then several writers by hash of the user; not built"),
        (sized["events_of_history"] / measured.profile_events, "profiles on one machine",
         "Spark (profiles: {engine: spark}, docs/distributed.md)"),
        (float(sized["store_shards"]), "one Redis", "a Redis Cluster of store_shards; not tried"),
        (sized["doors"] / 20, "one Deployment of doors",
         "more nodes; the autoscaler's maximum; split models (components/split)"),
        (sized["request_log_gib_day"] / 100, "every answer logged", "serving: {log: {sample: 0.1}}"),
        (sized["train_core_hours"] / 24, "training on one machine",
         "a GPU, or TrainJob over several nodes (docs/distributed.md)"),
        (sized["event_log_gib_day"] / 1, "the event log on a pod's volume",
         "components/event-volume; shipping of events is not built"),
    )  # fmt: skip
    broken = sorted((times, what, then) for times, what, then in doubts if times > 1)
    return [{"what": what, "times_over": f"{times:.1f}", "then": then} for times, what, then in reversed(broken)]


def cost(sized: Mapping[str, Any], load: Load, prices: Mapping[str, float]) -> dict[str, float]:
    """Return units a month, and what they cost at these prices."""
    jobs = 30 * sized["profile_core_hours"] + 4 * sized["train_core_hours"]  # profiles daily, training weekly
    units = {
        "cpu": sized["doors"] + sized["routers"] + jobs / 720,
        "memory_gib": sized["doors_memory_gib"] / load.headroom + 0.1 * sized["routers"] + sized["store_gib"],
        "disk_gib": sized["request_log_gib_day"] * load.log_days + 365 * sized["event_log_gib_day"],
    }
    total = sum(units[name] * prices[name] for name in UNITS)
    return {name: round(units[name], 2) for name in UNITS} | {"a_month": round(total, 2)}


def measure(asked: argparse.Namespace) -> Document:
    """Size every scale."""
    measured, load = Measured(), _load(asked.load)
    rows: Document = {"measured": False}
    if not asked.quick:
        rows = {"measured": True, **redis_rows(asked.measured_users)}
        measured = Measured(row_bytes=rows["row_bytes"])
    prices = dict.fromkeys(UNITS, 1.0) | _pairs(asked.price, UNITS)
    scales = []
    for users in asked.users or SCALES:
        sized = size(users, measured, load)
        scales.append(sized | {"cost": cost(sized, load, prices), "breaks_first": limits(sized, measured)})
    return {"inputs": asdict(measured), "load": asdict(load), "prices": prices, "redis": rows, "scales": scales}


def redis_rows(users: int) -> Document:
    """Bring made profiles of so many users, each with as many events as the grocery's, into a Redis of its own."""
    import redis

    from benchmarks import online, servers
    from components.profiles.online import materialise

    with tempfile.TemporaryDirectory(prefix="intentflow-benchmark-") as folder:
        scratch, features = Path(folder), Path(folder) / "features"
        world = online._world(scratch, {"events": EVENTS_A_USER * users, "users": users, "weeks": 52})
        materialise.publish(world.profiles, features)
        with servers.running("redis", scratch) as server:
            os.environ[env_names.FEAST] = servers.settings(server.registry, server.online_store)
            host, _, port = server.online_store["connection_string"].partition(":")
            with redis.Redis(host, int(port)) as client:
                before = client.info("memory")["used_memory"]
                start = time.monotonic()
                materialise.run("sizing", features, materialise.folding(world.profiles))
                seconds = time.monotonic() - start
                taken = client.info("memory")["used_memory"] - before
    each = taken / len(world.users)
    return {"users": len(world.users), "row_bytes": round(each, 1), "rows_per_s": round(len(world.users) / seconds, 1)}


def _load(pairs: list[str]) -> Load:
    return Load(**(asdict(Load()) | _pairs(pairs, tuple(asdict(Load())))))


def _pairs(given: list[str], known: tuple[str, ...]) -> dict[str, float]:
    from feature_repo.errors import SpecError, nearest

    found = {}
    for pair in given:
        name, _, value = pair.partition("=")
        if name not in known:
            raise SpecError(f"'{name}' is not there; have {', '.join(known)}{nearest(name, list(known))}")
        try:
            found[name] = float(value)
        except ValueError as error:
            raise SpecError(f"{name}: '{value}' is no number; write {name}=1.5") from error
    return found


def text(document: Document) -> str:
    """Return the tables as Markdown."""
    head = ["users", "reads/s", "doors", "routers", "Redis GiB", "shards", "events", "profiles core-h",
            "materialise h", "training core-h", "request log GiB/day"]  # fmt: skip
    keys = ("users", "reads_per_s_peak", "doors", "routers", "store_gib", "store_shards", "events_of_history",
            "profile_core_hours", "materialise_hours", "train_core_hours", "request_log_gib_day")  # fmt: skip
    lines = [[f"{one['users']:,}", *(f"{one[key]:,}" for key in keys[1:])] for one in document["scales"]]
    broken = [
        f"{one['users']:,}: " + ("; ".join(f"{b['what']} ({b['times_over']} times over): {b['then']}"
                                           for b in one["breaks_first"]) or "nothing")
        for one in document["scales"]
    ]  # fmt: skip
    money = [[f"{one['users']:,}", *(f"{one['cost'][key]:,}" for key in (*UNITS, "a_month"))]
             for one in document["scales"]]  # fmt: skip
    return "\n\n".join(
        [script.table(head, lines), script.table(["users", *UNITS, "a month"], money), "\n".join(broken)]
    )


def _parser() -> argparse.ArgumentParser:
    made = script.parser(__doc__, trained=False)
    made.add_argument("--measured-users", type=int, default=1_000, help="users whose rows are brought into Redis")
    made.add_argument("--users", type=int, action="append", help="size this many; may be repeated")
    made.add_argument("--load", action="append", default=[], metavar="NAME=NUMBER", help="an assumption of Load")
    made.add_argument("--price", action="append", default=[], metavar="UNIT=PRICE", help=f"of {', '.join(UNITS)}")
    return made


if __name__ == "__main__":
    script.main(_parser(), measure, text)
