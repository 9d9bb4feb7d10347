"""Start, stop and inspect one recommender's long-running processes on this machine: UIs and the service.

Each has a record, a log and a marker in its environment under `<home>/up/`. So `down` ends exactly what `up` started,
children and orphans too: start time and marker tell it from a process that got the same id. One that did not start
leaves why in `failures/` there. `serving.py` and `uis.py` say what runs. On a cluster Kubernetes does all of this.
"""

import contextlib
import fcntl
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil
import requests

from components.step import ERROR_FILE, QUIET
from feature_repo import env_names, files
from feature_repo.errors import SpecError

LOOPBACK = "127.0.0.1"
MARKER = env_names.PROCESS  # in the environment of all that `up` starts; children inherit it
SAME_START_S = 0.1  # read off a clock that may be corrected meanwhile; then the marker tells
POLL_S = 0.2
LOG_LINES = 5


@dataclass(frozen=True)
class Process:
    """Something to keep running."""

    name: str
    command: tuple[str, ...]
    url: str  # for people
    ready_url: str  # answers 2xx or 3xx once it is ready
    env: Mapping[str, str] = field(default_factory=dict)
    version: str = ""  # what it runs; a running process of another version is replaced
    workers: tuple[str, ...] = ()  # where each of its processes answers, if there are several; ready when all do


@dataclass(frozen=True)
class State:
    """How a process is."""

    name: str
    state: Literal["started", "running", "failed", "stopped", "gone"]
    url: str
    log: Path
    pid: int | None = None
    reason: str = ""
    workers: tuple[str, ...] = ()


def up(home: Path, processes: Sequence[Process], *, wait_s: float = 120) -> list[State]:
    """Start what does not run yet and wait until all answer; one that fails is stopped and said to have failed."""
    with _locked(home):
        orphans = [orphan for process in processes for orphan in _orphans(home, process)]
        waiting = [_start(home, process) for process in processes]
        deadline = time.monotonic() + wait_s
        states = [_awaited(home, child, record, deadline=deadline, wait_s=wait_s) for child, record in waiting]
        _end(orphans, grace_s=3)
        for state in states:
            _remember(home, state)
        return states


def down(home: Path, names: Sequence[str] | None = None, *, grace_s: float = 10) -> list[State]:
    """Stop what `up` started (all, or these names), children and orphans too."""
    with _locked(home):
        states = []
        for record in _records(home):
            if names is not None and record["name"] not in names:
                continue
            found = _stop(record, grace_s=grace_s)
            _path(home, record["name"]).unlink(missing_ok=True)
            states.append(_state(home, record, "stopped" if found else "gone"))
        for failed in failures(home):
            if names is None or failed.name in names:
                _failure(home, failed.name).unlink(missing_ok=True)
        return states


def failures(home: Path) -> list[State]:
    """Return the processes whose last start failed, with why; `down`, or a start that succeeds, forgets it."""
    found = []
    for path in sorted(_failure(home, "x").parent.glob("*.json")):
        with contextlib.suppress(FileNotFoundError):  # started by another process meanwhile
            known = files.read_json(path)
            found.append(State(known["name"], "failed", known["url"], _log(home, known["name"]), None, known["reason"]))
    return found


def status(home: Path) -> list[State]:
    """Say of every process that was started whether it runs."""
    return [_state(home, record, "running" if _alive(record) else "gone") for record in _records(home)]


def free_port(given: int | None = None, *, default: int = 0) -> int:
    """Return a loopback port to listen on: the given one, or the default one if it is free, or any free one."""
    if given:
        if _bound(given) is None:
            raise SpecError(f"port {given}: in use on {LOOPBACK}; give another, or 0 for any free one")
        return given
    port = (None if given == 0 else _bound(default)) or _bound(0)
    assert port is not None
    return port


def _bound(port: int) -> int | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port just given up may be taken again
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return None
        return int(probe.getsockname()[1])


def _start(home: Path, process: Process) -> tuple[subprocess.Popen[bytes] | None, dict[str, Any]]:
    """Start a process in a session of its own, so that a terminal's Ctrl-C does not reach it; None if it runs."""
    if found := _record(home, process.name):
        alive = _alive(found)
        if alive and found["version"] == process.version:
            return None, found
        if alive or found["url"] == process.url:  # else orphans may answer until another is ready
            _stop(found)
    marker = f"{home.resolve()}:{process.name}"
    env = {**os.environ, **QUIET, **process.env, MARKER: marker}
    with _log(home, process.name).open("wb") as log:
        child = subprocess.Popen(
            process.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=_folder(home),
            start_new_session=True,
        )
    record = {
        "name": process.name,
        "pid": child.pid,
        "created": psutil.Process(child.pid).create_time(),
        "marker": marker,
        "version": process.version,
        "command": list(process.command),
        "url": process.url,
        "ready_url": process.ready_url,
        "error_file": process.env.get(ERROR_FILE, ""),
        "workers": list(process.workers),
    }
    files.write_json(_path(home, process.name), record)
    return child, record


