"""Processes that outlive the command that started them: real ones, small, on free loopback ports."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import requests

from feature_repo import files
from feature_repo.errors import SpecError
from pipelines.releases.processes import LOOPBACK, MARKER, Process, down, failures, free_port, status, up
from tests.patience import patient

pytestmark = pytest.mark.process

# A web server with a child of its own, as application servers have.
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
open(sys.argv[2], "w").write(str(child.pid))
from http.server import HTTPServer, SimpleHTTPRequestHandler
HTTPServer(("127.0.0.1", int(sys.argv[1])), SimpleHTTPRequestHandler).serve_forever()
"""


def server(tmp_path: Path, *, name: str = "web", version: str = "1") -> Process:
    url = f"http://{LOOPBACK}:{free_port()}/"
    port, child = url.rstrip("/").rsplit(":")[-1], str(tmp_path / f"{name}.child")
    return Process(name, (sys.executable, "-c", PARENT, port, child), url=url, ready_url=url, version=version)


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def child_of(tmp_path: Path, name: str = "web") -> psutil.Process:
    return psutil.Process(int((tmp_path / f"{name}.child").read_text()))


def ended(process: psutil.Process) -> bool:
    return not psutil.pid_exists(process.pid) or process.status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def home(tmp_path: Path):
    yield tmp_path / "home"
    down(tmp_path / "home", grace_s=2)


def test_up_starts_once_and_then_says_it_is_running(home: Path, tmp_path: Path) -> None:
    web = server(tmp_path)
    (first,), (second,) = up(home, [web], wait_s=20), up(home, [server(tmp_path)], wait_s=20)
    assert (first.state, second.state) == ("started", "running")
    assert first.pid == second.pid
    assert second.url == web.url  # the address it runs at, not the one a new one would have had
    assert [s.state for s in status(home)] == ["running"]


def test_up_waits_for_one_that_an_interrupted_up_left_starting(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = server(tmp_path)
    slow = replace(web, command=(sys.executable, "-c", f"import time; time.sleep(1)\n{PARENT}", *web.command[3:]))
    monkeypatch.setattr("pipelines.releases.processes._awaited", interrupted)
    with pytest.raises(KeyboardInterrupt):
        up(home, [slow])
    monkeypatch.undo()
    (state,) = up(home, [slow], wait_s=20)
    assert state.state == "running"
    assert requests.get(web.url, timeout=patient(2)).ok


def test_down_ends_a_process_and_its_child_and_can_be_repeated(home: Path, tmp_path: Path) -> None:
    (state,) = up(home, [server(tmp_path)], wait_s=20)
    main, child = psutil.Process(state.pid), child_of(tmp_path)
    assert [s.state for s in down(home)] == ["stopped"]
    assert ended(main)
    assert ended(child)
    assert down(home) == []
    assert status(home) == []


def test_down_ends_the_orphans_of_a_process_that_was_killed(home: Path, tmp_path: Path) -> None:
    (state,) = up(home, [server(tmp_path)], wait_s=20)
    child = child_of(tmp_path)
    os.kill(state.pid, signal.SIGKILL)
    time.sleep(0.2)
    assert [s.state for s in status(home)] == ["gone"]
    assert not ended(child)
    down(home)
    assert ended(child)


def test_a_process_of_another_version_is_replaced(home: Path, tmp_path: Path) -> None:
    (old,) = up(home, [server(tmp_path, version="1")], wait_s=20)
    main = psutil.Process(old.pid)
    (new,) = up(home, [server(tmp_path, version="2")], wait_s=20)
    assert new.state == "started"
    assert ended(main)


def test_a_recycled_process_id_is_never_signalled(home: Path, tmp_path: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        up(home, [server(tmp_path)], wait_s=20)
        record = files.read_json(home / "up" / "web.json")
        down(home)
        # A record left by a crash a minute ago, whose process id someone else has by now.
        stale = record | {"pid": stranger.pid, "created": record["created"] - 60}
        files.write_json(home / "up" / "web.json", stale)
        assert [s.state for s in status(home)] == ["gone"]
        assert [s.state for s in down(home)] == ["gone"]
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_one_of_several_can_be_stopped_alone(home: Path, tmp_path: Path) -> None:
    up(home, [server(tmp_path, name="a"), server(tmp_path, name="b")], wait_s=20)
    down(home, ["a"])
    assert [(s.name, s.state) for s in status(home)] == [("b", "running")]


def test_a_process_that_ends_at_once_has_failed_and_its_last_words_are_told(home: Path) -> None:
    broken = Process(
        "broken", (sys.executable, "-c", "raise SystemExit('no such store')"), url="", ready_url="http://127.0.0.1:9/"
    )
    (state,) = up(home, [broken], wait_s=20)
    assert state.state == "failed"
    assert state.reason == "ended with code 1; no such store"
    assert status(home) == []


def test_why_one_did_not_start_is_kept_until_it_starts(home: Path, tmp_path: Path) -> None:
    good = server(tmp_path)
    broken = replace(good, command=(sys.executable, "-c", "raise SystemExit('no such store')"))
    up(home, [broken], wait_s=patient(20))
    assert [(s.name, s.state, s.reason) for s in failures(home)] == [
        ("web", "failed", "ended with code 1; no such store")
    ]
    up(home, [good], wait_s=patient(20))
    assert failures(home) == []
    down(home)
    up(home, [broken], wait_s=patient(20))
    down(home)
    assert failures(home) == []


def test_a_process_that_never_answers_is_stopped_after_the_wait(home: Path) -> None:
    url = f"http://{LOOPBACK}:{free_port()}/"
    (state,) = up(home, [Process("mute", (sys.executable, "-c", "input()"), url=url, ready_url=url)], wait_s=0.5)
    assert state.state == "failed"
    silent = Process("mute", (sys.executable, "-c", "import time; time.sleep(60)"), url=url, ready_url=url)
    (state,) = up(home, [silent], wait_s=1)
    assert state.state == "failed"
    assert state.reason.startswith(f"no answer from {url} in 1 s")
    assert not [p for p in psutil.process_iter() if _marker(p) == f"{home.resolve()}:mute"]


def test_a_given_port_that_is_taken_is_refused_and_a_default_one_gives_way(home: Path, tmp_path: Path) -> None:
    web = server(tmp_path)
    up(home, [web], wait_s=20)
    taken = int(web.url.rstrip("/").rsplit(":")[-1])
    with pytest.raises(SpecError, match=f"port {taken}: in use"):
        free_port(taken)
    assert free_port(default=taken) != taken


def _marker(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARKER)
    except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
        return None
