"""`intentflow console` as a process: it answers, keeps strangers out, logs no id, and ends at Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from feature_repo import env_names
from pipelines.releases.processes import free_port
from tests.console.visits import csrf
from tests.patience import patient
from tests.pipelines.conftest import ROOT

pytestmark = pytest.mark.process
RAW = "raw-user-4711"


def command(*more: str) -> list[str]:
    spec = ROOT / "pipelines" / "specs" / "grocery.yaml"
    return [sys.executable, "-m", "pipelines.cli", "console", str(spec), *more]


@contextmanager
def running(tmp_path: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    variables = os.environ | {env_names.STATE: str(tmp_path / "state")}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command("--port", str(port)), stdout=log, stderr=log, env=variables)
    try:
        yield process
    finally:
        process.kill()
        process.wait(patient(10))


def ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + patient(60)
    while True:
        try:
            if requests.get(f"{url}/readyz", timeout=patient(5)).ok:
                return
        except requests.ConnectionError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_it_answers_logs_no_id_and_ends_at_ctrl_c(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{(port := free_port(0))}"
    with running(tmp_path, port) as process, requests.Session() as visitor:
        ready(url, process)
        page = visitor.get(f"{url}/console/people", timeout=patient(30))
        assert (page.status_code, "Find somebody" in page.text) == (200, True)
        form = {"csrf": csrf(page), "user": RAW}  # type: ignore[arg-type]
        asked = visitor.post(f"{url}/console/people", data=form, timeout=patient(30))
        assert (asked.status_code, "does not run here" in asked.text) == (503, True)
        assert visitor.get(f"{url}/console", headers={"Host": "evil.example"}, timeout=patient(30)).status_code == 400
        process.send_signal(signal.SIGINT)
        assert process.wait(patient(20)) == 0
    log = (tmp_path / "log").read_text()
    assert "POST people.find by console" in log
    assert RAW not in log
    assert not (tmp_path / "state" / "grocery" / "console").exists()


def test_what_it_cannot_do_is_one_line(tmp_path: Path) -> None:
    variables = os.environ | {env_names.STATE: str(tmp_path / "state")}
    done = subprocess.run(
        command("--host", "0.0.0.0"),
        env=variables, capture_output=True, text=True, timeout=patient(60), check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("intentflow: console: --host 0.0.0.0: the environment 'local' names no serving.keys")
    assert done.stderr.count("\n") == 1
