"""Forgetting people, on copies of a shop whose demo has run: gone everywhere, kept out, proven, also after kills."""

import fcntl
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from bentos.client import Recommender
from bentos.endpoints.schemas import Event
from bentos.recommender.logs import traces
from components.content.llm import store as texts
from feature_repo.errors import SpecError
from feature_repo.online import erase
from feature_repo.privacy.pseudonyms import pseudonym
from pipelines.environment import Installation, place
from pipelines.graphs.parameters import run_parameters
from pipelines.privacy import forget as forgetting
from pipelines.releases import release, serving
from pipelines.releases.release import variables
from tests.patience import patient
from tests.pipelines.conftest import RAW, USER, Shop

DUE = re.compile(r"retraining due: version \d+ was trained with data of a person who was forgotten")


def copy(shop: Shop, name: str) -> Shop:
    """Copy a shop to a folder whose path is as long, so that every path in every file can follow."""
    target = shop.folder.with_name(name.ljust(len(shop.folder.name), "0"))
    shutil.copytree(shop.folder, target, symlinks=True)
    old, new = str(shop.folder).encode(), str(target).encode()
    assert len(old) == len(new)
    for path in traces.walk([target]):
        if old in (data := path.read_bytes()):
            path.write_bytes(data.replace(old, new))
    return Shop(target)


@pytest.fixture(scope="module")
def leave(shop: Shop) -> Iterator[Callable[[str], Shop]]:
    """Make copies of the shop that go when the tests are done."""
    made: list[Shop] = []

    def one(name: str) -> Shop:
        made.append(copy(shop, name))
        return made[-1]

    yield one
    for each in made:
        shutil.rmtree(each.folder, ignore_errors=True)


def opened(shop: Shop) -> Installation:
    return place(shop.spec, "local", variables=shop.environment())


def intentflow(shop: Shop, *arguments: str) -> subprocess.CompletedProcess[str]:
    return shop.here(*arguments)


def hidden(shop: Shop, raw: str) -> str:
    return pseudonym(raw, (shop.home / "secrets" / "pseudonym.key").read_text())


def holding(shop: Shop, name: str) -> set[str]:
    """Name the files that hold a name, by another way than the product's own."""
    found = set()
    for path in shop.home.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        text = path.read_bytes().decode("latin1")
        if path.suffix == ".parquet":
            text += json.dumps(pq.read_table(path).to_pylist(), default=str)
        if name in text:
            found.add(path.name)
    return found


def test_nothing_that_a_demo_leaves_holds_a_raw_id(shop: Shop) -> None:
    assert holding(shop, RAW) == set()
    holds = holding(shop, hidden(shop, USER))
    assert holds >= {"events.parquet", "user_profile.parquet", "report.json"}
    assert holds & {"online.db", "online.db-wal"}  # SQLite moves rows from its log into the database when it likes


@pytest.fixture(scope="module")
def forgotten(leave: Callable[[str], Shop]) -> tuple[Shop, dict[str, Any]]:
    """A copy of the shop that has forgotten its user, and what the command said."""
    shop = leave("forg")
    (shop.home / "serving" / "trace.log").write_text(f"KeyError: '{USER}'\n")  # such as a fault of ours may leave
    kept = texts.Store(shop.home)  # what a language model wrote of the user, and of somebody else
    for key, name in (("1", USER), ("2", f"{RAW}u03")):
        kept.keep(key, "You bought it.", person=hidden(shop, name), item="i1", now=int(time.time()))
    kept.close()
    asked = {"user_id": hidden(shop, USER), "release": "r", "known": True}
    with next((shop.home / "requests").glob("*.jsonl")).open("a") as log:
        log.write(json.dumps(asked | {"user_id": hidden(shop, f"{RAW}u03")}, separators=(",", ":")) + "\n")
        log.write(json.dumps(asked, separators=(",", ":")) + "\n")
    done = intentflow(shop, "forget", str(shop.spec), "--user", USER, "--json")
    assert done.returncode == 0, done.stderr
    return shop, json.loads(done.stdout)


def test_a_forgotten_person_is_in_no_file_no_store_and_no_log(forgotten: tuple[Shop, dict[str, Any]]) -> None:
    shop, found = forgotten
    for name in (USER, hidden(shop, USER)):
        assert holding(shop, name) == set()
    with variables(opened(shop)):
        assert erase.count("shop", [hidden(shop, USER)]) == 0
        assert erase.count("shop", [hidden(shop, f"{RAW}u03")]) > 0
    assert {Path(place).name for place in found["removed"]} >= {
        "events.parquet",
        "users.parquet",
        "user_profile.parquet",
        "intent.parquet",
        "ranking.parquet",
        "out_of_time.parquet",
        "online store",
        "trace.log",
        "report.json",
        "texts that a language model wrote of them",
    }
    assert [texts.forget(shop.home, [hidden(shop, name)]) for name in (USER, f"{RAW}u03")] == [0, 1]
    log = next((shop.home / "requests").glob("*.jsonl")).read_text()
    assert hidden(shop, f"{RAW}u03") in log
    assert found["left"] == []


