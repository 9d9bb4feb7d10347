"""Another user of the machine commands nothing, and what `serve` started does not outlive it."""

import contextlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import requests

from bentos import launch, serve
from pipelines.releases.processes import free_port
from tests.patience import patient

pytestmark = [pytest.mark.process, pytest.mark.skipif(sys.platform != "linux", reason="looks at Linux's processes")]
SERVICE = """
import bentoml

@bentoml.service(workers=1)
class Greeter:
    @bentoml.api
    def greet(self) -> str:
        return "hello"
"""
PARENT = """
import sys, time
from pathlib import Path
from bentos import serve
from pipelines.releases import serving
folder = Path(sys.argv[1])
words = [sys.executable, "-c", "import time; time.sleep(600)"]
serve.wait_ready = lambda *_: None
one = serve.started(words, folder, env={}, url="http://127.0.0.1:9")
print(one.process.pid, flush=True)
time.sleep(600)
"""


def eventually(told: Callable[[], bool], *, within_s: float = 60) -> bool:
    deadline = time.monotonic() + patient(within_s)
    while not (found := told()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[psutil.Process, int, Path]]:
    """A BentoML server started as ours are, and its port."""
    (tmp_path / "greeter.py").write_text(SERVICE)
    control = Path(tempfile.mkdtemp(prefix="control-"))  # short: a socket's path holds 107 bytes, pytest's hold more
    port = free_port(0)
    words = serve.command("greeter:Greeter", port=port)
    variables = {"BENTOML_HOME": str(tmp_path / "home"), "BENTOML_DO_NOT_TRACK": "True", "DO_NOT_TRACK": "1"}
    variables |= {"TMPDIR": str(control)}
    one = serve.started(words, tmp_path, env=variables, url=f"http://127.0.0.1:{port}", ready_s=patient(serve.READY_S))
    try:
        yield psutil.Process(one.process.pid), port, control
    finally:
        one.stop()
        shutil.rmtree(control, ignore_errors=True)


def test_the_process_manager_takes_commands_in_a_folder_of_its_user_alone(
    served: tuple[psutil.Process, int, Path],
) -> None:
    """The attack of the review was one message to a port of loopback."""
    manager, port, control = served
    family = [manager, *manager.children(recursive=True)]
    listening = {held.laddr.port for one in family for held in one.net_connections("tcp") if held.status == "LISTEN"}
    assert listening == {port}
    assert requests.get(f"http://127.0.0.1:{port}/livez", timeout=patient(10)).ok
    (folder,) = control.glob("intentflow-control-*")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name for path in folder.iterdir()} == {"control", "events"}
    manager.terminate()
    assert eventually(lambda: not folder.exists())


def test_where_temporary_files_lie_deep_the_sockets_lie_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path of a socket holds 107 bytes; the service did not start where TMPDIR was longer."""
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    folder = Path(launch.control_folder())
    try:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert list(deep.iterdir()) == []
        for name in (launch.CONTROL, launch.EVENTS):
            with socket.socket(socket.AF_UNIX) as one:
                one.bind(str(folder / name))
    finally:
        shutil.rmtree(folder)


def test_the_folder_of_the_sockets_goes_with_a_server_that_failed_to_start() -> None:
    words = [sys.executable, "-c", "from bentos import launch; print(launch.control_folder()); raise SystemExit(3)"]
    told = subprocess.run(words, capture_output=True, text=True, check=False, timeout=patient(60))
    assert told.returncode == 3
    assert told.stdout.strip()
    assert not Path(told.stdout.strip()).exists()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_started_ends_with_its_parent_however_that_ends(tmp_path: Path, how: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(how)
    try:
        assert eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


def test_sigterm_stops_the_door_and_the_router_of_serve(tmp_path: Path) -> None:
    """`kill` of `intentflow serve` must leave no port open: both children are stopped before it ends."""
    script = """
import sys, types
from pathlib import Path
from bentos import serve
from pipelines.releases import serving
folder, port = Path(sys.argv[1]), int(sys.argv[2])
sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
serve.wait_ready = lambda *_: None
serve.serve = lambda tag, **_: serve.started(sleeper, folder / "door", env={}, url="http://127.0.0.1:9")
serving.start.command = lambda: sleeper
serving._of_a_service = lambda place: {}
serving._environment = lambda *_, **__: {}
serve_children = serve.started
def started(*words, **more):
    one = serve_children(*words, **more)
    print(one.process.pid, flush=True)
    return one
serve.started = started
place = types.SimpleNamespace(home=folder)
released = types.SimpleNamespace(id="0123456789ab", bento="recommender:1")
sys.exit(serving.foreground(place, released, port=port))
"""
    words = [sys.executable, "-c", script, str(tmp_path), str(free_port(0))]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stderr is not None
        children = [psutil.Process(int(parent.stdout.readline())) for _ in range(2)]
        assert "Ctrl-C stops it" in parent.stderr.readline()
        parent.terminate()
        assert parent.wait(patient(60)) == 0
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
