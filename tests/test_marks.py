"""A test that starts a process and does not say so fails, in whichever selection it runs."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import patient

pytestmark = pytest.mark.process
ROOT = Path(__file__).parents[1]
TESTS = """
import subprocess
import sys
import threading

import pytest


def start():
    subprocess.run([sys.executable, "-c", ""])


@pytest.fixture(scope="module")
def started():
    start()
    yield
    start()


@pytest.fixture
def after(started):
    return 1


@pytest.fixture(scope="session", autouse=True)
def everybodys(request):
    if "started" in {name for item in request.session.items for name in item.fixturenames}:
        start()


def test_first(): ...
@pytest.mark.process
def test_marked(started): ...
def test_shares_a_fixture(started): ...
def test_shares_it_behind_another(after): ...
def test_starts_one():
    start()
def test_starts_one_in_a_thread_that_hides_it():
    thread = threading.Thread(target=lambda: pytest.raises(BaseException, start))
    thread.start()
    thread.join()
@pytest.mark.world
def test_of_a_world():
    start()
@pytest.mark.slow
def test_slow():
    start()
def test_light():
    subprocess.run(["uname"], capture_output=True)
def test_last_where_a_fixture_of_others_ends(): ...
"""
REFUSED = ("shares_a_fixture", "shares_it_behind_another", "starts_one", "starts_one_in_a_thread_that_hides_it")


@pytest.mark.parametrize("selection", ["", "slow or not slow"])
def test_every_selection_refuses_processes_to_tests_without_the_mark(tmp_path: Path, selection: str) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    (tmp_path / "test_them.py").write_text(TESTS)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-rA",
        "--rootdir",
        str(tmp_path),
        "-W",
        "ignore",
    ]
    found = subprocess.run(
        [*command, "-m", selection, str(tmp_path)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=patient(60),
        check=False,
    )
    lines = found.stdout.splitlines()
    assert {line.split("::test_")[1].split()[0] for line in lines if line.startswith(("FAILED", "ERROR"))} == set(
        REFUSED
    )
    passed = {line.split("::test_")[1] for line in lines if line.startswith("PASSED")}
    others = {"first", "marked", "of_a_world", "light", "last_where_a_fixture_of_others_ends"}
    assert passed == others | ({"slow"} if selection else set())
    assert (
        "uses the fixture started, which starts a process: give the test or its file the mark `process`" in found.stdout
    )