def _awaited(
    home: Path, child: subprocess.Popen[bytes] | None, record: Mapping[str, Any], *, deadline: float, wait_s: float
) -> State:
    """Wait until a process answers, ends, or time is up. Without a `child` it ran before, ready or not."""
    with requests.Session() as session:
        session.trust_env = False  # a proxy of the environment is not for loopback
        while True:
            if not _alive(record):
                reason = "ended" if child is None else f"ended with code {child.wait()}"
                break
            if reason := _told(record):
                break
            if all(_answers(session, url) for url in _ready_urls(record)):
                return _state(home, record, "running" if child is None else "started")
            if time.monotonic() > deadline:
                reason = f"no answer from {record['ready_url']} in {wait_s:g} s"
                break
            time.sleep(POLL_S)
    _stop(record)
    _path(home, record["name"]).unlink(missing_ok=True)
    tail = _log(home, record["name"]).read_text(errors="replace").strip().splitlines()[-LOG_LINES:]
    return _state(home, record, "failed", reason="; ".join([reason, *(line.strip() for line in tail)]))


def _remember(home: Path, state: State) -> None:
    """Keep why a process did not start, for who asks later; forget it once it runs."""
    if state.state == "failed":
        files.write_json(_failure(home, state.name), {"name": state.name, "url": state.url, "reason": state.reason})
    else:
        _failure(home, state.name).unlink(missing_ok=True)


def _ready_urls(record: Mapping[str, Any]) -> list[str]:
    return [f"{url}/readyz" for url in record.get("workers", ())] or [str(record["ready_url"])]


def _told(record: Mapping[str, Any]) -> str:
    """Return why a process cannot start, where it wrote that down; its server may try again for ever."""
    path = Path(record.get("error_file") or os.devnull)
    return str(files.read_json(path)["message"]) if path.is_file() else ""


def _answers(session: requests.Session, url: str) -> bool:
    try:
        return session.get(url, timeout=2).ok
    except requests.RequestException:
        return False


def _stop(record: Mapping[str, Any], *, grace_s: float = 10) -> bool:
    """End a process, then what is left of its family; say whether there was anything to end."""
    main = _main(record)
    family = _family(record, main)
    if main is not None:  # a server stops its own children best
        _signal([main], "terminate")
        _left([main], timeout_s=grace_s)
    _end(family, grace_s=min(grace_s, 3))
    return bool(family)


def _end(processes: Sequence[psutil.Process], *, grace_s: float) -> None:
    left = _left(processes, timeout_s=0)
    _signal(left, "terminate")
    left = _left(left, timeout_s=grace_s)
    _signal(left, "kill")
    _left(left, timeout_s=5)


def _orphans(home: Path, process: Process) -> list[psutil.Process]:
    """Return what a main that was killed left behind: a server's workers may go on answering without it."""
    record = _record(home, process.name)
    return [] if record is None or _alive(record) else _family(record, None)


def _left(processes: Sequence[psutil.Process], *, timeout_s: float) -> list[psutil.Process]:
    """Wait for processes to end and return those that have not. A zombie has ended: nobody may be there to reap it."""
    deadline = time.monotonic() + timeout_s
    while (alive := [p for p in processes if not _ended(p)]) and time.monotonic() < deadline:
        time.sleep(POLL_S / 4)
    return alive


def _ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _signal(processes: Sequence[psutil.Process], verb: Literal["terminate", "kill"]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # psutil checks by start time that it is still the same one
            getattr(process, verb)()


def _main(record: Mapping[str, Any]) -> psutil.Process | None:
    """Return the recorded process if it runs, and is not another one that was given its id."""
    try:
        process = psutil.Process(record["pid"])
        same = abs(process.create_time() - record["created"]) < SAME_START_S or _marked(process, record)
        return process if same and not _ended(process) else None
    except psutil.NoSuchProcess:
        return None


def _family(record: Mapping[str, Any], main: psutil.Process | None) -> list[psutil.Process]:
    """Return the process, its descendants, and whatever else carries its marker: orphans of a main that was killed."""
    found = {}
    if main is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            found = {p.pid: p for p in [main, *main.children(recursive=True)]}
    mine = {os.getpid(), *(p.pid for p in psutil.Process().parents())}
    for process in psutil.process_iter():
        if process.pid not in mine and _marked(process, record):
            found.setdefault(process.pid, process)
    return list(found.values())


def _marked(process: psutil.Process, record: Mapping[str, Any]) -> bool:
    try:
        return bool(process.environ().get(MARKER) == record["marker"])
    except (psutil.AccessDenied, psutil.NoSuchProcess):  # another user's, or gone
        return False


def _alive(record: Mapping[str, Any]) -> bool:
    return _main(record) is not None


def _state(home: Path, record: Mapping[str, Any], state: Any, *, reason: str = "") -> State:
    pid = record["pid"] if state in ("started", "running") else None
    log, workers = _log(home, record["name"]), tuple(record.get("workers", ()))  # none in a record of an older version
    return State(record["name"], state, record["url"], log, pid, reason, workers)


def _record(home: Path, name: str) -> dict[str, Any] | None:
    path = _path(home, name)
    record: dict[str, Any] | None = files.read_json(path) if path.exists() else None
    return record


def _records(home: Path) -> list[dict[str, Any]]:
    found = []
    for path in sorted((home / "up").glob("*.json")):
        with contextlib.suppress(FileNotFoundError):  # stopped by another process meanwhile
            found.append(files.read_json(path))
    return found


def _path(home: Path, name: str) -> Path:
    return home / "up" / f"{name}.json"


def _failure(home: Path, name: str) -> Path:
    return home / "up" / "failures" / f"{name}.json"


def _log(home: Path, name: str) -> Path:
    return home / "up" / f"{name}.log"


def _folder(home: Path) -> Path:
    (home / "up").mkdir(parents=True, exist_ok=True)
    files.keep_private(home)
    return home / "up"


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Let one `up` or `down` of a recommender work at a time."""
    with (_folder(home) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
