"""A change of the pseudonyms' key, on a copy of the shop: refused too early, complete afterwards, told in one line."""

import gzip
import json
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from benchmarks.servers import free_port
from components.policy.rewards import Kpi, attributed
from components.registry import aliases
from components.registry import client as mlflow_client
from feature_repo import files
from feature_repo.logs import object_store, shipped_log
from feature_repo.online import erase
from feature_repo.privacy import new_names
from feature_repo.privacy.new_names import NewNames
from feature_repo.privacy.pseudonyms import fingerprint, pseudonym
from feature_repo.privacy.tombstones import Tombstones
from pipelines.environment import FOLDER, Installation, place
from pipelines.graphs.parameters import run_parameters
from pipelines.privacy import rotate_key
from pipelines.releases.release import variables
from tests.pipelines.conftest import RAW, USER, Shop
from tests.pipelines.jobs.conftest import closed
from tests.pipelines.key_changes import NEW, OLD, changing, new, old
from tests.pipelines.privacy.test_forget import copy, intentflow

GONE = "somebody whom the source does not have"


def changed(shop: Shop) -> Path:
    """Write an environment with a new key and the shop's as the previous one."""
    document = yaml.safe_load((FOLDER / "local.yaml").read_text())
    old, new = shop.home / "secrets" / "pseudonym.key", shop.home / "secrets" / "pseudonym-2.key"
    new.write_text(secrets.token_hex(32))
    document["pseudonyms"] = {"key_file": str(new), "previous_key_file": str(old)}
    path = shop.folder / "changed.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture(scope="module")
def rotating(shop: Shop) -> Iterator[Shop]:
    made = copy(shop, "rota")
    yield made
    shutil.rmtree(made.folder, ignore_errors=True)


def keys(shop: Shop) -> tuple[str, str]:
    """Return the old and the new key."""
    names = ("pseudonym.key", "pseudonym-2.key")
    old, new = ((shop.home / "secrets" / name).read_text() for name in names)
    return old, new


def at(shop: Shop, environment: Path | str) -> Installation:
    return place(shop.spec, str(environment), variables=shop.environment())


def test_without_a_previous_key_there_is_nothing_to_complete(rotating: Shop) -> None:
    done = intentflow(rotating, "rotate", str(rotating.spec))
    assert done.returncode == 2
    assert done.stderr.startswith("intentflow: local: pseudonyms names no previous key")


def test_a_new_key_asks_for_the_data_anew_and_is_not_completed_before_a_run(rotating: Shop) -> None:
    environment = changed(rotating)
    before, after = (run_parameters(at(rotating, each)) for each in ("local", environment))
    assert [name for name in before if before[name] != after[name]] == ["source"]
    done = intentflow(rotating, "rotate", str(rotating.spec), "--env", str(environment))
    assert done.returncode == 2
    assert "`intentflow run" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def write_line(path: Path, **line: object) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as log:
        log.write(json.dumps(line, separators=(",", ":")) + "\n")


def as_if_run(shop: Shop, new: str) -> None:
    """Let the last run and the champion say that they were made under the new key, as a run would."""
    last = files.read_json(shop.home / "run.json")["folders"]
    snapshot = Path(last["clean"]) / "snapshot.json"
    files.write_json(snapshot, files.read_json(snapshot) | {"key": fingerprint(new)})
    with variables(at(shop, "local")), mlflow_client.connected() as client:
        champion = aliases.status("shop").holders["champion"]
        client.set_model_version_tag("shop-release", champion, "key", fingerprint(new))


def test_rotating_renames_what_the_source_can_tell_and_drops_the_rest(rotating: Shop) -> None:
    environment = changed(rotating)
    old, new = keys(rotating)
    Tombstones(rotating.home, (old,)).write(f"{RAW}u05", {"state": "forgotten"})
    log = rotating.home / "events" / "2024-01-01.00000.jsonl"
    for name, key in ((USER, old), (GONE, old), ("new here", new)):
        write_line(log, key=f"k-{name[:3]}", user_id=pseudonym(name, key), hashed_under=fingerprint(key))
    (rotating.home / "runs" / "an-earlier-run" / "ingest").mkdir(parents=True)
    as_if_run(rotating, new)
    done = intentflow(rotating, "rotate", str(rotating.spec), "--env", str(environment), "--json")
    found = json.loads(done.stdout)
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.strip()]
    assert [line["user_id"] for line in lines] == [pseudonym(USER, new), pseudonym("new here", new)]
    requests = "".join(path.read_text() for path in (rotating.home / "requests").glob("*.jsonl"))
    assert pseudonym(USER, new) in requests
    assert pseudonym(USER, old) not in requests
    assert json.loads((rotating.home / "report.json").read_text())["user"] == pseudonym(USER, new)
    assert (found["tombstones"], found["tombstones_left"]) == (1, 0)
    assert min(found["dropped_lines"], found["dropped_runs"]) >= 1
    assert found["dropped_users"] == 40, "a run under the new key would have written the new names beside them"
    with variables(at(rotating, environment)):
        assert erase.count("shop", [pseudonym(f"{RAW}u{n:02}", old) for n in range(40)]) == 0
    assert Tombstones(rotating.home, (new,)).holds(f"{RAW}u05")
    assert not (rotating.home / "runs" / "an-earlier-run").exists()
    again = intentflow(rotating, "rotate", str(rotating.spec), "--env", str(environment), "--json")
    assert json.loads(again.stdout)["dropped_users"] == 0


