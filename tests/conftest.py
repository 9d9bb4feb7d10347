"""What every test may use: golden files, rewritten only on request; and how tests are shared out to processes.

Tests of one folder share costly fixtures, so a folder stays in one process; the tests on the finished shop, which
take longest, begin first.
"""

import gc
from collections.abc import Callable
from pathlib import Path

import pytest

SHOP = "shop"  # the fixture that runs a whole demo
ALONE = ("jobs", "kubeflow", "rollout")  # folders of pipelines/ whose own fixtures are costly


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--update-golden`."""
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden files with what the code makes")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is opt-in unless `-m` asks for it; group tests for `-n`."""
    asked = config.getoption("-m")
    items.sort(key=lambda item: group(item) != SHOP)
    for item in items:
        for mark in ("slow", "cluster", "gpu", "images"):
            if item.get_closest_marker(mark) and mark not in asked:
                item.add_marker(pytest.mark.skip(reason=f"opt in with -m {mark}"))
        item.add_marker(pytest.mark.xdist_group(group(item)))


def pytest_collection_finish() -> None:
    """Collect rarely: with torch and the rest loaded a full collection takes half a second, and compiling many."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def group(item: pytest.Item) -> str:
    """Name the tests that one process runs: by folder, but those that need the shop's demo, and those that do not."""
    place = item.path.relative_to(item.config.rootpath)
    of_pipelines = place.parts[:2] == ("tests", "pipelines")
    if of_pipelines and SHOP in getattr(item, "fixturenames", ()):
        return SHOP
    return place.stem if of_pipelines and place.parent.name not in ALONE else place.parent.name


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
