"""Jobs on a finished shop: each once at a time, its record whole, a second run with nothing to do."""

import json
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest

from feature_repo import files
from feature_repo.errors import Refused, SpecError
from pipelines.environment import place
from pipelines.jobs import run, score
from pipelines.leases.lease import Lease
from pipelines.leases.place_lease import held
from tests.patience import patient
from tests.pipelines.conftest import RAW, Shop

RECORD = {"job", "outcome", "reason", "started", "ended", "seconds", "counts", "token"}


@pytest.fixture
def at(shop: Shop):
    return place(shop.spec, "local", variables=shop.environment())


def record(at, name):
    return files.read_json(at.home / "jobs" / f"{name}.json")


@pytest.mark.slow  # it imports Evidently; tests/monitoring/test_steps.py has the step that it takes
def test_monitor_tells_the_verdict_and_leaves_a_record(at):
    found = run.run(at, "monitor")
    assert found.outcome == "done"
    assert (
        found.counts["verdict"]
        == json.loads((at.home / "monitoring" / "verdict" / "drift.json").read_text())["verdict"]
    )
    assert set(record(at, "monitor")) == RECORD
    assert record(at, "monitor")["ended"] >= record(at, "monitor")["started"]


@pytest.mark.slow
def test_monitor_without_a_run_makes_its_rows_from_the_source(at, monkeypatch):
    with_run = run.run(at, "monitor").counts
    (at.home / "run.json").rename(at.home / "run.aside")
    try:
        alone = run.run(at, "monitor").counts
        again = run.run(at, "monitor").counts
    finally:
        (at.home / "run.aside").rename(at.home / "run.json")
    assert alone["rows_of"].startswith("rows-")
    assert {k: alone[k] for k in ("verdict", "share")} == {k: with_run[k] for k in ("verdict", "share")}
    assert again["rows_of"] == alone["rows_of"]


def test_materialise_brings_what_the_store_lost_and_nothing_twice(at):
    from feature_repo.online import erase
    from pipelines.releases.release import variables

    first = run.run(at, "materialise").counts
    again = run.run(at, "materialise").counts
    assert (again["built"], again["written"], again["removed"]) == (0, 0, 0)
    assert again["unchanged"] == first["written"] + first["unchanged"]
    with variables(at):
        users = sorted(u for u in erase.users(at.spec.name) if len(u) == 16)[:3]
        erase.erase(at.spec.name, users)
    assert run.run(at, "materialise").counts["written"] == 3


@pytest.mark.slow
def test_who_was_forgotten_elsewhere_has_no_row_after_a_job_materialised(shop, at, tmp_path):
    from feature_repo.online import erase
    from feature_repo.privacy.pseudonyms import pseudonym, ring
    from feature_repo.privacy.tombstones import ELSEWHERE, Tombstones
    from pipelines.releases.release import variables

    raw = f"{RAW}u03"
    name = pseudonym(raw, ring(at.variables)[0])
    written = Tombstones(tmp_path / "elsewhere", ring(at.variables)).write(raw, {"state": "forgotten"})
    names = tmp_path / "names"  # as a ConfigMap is mounted: files by name, nothing that can be written
    names.mkdir()
    (names / written.name).write_text("{}")
    names.chmod(0o555)
    run.run(at, "materialise")
    with variables(at):
        before = len(erase.users(at.spec.name))
        assert erase.count(at.spec.name, [name]) > 0
    there = place(shop.spec, "local", variables=shop.environment() | {ELSEWHERE: str(names)})
    try:
        found = run.run(there, "materialise").counts
        with variables(at):
            assert erase.count(at.spec.name, [name]) == 0
            assert len(erase.users(at.spec.name)) == before - 1
        assert (found["built"], found["removed"]) == (1, 1)
        assert run.run(there, "materialise").counts["built"] == 0
    finally:
        names.chmod(0o755)
        run.run(at, "materialise")  # the shop is others' as well
    with variables(at):
        assert erase.count(at.spec.name, [name]) > 0


@pytest.mark.slow
def test_a_release_s_profiles_are_brought_by_the_command_that_the_cluster_s_job_runs(shop, at):
    from feature_repo.online import erase
    from pipelines.releases.release import resolved, variables

    with variables(at):
        user = sorted(u for u in erase.users(at.spec.name) if len(u) == 16)[0]
        erase.erase(at.spec.name, [user])
    found = shop.json("job", "materialise", str(shop.spec), "--version", resolved(at))
    assert (found["outcome"], found["counts"]["vocabularies"], found["counts"]["written"]) == ("done", 1, 1)
    with variables(at):
        assert erase.count(at.spec.name, [user]) > 0


@pytest.mark.slow
def test_scores_are_published_whole_by_day_and_the_oldest_go(at, tmp_path):
    old = at.home / score.FOLDER / "2001-01-01"
    for number in range(1, 9):
        (old.with_name(f"2001-01-0{number}")).mkdir(parents=True)
    found = run.run(at, "score")
    folder = at.home / score.FOLDER / files.read_json(at.home / score.FOLDER / score.LATEST)["folder"]
    assert str(folder) == found.counts["folder"]
    about = files.read_json(folder / score.ABOUT)
    assert about["release_version"] == found.counts["release_version"] != ""
    assert pq.read_metadata(folder / "recommendations.parquet").num_rows > 0
    assert len([p for p in folder.parent.iterdir() if p.is_dir()]) == at.environment.jobs.score.keep
    assert found.counts["removed"] == 9 - at.environment.jobs.score.keep


def test_a_duplicate_does_nothing_and_says_who_runs(shop, at):
    with held(at, job="compact"):
        ended = shop.here("job", "compact", str(shop.spec))
    assert ended.returncode == 0, ended.stderr
    assert "compact: nothing done: " in ended.stdout
    assert "holds the lease" in ended.stdout


def test_a_job_beside_a_run_is_skipped_but_not_where_somebody_waits_for_it(at):
    from pipelines.runs import local

    with local.alone(at.home):
        assert run.run(at, "materialise").outcome == "skipped"
        assert record(at, "materialise")["outcome"] == "skipped"
        with pytest.raises(local.Busy):
            run.run(at, "materialise", version="1")
    assert record(at, "materialise")["outcome"] == "failed"


def test_an_unknown_job_and_a_version_that_means_nothing_are_one_line(at):
    with pytest.raises(SpecError, match="no job 'compress'; have monitor, materialise, score, quality, compact"):
        run.run(at, "compress")
    with pytest.raises(SpecError, match="--version: the job 'score' is about no single version"):
        run.run(at, "score", version="1")


def test_a_job_that_is_killed_says_so_in_its_record_and_the_next_one_goes_on(at, shop):
    command = [sys.executable, "-m", "pipelines.cli", "job", "monitor", str(shop.spec)]
    with subprocess.Popen(command, env=shop.environment(), stdout=subprocess.DEVNULL) as started:
        deadline = time.monotonic() + patient(60)
        path = at.home / "jobs" / "monitor.json"
        before = path.read_text() if path.is_file() else ""
        while not path.is_file() or path.read_text() == before:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        started.send_signal(signal.SIGKILL)
    assert json.loads(path.read_text())["outcome"] == "running"
    assert run.run(at, "monitor").outcome == "done"


def test_a_lease_that_is_lost_stops_a_job_before_it_publishes(at):
    from pipelines.releases.release import variables

    lost = Lease(1, "me", lambda: False)
    with variables(at), pytest.raises(Refused, match="another loop acts now"):
        run.DOES["materialise"](at, lost)