def test_what_doors_shipped_gets_the_new_names_and_rewards_go_on(
    place: Callable[..., Installation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers of before and purchases of after: the store tells the same before and after `rotate`, without the key."""
    store, under = tmp_path / "store", {"old": fingerprint(OLD), "new": fingerprint(NEW)}
    logged = [shown("1", old("ana"), "r1"), shown("2", old("gone"), "r1"), shown("3", new("later"), "r2")]
    closed(store / "door", "2026-11-29.00000.parquet", logged)
    events = [bought("k1", new("ana"), under["new"]), bought("k2", old("gone"), under["old"])]
    events += [bought("k3", old("ana"), under["old"]), bought("k4", new("later"), under["new"])]
    lines = store / "_events" / "door" / "2026-11-29.00000.jsonl.gz"
    lines.parent.mkdir(parents=True)
    with gzip.open(lines, "wt") as stream:
        stream.writelines(json.dumps(one, separators=(",", ":")) + "\n" for one in events)
    changed = changing(place(), tmp_path, ["ana"], monkeypatch, url=str(store))
    monkeypatch.setattr(rotate_key, "_releases_under", lambda name, key: {"r2"})
    kpi = Kpi("buy", within_s=60, amount="count")

    def rewards(names: NewNames) -> dict[str, float | None]:
        with object_store.reached(str(store)) as opened:
            answers = names.lines(shipped_log.read(opened))
            made = attributed(answers, names.lines(shipped_log.read_events(opened)), [kpi], now_s=time.time())
        return {one.answer["request_id"]: one.rewards["buy"][0] for one in made}

    names = new_names.of(["ana"], (NEW, OLD))
    before = rewards(NewNames(names))
    assert before == {"1": 1.0, "2": 1.0, "3": 1.0}, "k3 is k1 again, under the old key"
    assert rewards(NewNames())["1"] == 1.0, "k3 alone"
    assert rotate_key._rename(changed, names, current=under["new"]) == (2, 2)
    assert rewards(NewNames()) == {"1": 1.0, "3": 1.0}, "nobody can tell who the second was"
    assert rotate_key._rename(changed, names, current=under["new"]) == (0, 0), "safe to repeat"
    held = (store / "door" / "2026-11-29.00000.parquet").read_bytes() + gzip.decompress(lines.read_bytes())
    assert old("ana").encode() not in held


def shown(request: str, user: str, release: str) -> dict[str, object]:
    at = "2026-11-29T08:00:00+00:00"
    items = [{"item_id": "soup", "position": 1, "score": 1.0, "source": "popular", "propensity": 1.0}]
    line = {"request_id": request, "logged_at": at, "endpoint": "recommend", "release": release, "user_id": user}
    return line | {"now": 1_000, "items": items, "rung": "fresh", "asked": {"k": 1}, "mirrored": False, "sample": 1.0}


def bought(key: str, user: str, under: str) -> dict[str, object]:
    line = {"key": key, "user_id": user, "item_id": "soup", "event": "purchase", "session_id": "s"}
    return line | {"timestamp": 1_030, "created_at": 1_030, "hashed_under": under}


def test_an_online_store_that_is_away_is_one_line_and_rotating_again_finishes(rotating: Shop) -> None:
    environment, port = rotating.folder / "changed.yaml", free_port()  # as the test before left them
    feast = {"registry": str(rotating.home / "feast" / "registry.db")}
    online = {"online_store": {"type": "redis", "connection_string": f"127.0.0.1:{port}"}}
    away = rotating.folder / "away.yaml"
    away.write_text(yaml.safe_dump(yaml.safe_load(environment.read_text()) | {"feast": feast | online}))
    done = intentflow(rotating, "rotate", str(rotating.spec), "--env", str(away))
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (1, 1)
    assert done.stderr.startswith(
        f"intentflow: rotate: not finished: online store redis at 127.0.0.1:{port}: no answer"
    )
    assert intentflow(rotating, "rotate", str(rotating.spec), "--env", str(environment)).returncode == 0


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_whole_change_of_keys_keeps_models_and_answers(shop: Shop) -> None:
    made = copy(shop, "whol")
    try:
        environment = changed(made)
        status = made.json("status", str(made.spec))
        before = status["versions"][status["aliases"]["champion"]]
        assert made.run("run", str(made.spec), "--env", str(environment), timeout=900).returncode == 0
        status = made.json("status", str(made.spec), "--env", str(environment))
        after = status["versions"][status["aliases"]["champion"]]
        same = ("intent_digest", "ranking_digest", "data", "metrics", "vocabulary")
        assert {name: after[name] for name in same} == {name: before[name] for name in same}
        assert after["id"] != before["id"]
        answer = made.json("recommend", str(made.spec), "--user", USER, "--env", str(environment))
        assert answer["profile"]["rung"] == "fresh"
        assert made.run("rotate", str(made.spec), "--env", str(environment)).returncode == 0
        answer_after = made.json("recommend", str(made.spec), "--user", USER, "--env", str(environment))
        assert answer_after["items"] == answer["items"]
        refused = made.run("recommend", str(made.spec), "--user", USER)  # with the old key alone
        assert refused.returncode == 2
        assert "would all be unknown" in refused.stderr
    finally:
        shutil.rmtree(made.folder, ignore_errors=True)
