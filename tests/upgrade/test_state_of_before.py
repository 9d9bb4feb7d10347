"""A state folder that commit 07e66fa wrote opens with today's code (tests/upgrade/before/make.py made it)."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest
import requests

from feature_repo.checkout import ROOT
from feature_repo.release_folder import ReleaseFolder
from pipelines import backup, environment, upgrade
from pipelines.releases.release import models_of
from tests import command_line
from tests.patience import patient
from tests.registry.conftest import free_port

BEFORE = Path(__file__).parent / "before"
EXPECTED: dict[str, Any] = json.loads((BEFORE / "expected.json").read_text())
USERS = EXPECTED["users"]


@dataclass(frozen=True)
class Opened:
    """The restored folder, and the command line over it."""

    place: environment.Installation
    variables: dict[str, str]

    def intentflow(self, *words: str, check: bool = True) -> Any:
        """Take a verb with --json and return its document."""
        verb, *options = words
        done = command_line.here(verb, str(self.place.spec_path), *options, "--json", variables=self.variables)
        assert not check or done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout)


def restored(folder: Path, archive: str) -> Opened:
    for name in ("shop.yaml", "orders.csv", "products.csv"):
        copyfile(BEFORE / name, folder / name)
    variables = {"INTENTFLOW_STATE": str(folder / "state"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    place = environment.place(folder / "shop.yaml", "local", variables=variables)
    backup.restore(BEFORE / archive, place.home)
    return Opened(place, variables)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    return restored(tmp_path_factory.mktemp("before"), "shop.state.tar.xz")


def same(answer: dict[str, Any], expected: dict[str, Any]) -> None:
    """Compare two answers: who, what, in which order, and how likely."""
    assert answer["release"] == expected["release"]
    assert answer["profile"]["rung"] == expected["profile"]["rung"]
    assert [item["item_id"] for item in answer["items"]] == [item["item_id"] for item in expected["items"]]
    scores = [[item["score"] for item in one["items"]] for one in (answer, expected)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)


def test_doctor_names_what_is_made_anew_and_nothing_else(opened: Opened) -> None:
    found = upgrade.due(opened.place)
    assert set(found.bentos) == set(EXPECTED["releases"].values())
    assert found.steps[0] == "ingest"
    assert found.unreadable == ()
    assert "the next run does them anew" in found.text()
    assert "built anew at its next start" in found.text()


def test_releases_of_the_format_before_are_read(opened: Opened) -> None:
    for release in EXPECTED["releases"].values():
        found = ReleaseFolder.read(models_of(opened.place.home, release))
        assert (found.id, found.format) == (release, 1)


@pytest.mark.process
@pytest.mark.parametrize("which", EXPECTED["why"])
def test_why_answers_as_it_did(opened: Opened, which: str) -> None:
    expected = EXPECTED["why"][which]
    found = opened.intentflow("why", "--request", expected["request_id"])
    for key in ("release", "user_id", "rung", "events", "note"):
        assert found[key] == expected[key], key
    assert [item["item_id"] for item in found["items"]] == [item["item_id"] for item in expected["items"]]


@pytest.mark.process
def test_a_backup_of_before_restores(tmp_path: Path) -> None:
    found = restored(tmp_path, "shop.backup.tar.xz").intentflow("status")
    assert found["aliases"]["champion"] == "2"
    assert found["aliases"]["previous"] == "1"


@pytest.fixture
def service(opened: Opened) -> Iterator[Callable[[str, Any], Any]]:
    """Serve the champion; yields a function that asks it."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "pipelines.cli", "serve", str(opened.place.spec_path), "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | opened.variables, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + patient(120)
    while True:
        assert process.poll() is None, "serve ended"
        assert time.monotonic() < deadline, "not ready"
        try:
            if requests.get(f"{url}/readyz", timeout=5).ok:
                break
        except requests.ConnectionError:
            time.sleep(0.2)

    def ask(path: str, body: Any) -> Any:
        reply = requests.post(url + path, json=body, timeout=30)
        assert reply.ok, reply.text
        return reply.json()

    yield ask
    process.terminate()
    process.wait(patient(60))


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.timeout(1200)
def test_it_serves_keeps_its_events_and_rolls_back(opened: Opened, service: Callable[[str, Any], Any]) -> None:
    for user in (USERS["pushed"], USERS["fresh"], USERS["guest"]):
        same(service("/recommend", {"user_id": user}), EXPECTED["recommend"]["2"][user])
    repeated = {
        **{"user_id": USERS["pushed"], "item_id": "i10", "event": "purchase", "session_id": "s5", "value": 2.5},
        **{"timestamp": "2024-04-08T11:00:00+00:00", "event_id": "event-5"},
    }
    taken = service("/events", {"events": [repeated]})
    assert (taken["accepted"], taken["duplicates"]) == (0, 1)

    try:
        outcome = opened.intentflow("rollback", check=False)
        assert outcome.get("champion", "1") == "1"
        found = opened.intentflow("recommend", "--user", USERS["fresh"])
        same(found, EXPECTED["recommend"]["1"][USERS["fresh"]])
    finally:
        opened.intentflow("down")
