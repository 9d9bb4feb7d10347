"""Start a run's steps as forks of one process that has imported the heavy libraries once.

`pipelines/runs/warm_start.py` starts it as a program for one run and sends it a request per step over a socket. A step
is a process of its own: its variables, folder, output and exit status are those that a new Python would have. This
module imports libraries only, and of ours no more than how to import one: a step imports our code from disk, as a new
process does.

A fork copies one thread. Were others running, what they held at that moment (locks, OpenMP's pool, a database) would
stay held in every step; a file or a socket would be shared by all. So nothing is forked unless there is one thread and
no open file: `ready` says what is in the way, and the run starts new processes instead.
"""

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from feature_repo import plain_feast

# What two or more steps of a run import, as deep as they do. prometheus_client stands before Feast, which would
# otherwise have it open files. Great Expectations and Evidently are one step's each, which imports them itself.
PRELOADED = (
    *("kfp.dsl.executor_main", "pandas", "pyarrow.parquet", "duckdb", "scipy.special", "ibis.backends.duckdb"),
    *("torch._dynamo", "transformers.modeling_layers", "mlflow.store.tracking.sqlalchemy_store"),
    *("prometheus_client", "feast"),
)
# pyarrow's allocator has a thread of its own unless this says otherwise; steps do not get the variable.
ONE_THREAD = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}
OPENS_FILES = "PROMETHEUS_MULTIPROC_DIR"  # where Feast was imported before, it names a folder for metrics as files
COMPONENT = "ephemeral_component"  # the module that kfp makes of a step's source
HEADER = struct.Struct("!I")  # bytes of the JSON that follows
STATUS = struct.Struct("!i")
GRACE_S = 0.25  # Ctrl-C reaches the steps too: so long they may end by themselves, as kfp grants it, and after SIGTERM
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG


@dataclass(frozen=True)
class StepProgram:
    """A step as kfp's executor takes it."""

    source: str  # of the component's module
    arguments: list[str]  # of kfp's executor
    environment: dict[str, str]
    folder: str  # that it runs in


def send(control: socket.socket, program: StepProgram, *, output: int, status: int) -> None:
    """Ask for a step: `output` takes what it prints, `status` is a socket that gets its exit status."""
    body = json.dumps(asdict(program)).encode()
    socket.send_fds(control, [HEADER.pack(len(body))], [output, status])
    control.sendall(body)


def _received(control: socket.socket) -> tuple[StepProgram, int, int] | None:
    """Read a request, None where the run has ended."""
    header, passed, _, _ = socket.recv_fds(control, HEADER.size, 2)
    if len(header) < HEADER.size:
        return None
    body = b""
    while len(body) < (size := HEADER.unpack(header)[0]):
        if not (part := control.recv(size - len(body))):
            return None
        body += part
    output, status = passed
    return StepProgram(**json.loads(body)), output, status


def preload(modules: Sequence[str]) -> None:
    """Import the libraries and end the threads that they started to compute with."""
    for name in modules:
        if name == "feast":
            plain_feast.load()
        importlib.import_module(name)
    # OpenBLAS starts its threads as it is loaded and ends them before a fork: this is the one that ends them.
    if not (child := os.fork()):
        os._exit(0)
    os.waitpid(child, 0)
    gc.collect()
    gc.freeze()  # a collection in a step would copy every page that the steps share


def in_the_way(known: tuple[int, ...]) -> str:
    """Say why this process must not be forked; '' where it may: one thread, no file but the `known` ones."""
    threads = [Path(f"/proc/self/task/{one}/comm").read_text().strip() for one in os.listdir("/proc/self/task")]
    if len(threads) > 1:
        return f"{len(threads)} threads: {', '.join(sorted(threads))}"
    found = {name: target for name in os.listdir("/proc/self/fd") if (target := _target(name))}
    opened = sorted(target for name, target in found.items() if int(name) not in (0, 1, 2, *known))
    return f"open files: {', '.join(opened)}" if opened else ""


def _target(number: str) -> str:
    """Say what a file descriptor is of; '' where it is closed by now, as the one that lists the folder."""
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except FileNotFoundError:
        return ""