def test_everybody_else_stays(forgotten: tuple[Shop, dict[str, Any]], shop: Shop) -> None:
    def rows(at: Shop, name: str) -> list[dict[str, Any]]:
        path = next(at.home.rglob(name))
        return [r for r in pq.read_table(path).to_pylist() if r["user_id"] != hidden(shop, USER)]

    for name in ("tables/events.parquet", "clean/users.parquet", "rows/intent.parquet", "intent/out_of_time.parquet"):
        assert rows(forgotten[0], name) == rows(shop, name)
        assert rows(shop, name)


def test_the_proof_names_what_was_removed_and_looked_at_but_not_whom(forgotten: tuple[Shop, dict[str, Any]]) -> None:
    _, found = forgotten
    (path,) = map(Path, found["tombstones"])
    proof = json.loads(path.read_text())
    assert proof["state"] == "forgotten"
    assert proof["proofs"][0]["removed"] == found["removed"]
    scanned = proof["proofs"][0]["scanned"]
    assert scanned["files"] > 100
    assert scanned["parquet_rows"] > 1000
    assert scanned["raw_ids"] == "anywhere"
    assert USER not in path.read_text() + path.name


def test_versions_that_learnt_from_the_person_are_due_for_retraining(forgotten: tuple[Shop, dict[str, Any]]) -> None:
    shop, found = forgotten
    assert {"shop-intent/1", "shop-ranking/1", "shop-release/1"} <= set(found["marked"])
    done = intentflow(shop, "status", str(shop.spec))
    assert DUE.search(done.stdout)
    status = json.loads(intentflow(shop, "status", str(shop.spec), "--json").stdout)
    tags = status["versions"][status["aliases"]["champion"]]
    assert (tags["reproducible"], tags["retraining"]) == ("false", "due")


def test_the_next_run_reads_the_source_anew_and_no_cache_brings_the_person_back(
    forgotten: tuple[Shop, dict[str, Any]],
) -> None:
    shop, _ = forgotten
    plan = json.loads(intentflow(shop, "plan", str(shop.spec), "--json").stdout)
    assert "the source's data changed" in plan["inputs"]
    assert "ingest" in plan["steps"]
    assert "train_intent" in plan["steps"]
    assert not list((shop.home / "runs" / ".kfp_cache").glob("*.json"))


def test_forgetting_twice_finds_nothing_and_undo_lets_the_person_come_back(
    forgotten: tuple[Shop, dict[str, Any]],
) -> None:
    shop, _ = forgotten
    again = intentflow(shop, "forget", str(shop.spec), "--user", USER)
    assert again.returncode == 0
    assert "no trace was found" in again.stdout
    (path,) = (shop.home / "forgotten").glob("*.json")
    assert len(json.loads(path.read_text())["proofs"]) == 2
    before = run_parameters(opened(shop))["source"]
    undone = intentflow(shop, "forget", str(shop.spec), "--user", USER, "--undo", "--json")
    assert json.loads(undone.stdout) == {"withdrawn": 1}
    assert run_parameters(opened(shop))["source"] != before


def test_an_unknown_person_gets_a_tombstone_and_no_model_is_marked(forgotten: tuple[Shop, dict[str, Any]]) -> None:
    shop, _ = forgotten
    done = intentflow(shop, "forget", str(shop.spec), "--user", "never here", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["removed"], found["marked"]) == (0, {}, [])
    assert len(found["tombstones"]) == 1
    assert found["users"] == {"never here": False}


