"""Starts a built Bento as a process of its own and stops it again; workers.py says how many processes answer.

Each server gets a BENTOML_HOME of its own with links to the shared stores: BentoML wipes the metrics folder of its home
at every start, also while another server uses it.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import requests

from bentos import workers
from bentos.build import bento_home
from components.step import ERROR_FILE
from feature_repo import env_names, files
from feature_repo.errors import ServerError, SpecError, UserError

LOOPBACK = "127.0.0.1"
PR_SET_PDEATHSIG = 1  # of prctl(2)
READY_S = 120.0
STOP_S = 20.0
LOG = "serve.log"
ERROR = "error.json"


@dataclass(frozen=True)
class Serving:
    """A running server."""

    process: subprocess.Popen[bytes]
    url: str
    folder: Path  # its own BENTOML_HOME, with its log
    workers: tuple[str, ...] = ()  # where each of its processes answers, if there are several

    @property
    def log(self) -> Path:
        """The file that its output goes to."""
        return self.folder / LOG

    def stop(self, *, timeout_s: float = STOP_S) -> None:
        """Let it finish what it is answering and end; kill it if it does not."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


def serve(tag: str, *, port: int, env: Mapping[str, str], ready_s: float = READY_S) -> Serving:
    """Serve a Bento of the state folder env["INTENTFLOW_HOME"] on loopback; return when it is ready."""
    check_free(port)
    home = Path(env[env_names.HOME])
    folder = folder_of(home, port)
    threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    variables = threads | dict(env) | prepare(home, port=port, variables=os.environ | dict(env))
    return started(command(tag, port=port), folder, env=variables, url=f"http://{LOOPBACK}:{port}", ready_s=ready_s)


def started(
    words: Sequence[str], folder: Path, *, env: Mapping[str, str], url: str, ready_s: float = READY_S
) -> Serving:
    """Start a server with its log in a folder; return when it is ready."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOG).open("wb") as output:
        process = subprocess.Popen(
            words,
            env=os.environ | dict(env),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl+C at our terminal is ours to handle
            preexec_fn=_ends_with_us(),
        )
    serving = Serving(process, url, folder, workers.urls(env))
    try:
        wait_ready(serving, ready_s)
    except BaseException:
        serving.stop(timeout_s=2.0)
        raise
    return serving


def _ends_with_us() -> Callable[[], None] | None:
    """Return what has Linux send SIGTERM to a child when we end, however we do: nobody else would stop it then.

    The kernel watches the thread that starts the child, so only the main thread's children are asked for that.
    """
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return None
    call = ctypes.CDLL(None).prctl  # looked up before the fork
    return lambda: call(PR_SET_PDEATHSIG, int(signal.SIGTERM)) and None


def check_free(port: int) -> None:
    """Refuse a port that something listens on: it would answer in our server's stead."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise SpecError(
                f"port: {port} is taken ({error.strerror}); stop what listens there or give another"
            ) from None


def command(tag: str, *, port: int) -> list[str]:
    """Return the command that serves a Bento on loopback."""
    return [sys.executable, "-m", "bentos.launch", "serve", tag, "--host", LOOPBACK, "--port", str(port)]


def folder_of(home: Path, port: int) -> Path:
    """Return the folder of the server on a port: its BENTOML_HOME, its log, its reason of failure."""
    return home.resolve() / "serving" / str(port)


def prepare(home: Path, *, port: int, variables: Mapping[str, str]) -> dict[str, str]:
    """Make a server's folder with links to the shared stores; return the variables that make it the server's own.

    `variables` are those that it will have beside: they say how many processes it has.
    """
    folder = folder_of(home, port)
    folder.mkdir(parents=True, exist_ok=True)
    for store in ("bentos", "models"):
        link = folder / store
        if not link.is_symlink():
            link.symlink_to(bento_home(home).resolve() / store, target_is_directory=True)
    (folder / ERROR).unlink(missing_ok=True)
    return {
        "BENTOML_HOME": str(folder),
        "BENTOML_DO_NOT_TRACK": "True",
        "DO_NOT_TRACK": "1",
        ERROR_FILE: str(folder / ERROR),
        env_names.DOOR_PORTS: workers.free_ports(workers.count(variables)),
    }


def wait_ready(serving: Serving, ready_s: float) -> None:
    """Wait until each process of the server answers /readyz, for at most so long; say why it does not."""
    deadline = time.monotonic() + ready_s
    waiting = list(serving.workers or (serving.url,))
    while time.monotonic() < deadline:
        if (serving.folder / ERROR).is_file():
            reason = files.read_json(serving.folder / ERROR)
            if reason["code"] == UserError.exit_code:
                raise UserError(reason["message"])
            raise ServerError(f"{serving.url}: the service did not start: {reason['message']}; see {serving.log}")
        if serving.process.poll() is not None:
            raise ServerError(f"{serving.url}: ended with {serving.process.returncode}; {tail(serving.log)}")
        try:
            while requests.get(f"{waiting[-1]}/readyz", timeout=1.0).ok:
                waiting.pop()
                if not waiting:
                    return
        except requests.RequestException:
            pass  # not listening yet
        time.sleep(0.1)
    raise ServerError(f"{serving.url}: not ready within {ready_s:.0f} s; {tail(serving.log)}")


def tail(log: Path, lines: int = 5) -> str:
    """Return where a log is and how it ends."""
    end = log.read_text(errors="replace").strip().splitlines()[-lines:]
    return f"{log} ends with:\n" + "\n".join(end)