class Steps:
    """The steps that run now, by a descriptor that becomes readable when one ends."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.selector = selectors.DefaultSelector()
        self.selector.register(control, selectors.EVENT_READ)
        self.running: dict[int, tuple[int, socket.socket]] = {}

    def next(self) -> tuple[StepProgram, int] | None:
        """Serve until the run ends (None); in a process that is a new step return what it runs and its output."""
        while True:
            for key, _ in self.selector.select():
                if key.fd in self.running:
                    self._ended(key.fd)
                elif (request := _received(self.control)) is None:
                    self._stop()
                    return None
                elif self._forked(*request[1:]):
                    return request[0], request[1]

    def _forked(self, output: int, status: int) -> bool:
        """Fork; True in the step."""
        sys.stdout.flush()
        sys.stderr.flush()
        starter = os.getpid()
        if not (child := os.fork()):
            _end_with(starter)
            return True
        os.close(output)
        ends = os.pidfd_open(child)
        self.running[ends] = child, socket.socket(fileno=status)
        self.selector.register(ends, selectors.EVENT_READ)
        return False

    def _ended(self, ends: int) -> None:
        child, status = self.running.pop(ends)
        self.selector.unregister(ends)
        os.close(ends)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with status, contextlib.suppress(BrokenPipeError):  # the run may just have ended
            status.sendall(STATUS.pack(code))

    def _stop(self) -> None:
        """Leave no step behind a run that has ended or was killed."""
        self.selector.unregister(self.control)
        self._wait(GRACE_S)
        for number in (signal.SIGTERM, signal.SIGKILL):  # asked first: a step takes back what it has half written
            for child, _ in self.running.values():
                os.kill(child, number)
            self._wait(GRACE_S if number == signal.SIGTERM else 0)

    def _wait(self, seconds: float) -> None:
        """Wait until every step has ended, as long as that at most."""
        until = time.monotonic() + seconds
        while self.running and (left := until - time.monotonic()) > 0:
            for key, _ in self.selector.select(left):
                self._ended(key.fd)


def _end_with(starter: int) -> None:
    """Have this process killed when the starter is."""
    ctypes.CDLL(None, use_errno=True).prctl(_DIES_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != starter:  # it was, meanwhile
        os._exit(1)


def _asked_to_end(number: int, frame: object) -> NoReturn:
    """End by the signal, as a new Python would, but only after the step has taken back what it has half written."""
    sys.exit(-number)


def become(program: StepProgram, output: int) -> None:
    """Make this fork what a new Python would be: its output, variables, folder, signals, random numbers, arguments."""
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(program.environment)
    time.tzset()
    os.chdir(program.folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _asked_to_end)  # a new Python would die of it, with its half-written files left
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed()  # Python's own generator does so by itself


def execute(program: StepProgram) -> None:
    """Run a step as kfp's shell script does, but leave no copy of its source behind."""
    from kfp.dsl.executor_main import executor_main

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{COMPONENT}.py"
        path.write_text(program.source, encoding="utf-8")
        sys.argv = [str(sys.modules[executor_main.__module__].__file__), "--component_module_path", str(path)]
        sys.argv += program.arguments
        executor_main()


def status_of(work: Callable[[], None]) -> int:
    """Do the work and return the exit status that a Python program ends with after it."""
    try:
        work()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # a program that fails says why and ends with 1
        traceback.print_exc()
        return 1
    return 0


def leave(status: int) -> NoReturn:
    """End as a Python program does, but without clearing its modules away.

    That takes half a second of computing, ten times what a small step needs: every page that forks share is copied for
    it. `multiprocessing` ends its forks so as well.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


def main(descriptor: int, modules: Sequence[str]) -> None:
    """Import, tell whether steps may be forked, and fork those that are asked for until the run ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the steps' and the run's
    control = socket.socket(fileno=descriptor)
    preload(modules)
    reason = in_the_way((descriptor,))
    control.sendall(HEADER.pack(len(reason.encode())) + reason.encode())
    if not reason and (step := Steps(control).next()) is not None:
        control.detach()  # `become` closes it: were it closed again later, it might be a file of the step's by then
        become(*step)
        leave(status_of(lambda: execute(step[0])))
    leave(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
