"""What every test may use: golden files, rewritten only on request; and how tests are shared out to processes.

Tests of one folder share costly fixtures, so a folder stays in one process; the tests on the finished shop, which
take longest, begin first, and folders without processes and worlds last: they are short, and fill the end evenly.

`make test-fast` leaves out tests with the mark `process`: those that start processes (servers, browsers, whole runs)
or compile pipelines. Folders and fixtures below have it; others say so themselves, and one that forgets fails in every
selection.
It leaves out `world` as well: tests that build profiles or samples, read the zoo's files or start Great Expectations.
"""

import functools
import gc
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from feature_repo import plain_feast
from tests import mlflow_database

SHOP = "shop"  # the fixture that runs a whole demo
ALONE = ("jobs", "kubeflow", "rollout")  # folders of pipelines/ whose own fixtures are costly
FAST = "not process and not world"
TAKE_FEAST = ("bounded_postgres.py", "no_offline.py")  # which Feast imports, when it is there
SHARED_MEMORY, ROOM_GIB = "/dev/shm", 8.0
TEMPORARY = "PYTEST_DEBUG_TEMPROOT"  # pytest's own name for where tests' folders are
OPT_IN = ("slow", "cluster", "gpu", "images")  # marks of tests that run only where -m asks for them
PROCESS_FOLDERS = ("benchmarks", "browser", "chaos", "distributed", "graphs", "images", "jobs", "kubeflow")
PROCESS_FIXTURES = {SHOP, "laptop", "registry", "server", "sqlite", "store"}  # MLflow's database takes as long
LIGHT = (
    "git",
    "uname",
    "ldconfig",
    "lscpu",
    "kubectl",
    "promtool",
)  # programs that end at once, which libraries also ask


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--update-golden`."""
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden files with what the code makes")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import what `make test-fast` leaves out whole."""
    folder = collection_path.is_dir() and collection_path.name in PROCESS_FOLDERS
    return True if folder and config.getoption("-m") == FAST and "tests" in collection_path.parts else None


def pytest_collect_file(file_path: Path) -> None:
    """Import Feast as the product does, in half the time, before a module that leaves this to its callers."""
    if file_path.name in TAKE_FEAST:
        plain_feast.load()


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is opt-in unless `-m` asks for it; group tests for `-n`."""
    asked = config.getoption("-m")
    for item in items:
        if starts_processes(item):
            item.add_marker("process")
    groups, lengths = {item: group(item) for item in items}, dict[str, int]()
    for item, name in groups.items():
        lengths[name] = min(lengths.get(name, 3), turn(item, name))
    items.sort(key=lambda item: lengths[groups[item]])
    for item, name in groups.items():
        for mark in OPT_IN:
            if item.get_closest_marker(mark) and mark not in asked:
                item.add_marker(pytest.mark.skip(reason=f"opt in with -m {mark}"))
        item.add_marker(pytest.mark.xdist_group(name))


def starts_processes(item: pytest.Item) -> bool:
    """Tell by its folder and fixtures whether a test starts processes."""
    fixtures = PROCESS_FIXTURES & set(getattr(item, "fixturenames", ()))
    return bool(fixtures or set(PROCESS_FOLDERS) & set(parts_of(item.path, item.config.rootpath)[1:-1]))


class Watch:
    """Refuses processes to tests that `make test-fast` runs, whichever selection runs now.

    Tests share fixtures: one whose set-up started a process is refused to them as well, also where a test with the mark
    set it up before. A thread that was there before a test is none of it, such as one of a server that others share.
    Nor is a fixture that every test gets: it may start a server because others ask for it. Where `fast` tests run
    alone, nobody else asks.
    """

    def __init__(self, *, fast: bool) -> None:
        self.fast = fast
        self.running: pytest.Item | None = None
        self.refused = ""  # why the running test fails: what it was told in a thread of its own, it may not have heard
        self.ending = False
        self.threads: set[threading.Thread] = set()  # that were there before the test
        self.being_set_up: list[pytest.FixtureDef[Any]] = []
        self.starting: set[pytest.FixtureDef[Any]] = set()  # fixtures that start processes

    def heard(self, arguments: Any, executable: Any, *, shell: bool) -> None:
        """Fail the running test where it starts a program that is not one of the light ones."""
        if self.running is None or threading.current_thread() in self.threads:
            return
        first = arguments[0] if isinstance(arguments, list | tuple) else arguments
        program = Path(os.fsdecode(executable or ("sh" if shell else first))).name
        if program in LIGHT or (self.ending and self.starting):  # fixtures of others may end with it
            return
        if not self.fast and any(fixture._autouse for fixture in self.being_set_up):
            return
        self.starting |= set(self.being_set_up)
        if runs_fast(self.running):
            self.refuse(f"starts {program}")

    def refuse(self, what: str) -> NoReturn:
        """Fail the running test."""
        self.refused = f"{what}: give the test or its file the mark `process` (tests/conftest.py)"
        pytest.fail(self.refused)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Remember which test runs."""
        self.running, self.threads = item, set(threading.enumerate()) - {threading.main_thread()}
        self.refused, self.ending = "", False
        try:
            return (yield)
        finally:
            self.running = None

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Fail a test that uses a fixture for which another test started a process."""
        used = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
        found = [name for name, definitions in used.items() if definitions[-1] in self.starting]
        if found and runs_fast(item):
            self.refuse(f"uses the fixture {found[0]}, which starts a process")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Iterator[None]:
        """Fail a test that a thread of its own did not fail."""
        yield
        if self.refused:
            pytest.fail(self.refused)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self) -> None:
        """Remember that fixtures end, also those that no later test uses."""
        self.ending = True

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
        """Remember which fixtures are being set up, each for the next."""
        self.being_set_up.append(fixturedef)
        try:
            return (yield)
        finally:
            self.being_set_up.pop()


def runs_fast(item: pytest.Item) -> bool:
    """Tell whether `make test-fast` runs a test."""
    return not any(item.get_closest_marker(mark) for mark in ("process", "world", *OPT_IN))


def pytest_configure(config: pytest.Config) -> None:
    """Let libraries compute with one thread, and watch for processes that tests start without saying so.

    Toy products gain nothing from a second thread, and threads that wait for each other spin: the ranking tests took
    twice the CPU time. A variable, as it must be there before torch is imported, here and in programs that tests start.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("INTENTFLOW_DOOR_WORKERS", "1")  # a door a core would starve the tests beside it
    if config.option.basetemp is None and TEMPORARY not in os.environ and (root := in_memory()):
        os.environ[TEMPORARY] = root
        config.add_cleanup(lambda: os.environ.pop(TEMPORARY))
    # With torch and the rest loaded a full collection takes half a second, and importing or compiling makes many.
    gc.set_threshold(50_000, 20, 100)
    watch = Watch(fast=config.getoption("-m") == FAST)
    config.pluginmanager.register(watch, "watch")
    tell_of_programs(watch)


@pytest.hookimpl(trylast=True)  # when the other processes have ended
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Leave no folders in memory; where a test failed, they stay until the next run but two."""
    config = session.config
    if exitstatus == 0 and os.environ.get(TEMPORARY) == SHARED_MEMORY and not hasattr(config, "workerinput"):
        factory: pytest.TempPathFactory = config._tmp_path_factory  # type: ignore[attr-defined]
        shutil.rmtree(factory.getbasetemp(), ignore_errors=True)


def in_memory() -> str:
    """Return a folder whose files are in memory, '' where none has room and lets programs be run.

    Databases and state folders wait for the disk at each change, tens of thousands of times.
    """
    try:
        found = os.statvfs(SHARED_MEMORY)
        free = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())["MemAvailable"]
    except (OSError, KeyError):
        return ""
    room = min(found.f_bavail * found.f_frsize, int(free.split()[0]) * 1024)
    usable = room > ROOM_GIB * 2**30 and not found.f_flag & (os.ST_NOEXEC | os.ST_RDONLY)
    return SHARED_MEMORY if usable and os.access(SHARED_MEMORY, os.W_OK) else ""


def tell_of_programs(watch: Watch) -> None:
    """Have `watch` hear of every program that this process starts.

    Python's own audit events would tell as well. But it raises one for each `id()` and each look at a frame, so with a
    hook copies of nested objects take four times as long, and so do imports.
    """
    begun = subprocess.Popen.__init__

    @functools.wraps(begun)
    def beginning(process: Any, args: Any, *more: Any, **named: Any) -> None:
        watch.heard(args, named.get("executable"), shell=bool(named.get("shell")))
        begun(process, args, *more, **named)

    subprocess.Popen.__init__ = beginning  # type: ignore[assignment]


@pytest.hookimpl(tryfirst=True)  # before fixtures of the test are set up
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let MLflow's new databases be copies, as soon as some test has brought its code."""
    mlflow_database.share(item.config._tmp_path_factory)  # type: ignore[attr-defined]


def pytest_collection_finish() -> None:
    """Leave what was imported out of collections from here on."""
    gc.collect()
    gc.freeze()


def group(item: pytest.Item) -> str:
    """Name the tests that one process runs: by folder, but those that need the shop's demo, and those that do not."""
    parts = parts_of(item.path, item.config.rootpath)
    of_pipelines = parts[:2] == ("tests", "pipelines")
    if of_pipelines and uses_the_demo(item):
        return SHOP
    folder = "".join(parts[-2:-1])
    return item.path.stem if of_pipelines and folder not in ALONE else folder


@functools.cache
def parts_of(path: Path, root: Path) -> tuple[str, ...]:
    """Return the folders of a test's file, from the checkout's root, and its name."""
    return path.relative_to(root).parts


def turn(item: pytest.Item, group: str) -> int:
    """Return when a test's group begins: what takes longest first, so that both processes end together."""
    if group == SHOP:
        return 0
    return 1 if item.get_closest_marker("process") else 2 if item.get_closest_marker("world") else 3


def uses_the_demo(item: pytest.Item) -> bool:
    """Tell whether a test uses the shop whose demo has run: some files have a shop of their own, which takes less."""
    found = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {}).get(SHOP)
    return found is not None and found[-1].scope == "session"


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Say whether golden files are to be rewritten."""
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture
def golden(update_golden: bool) -> Callable[[Path, str], None]:
    """Compare a text with its golden file, or rewrite the file on request."""

    def compare(path: Path, text: str) -> None:
        if update_golden:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        assert path.is_file(), f"{path} is missing; make it with: pytest --update-golden"
        assert text == path.read_text(), f"{path.name} differs; if that is meant: pytest --update-golden"

    return compare
