"""What tests of the pages of rules share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from pipelines import rules as live
from pipelines.console.rules import LiveRules
from tests.console.owners import Installed
from tests.console.pages import visitor
from tests.pipelines.test_status import SPEC


@pytest.fixture
def shopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installed]:
    found = Installed(tmp_path)
    monkeypatch.setattr(live, "catalogue_of", found.catalogue)
    monkeypatch.setattr(live, "previewed", found.cost)
    yield found
    for door in found.world.opened:  # type: ignore[attr-defined]
        door.close()


@pytest.fixture
def browser(shopped: Installed, tmp_path: Path) -> Callable[[], TestClient]:
    """Open a console over it; each call is another owner's browser, and another process."""
    from pipelines.environment import place

    here = place(SPEC, "local", variables={"INTENTFLOW_STATE": str(tmp_path / "state")})
    return lambda: visitor(rules=LiveRules(lambda: here, shopped.service))
