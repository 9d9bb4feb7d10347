"""Have a local run's steps start warm: as forks of one process that imports the heavy libraries once.

A step that is a new Python imports kfp, torch, MLflow and the rest before it does anything: most of a small run is
that. Steps that measure their own memory start as new processes still. Where this platform cannot fork so, or a library
started a thread or opened a file as it was imported, all do, and the run's log says why. What a forked step is like,
step_forks.py says.
"""

import contextlib
import logging
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import IO

from components.step import OWN_PROCESS, PATIENT
from pipelines.runs.step_forks import HEADER, ONE_THREAD, OPENS_FILES, PRELOADED, STATUS, StepProgram, send

EXECUTOR = "-m kfp.dsl.executor_main"
SCRIPT = "program_path=$(mktemp -d)"  # how kfp's script begins where there is nothing to install first
# Steps that measure how the memory of their process grows with a model and the libraries that it takes
# (components/measure.py): in a fork that has imported them a gate would judge another number.
MEASURED = ("baseline_intent", "evaluate_intent", "baseline_ranking", "evaluate_ranking")
STOP_S = 10  # within which the starter ends its steps and itself; it is killed then
Started = Callable[[list[str], dict[str, str] | None], int]
log = logging.getLogger("intentflow")


def available() -> bool:
    """Tell whether this platform can start steps warm: it forks safely, and tells by a descriptor when one ends."""
    return sys.platform == "linux" and hasattr(os, "pidfd_open")


@contextlib.contextmanager
def warm(*, wanted: bool = True) -> Iterator[None]:
    """Have kfp's local runner start steps warm while the block lasts, where that is wanted and possible."""
    if not wanted or not available():
        yield
        return
    with starter() as steps:
        from kfp.local import subprocess_task_handler  # takes seconds, in which the starter imports as well

        cold: Started = subprocess_task_handler.run_local_subprocess

        def started(full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
            program = program_of(full_command, env_vars or {})
            return cold(full_command, env_vars) if program is None or not steps.ready() else steps.run(program)

        subprocess_task_handler.run_local_subprocess = started
        try:
            yield
        finally:
            subprocess_task_handler.run_local_subprocess = cold


def program_of(command: list[str], added: dict[str, str]) -> StepProgram | None:
    """Read kfp's command of a step; None where it has to be a new process: it measures itself or installs packages."""
    shell, script, *rest = command[:1], command[2] if len(command) > 2 else "", *command[3:]
    known = shell == ["sh"] and script.startswith(SCRIPT) and EXECUTOR in script
    if not known or not rest or rest[-1] in MEASURED:
        return None
    environment = dict(os.environ) | added | {OWN_PROCESS: "true"}
    return StepProgram(source=rest[0], arguments=rest[1:], environment=environment, folder=os.getcwd())


class Starter:
    """The process that forks steps, from the side of the run."""

    def __init__(self, control: socket.socket, process: "subprocess.Popen[bytes]", said: IO[bytes]) -> None:
        self.control, self.process, self.said = control, process, said
        self.asking = threading.Lock()
        self.able: bool | None = None

    def ready(self) -> bool:
        """Wait until the libraries are imported; False where steps cannot be forked, which the log then says."""
        with self.asking:
            if self.able is None:
                reason = self._reason()
                self.able = not reason
                if reason:
                    log.warning("steps start as new processes: %s", reason)
            elif self.able and self.process.poll() is not None:
                self.able = False
                log.warning("steps start as new processes from here on: %s", self._ended())
            return self.able

    def run(self, program: StepProgram) -> int:
        """Run a step, print what it prints, and return its exit status: not 0 where the starter was killed."""
        reads, writes = os.pipe()
        here, there = socket.socketpair()
        with here, open(reads, encoding="utf-8", errors="replace") as output:
            try:
                with self.asking:
                    send(self.control, program, output=writes, status=there.fileno())
            except OSError:
                print(f"the step could not start: {self._ended()}")
                return 1
            finally:
                os.close(writes)
                there.close()
            for line in output:
                print(line, end="")
            print("\n")
            told = here.recv(STATUS.size, socket.MSG_WAITALL)
        return int(STATUS.unpack(told)[0]) if len(told) == STATUS.size else 1

    def _reason(self) -> str:
        """Return what stands in the way of forks, '' for nothing."""
        header = self.control.recv(HEADER.size, socket.MSG_WAITALL)
        if len(header) < HEADER.size:
            return self._ended()
        size = HEADER.unpack(header)[0]
        return self.control.recv(size, socket.MSG_WAITALL).decode() if size else ""

    def _ended(self) -> str:
        """Say how the starter ended, with the last line that it wrote."""
        code = self.process.wait(STOP_S)
        self.said.seek(0)
        last = self.said.read().decode(errors="replace").strip().rpartition("\n")[2]
        return f"the process that forks them ended with status {code}" + (f" ({last})" if last else "")


@contextlib.contextmanager
def starter(modules: Sequence[str] = PRELOADED) -> Iterator[Starter]:
    """Start the process that forks steps, and end it: with it end the steps that still run."""
    here, there = socket.socketpair()
    # As a step would have them: libraries read them while they are imported.
    here_set = {name: value for name, value in os.environ.items() if name != OPENS_FILES}
    environment = PATIENT | here_set | ONE_THREAD | {OWN_PROCESS: "true"}
    with here, tempfile.TemporaryFile() as said:
        with there:
            command = [sys.executable, "-m", "pipelines.runs.step_forks", str(there.fileno()), *modules]
            process = subprocess.Popen(command, env=environment, stdout=said, stderr=said, pass_fds=[there.fileno()])
        found = Starter(here, process, said)
        try:
            yield found
        finally:
            if found.able is None:  # it still imports, and no step runs
                process.kill()
            here.close()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
