"""Run tests against mutants, each in a fork of a process in which all libraries are imported already.

Importing torch, DuckDB and the rest costs seconds, a mutant's tests cost less. So the server imports the libraries that
the tests were seen to import, and none of this repository's modules; a fork then imports these, with one of them
mutated. Nothing is written into the tree, and mutants run side by side.
"""

import contextlib
import gc
import importlib
import importlib.machinery
import importlib.util
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PASSED = 0
MORE_CPU, LEAST_CPU_S = 5, 10  # what a mutant may take: a multiple of its tests' own time, and some at least
WALL = 12  # wall-clock seconds per second of processor time: cores may be busy with other things
GROWTH = 6 << 30  # bytes that a mutant may add


@dataclass(frozen=True)
class Job:
    """Tests to run, against a module's edited source or, without one, as it is."""

    name: str
    tests: Sequence[str]
    module: str = ""  # as a path
    source: str | None = None
    cpu_s: float = 120.0


@dataclass(frozen=True)
class Result:
    """How a job ended."""

    job: Job
    code: int  # pytest's; -1 where the time was over
    cpu_s: float
    output: str
    libraries: Sequence[str] = ()

    @property
    def passed(self) -> bool:
        """Tell whether all tests passed."""
        return self.code == PASSED


def import_all(names: Iterable[str]) -> None:
    """Import libraries here, for the forks to come; one that cannot be imported by itself is left out."""
    for name in names:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection in a fork would copy every page that it looks at


def run(jobs: Iterable[Job], *, parallel: int) -> Iterator[Result]:
    """Run jobs in forks, so many at a time; yield results as they come."""
    waiting, running = iter(jobs), dict[int, _Fork]()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        for number in range(sys.maxsize):
            while len(running) < parallel and (job := next(waiting, None)) is not None:
                fork = _Fork(job, Path(folder) / f"{number}-{len(running)}")
                running[fork.pid] = fork
            if not running:
                return
            time.sleep(0.02)
            for pid, fork in list(running.items()):
                if (result := fork.result()) is not None:
                    del running[pid]
                    yield result


class _Fork:
    """One job in a process of its own."""

    def __init__(self, job: Job, folder: Path) -> None:
        self.job, self.folder = job, folder
        folder.mkdir(parents=True)
        self.by = time.monotonic() + WALL * job.cpu_s
        self.pid = os.fork()
        if not self.pid:
            _run(job, folder)

    def result(self) -> Result | None:
        """Return the result of a job that ended or whose time is over, else None."""
        pid, status, used = os.wait4(self.pid, os.WNOHANG)
        if not pid:
            if time.monotonic() < self.by:
                return None
            self._end()
            _, status, used = os.wait4(self.pid, 0)
        self._end()  # what its tests may have left running
        code = os.waitstatus_to_exitcode(status)
        output, libraries = self.folder / "output", self.folder / "libraries"
        text = output.read_text(errors="replace") if output.is_file() else ""
        named = json.loads(libraries.read_text()) if libraries.is_file() else []
        shutil.rmtree(self.folder, ignore_errors=True)
        return Result(self.job, -1 if code < 0 else code, used.ru_utime + used.ru_stime, text, named)

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def _run(job: Job, folder: Path) -> None:
    """Run a job's tests and leave, by whatever way."""
    code = 1
    try:
        os.setpgid(0, 0)
        _limit(job.cpu_s)
        output = os.open(folder / "output", os.O_WRONLY | os.O_CREAT)
        for stream in (1, 2):
            os.dup2(output, stream)
        if job.source is not None:
            sys.meta_path.insert(0, _Finder(job.module, job.source))
        options = ("-x", "-q", "--import-mode=importlib", "--doctest-modules", "--no-header", "--tb=line")
        plugins = ("-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:randomly", "-o", "addopts=")
        code = int(pytest.main([*options, *plugins, f"--basetemp={folder / 'tmp'}", *job.tests]))
        if job.source is None:
            (folder / "libraries").write_text(json.dumps(_libraries()))
    finally:
        sys.stdout.flush()
        os._exit(code)


def _limit(cpu_s: float) -> None:
    """End an endless loop, and one that fills the memory."""
    seconds = int(cpu_s) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pages = int(Path("/proc/self/statm").read_text().split()[5])  # of data and stack
    most = pages * resource.getpagesize() + GROWTH
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _libraries() -> list[str]:
    """Name the modules of libraries that are imported by now, in the order of their import."""
    found = ((name, getattr(module, "__spec__", None)) for name, module in list(sys.modules.items()))
    return [
        name
        for name, spec in found
        if isinstance(spec, importlib.machinery.ModuleSpec) and name != "__main__" and not _ours(spec)
    ]


def _ours(spec: importlib.machinery.ModuleSpec) -> bool:
    """Tell whether a module is of this checkout, whose .venv is not."""
    places = [str(place) for place in (spec.origin, *(spec.submodule_search_locations or ()))]
    return any(place.startswith(f"{ROOT}{os.sep}") and "site-packages" not in place for place in places)


class _Finder:
    """Finds one module with an edited source."""

    def __init__(self, module: str, source: str) -> None:
        self.name = module.removesuffix(".py").replace("/", ".")
        self.loader = _Loader(self.name, str(ROOT / module), source)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec of the edited module, None for others."""
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.loader.path, loader=self.loader)


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self.edited = source

    def get_code(self, fullname: str) -> CodeType:
        """Compile the edited source; byte code of the original is never read or written."""
        return compile(self.edited, self.path, "exec", dont_inherit=True)