def test_a_file_of_users_may_have_a_mark_and_blanks(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_bytes("\ufeff4711  \r\n\r\njose\u0301\n".encode())
    assert forgetting.users_of(tmp_path / "ids.txt") == ["4711", "jos\u00e9"]
    (tmp_path / "ids.txt").write_bytes("jos\u00e9\n".encode("latin-1"))
    with pytest.raises(SpecError, match=r"ids.txt is no UTF-8 \(byte 3\); save it as UTF-8"):
        forgetting.users_of(tmp_path / "ids.txt")


def test_each_person_is_reported_as_found_or_not(leave: Callable[[str], Shop]) -> None:
    shop = leave("each")
    (shop.folder / "ids.txt").write_bytes(f"\ufeff{USER} \nnobody\n".encode())
    done = intentflow(shop, "forget", str(shop.spec), "--users-file", str(shop.folder / "ids.txt"))
    assert done.returncode == 0, done.stderr
    assert f"Found      {USER}\n" in done.stdout
    assert "Not found  nobody\n" in done.stdout


def test_a_run_under_way_makes_forget_wait_its_turn(forgotten: tuple[Shop, dict[str, Any]]) -> None:
    shop, _ = forgotten
    with (shop.home / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = intentflow(shop, "forget", str(shop.spec), "--user", USER)
    assert done.returncode == 2
    assert "another run of this recommender is under way" in done.stderr


def test_nobody_to_forget_is_one_line(forgotten: tuple[Shop, dict[str, Any]]) -> None:
    done = intentflow(forgotten[0], "forget", str(forgotten[0].spec))
    assert (done.returncode, done.stderr) == (
        2,
        "intentflow: --user: 0 user ids are given; give 1 to 1000, as in your data\n",
    )
    done = intentflow(forgotten[0], "forget", str(forgotten[0].spec), "--users-file", "nowhere.txt")
    assert (done.returncode, done.stderr) == (
        2,
        "intentflow: --users-file: no file nowhere.txt; it has one user id a line\n",
    )


def test_what_is_left_is_told_and_the_exit_code_is_1(forgotten: tuple[Shop, dict[str, Any]]) -> None:
    shop, _ = forgotten
    broken = shop.home / "runs" / "broken.parquet"
    broken.write_bytes(b"PAR1 half a file")
    done = intentflow(shop, "forget", str(shop.spec), "--user", USER)
    broken.unlink()
    assert done.returncode == 1
    assert "runs/broken.parquet (cannot be read)" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "forgetting 1 people was not finished" in intentflow(shop, "status", str(shop.spec)).stdout


def _die_at(folder: Path, stage: str) -> None:
    """Forget the user of a shop, and die by a real SIGKILL at a stage."""

    def observe(at: str) -> None:
        if at.startswith(stage):
            os.kill(os.getpid(), signal.SIGKILL)

    os.environ.update(Shop(folder).environment())
    forgetting.forget(opened(Shop(folder)), [USER], observe=observe)


@pytest.mark.slow  # five processes that import everything
def test_forget_killed_at_any_point_is_done_by_the_next_call(leave: Callable[[str], Shop]) -> None:
    shop = leave("kill")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pipelines.privacy.forget", "mlflow", "feast"])
    for stage in ("tombstones", "registry", "file intent.parquet", "online", "proof"):
        child = context.Process(target=_die_at, args=(shop.folder, stage))
        child.start()
        child.join(patient(120))
        assert child.exitcode == -signal.SIGKILL, stage
        assert "was not finished" in intentflow(shop, "status", str(shop.spec)).stdout
    done = intentflow(shop, "forget", str(shop.spec), "--user", USER, "--json")
    assert (done.returncode, json.loads(done.stdout)["left"]) == (0, [])
    assert holding(shop, hidden(shop, USER)) == set()
    assert DUE.search(intentflow(shop, "status", str(shop.spec)).stdout)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_running_service_forgets_at_once_and_goes_on_for_the_others(leave: Callable[[str], Shop]) -> None:
    shop = leave("serv")
    here = opened(shop)
    event = {"item_id": "i2", "event": "purchase"}
    with serving.asked(here, release.release(here)) as url, Recommender(url) as client:
        assert client.recommend(USER).profile.rung == "fresh"
        assert client.events([Event.model_validate(event | {"user_id": USER})]).accepted == 1
        assert intentflow(shop, "forget", str(shop.spec), "--user", USER).returncode == 0
        assert client.recommend(USER).profile.state_at is None
        both = [Event.model_validate(event | {"user_id": user}) for user in (USER, f"{RAW}u03")]
        answer = client.events(both)
        assert (answer.accepted, answer.ignored) == (1, 1)
        assert client.recommend(f"{RAW}u03").profile.rung == "fresh"
    assert holding(shop, hidden(shop, USER)) == set()


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_next_run_trains_without_the_person_and_nothing_is_due_any_more(leave: Callable[[str], Shop]) -> None:
    shop = leave("next")
    assert intentflow(shop, "forget", str(shop.spec), "--user", USER).returncode == 0
    done = shop.run("run", str(shop.spec), timeout=900)
    assert done.returncode == 0, done.stderr
    assert holding(shop, hidden(shop, USER)) == holding(shop, USER) == set()
    status = shop.json("status", str(shop.spec))
    assert status["retraining_due"] == ""
    users = pq.read_table(next((shop.home / "features").glob("*/user_profile.parquet")))["user_id"].unique()
    assert len(users) == 39
