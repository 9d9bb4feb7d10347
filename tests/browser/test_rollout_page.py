"""A person moves the alias in MLflow's own UI, and serving follows while it is asked."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest

from pipelines.releases import processes, uis
from tests.browser.page import Page
from tests.pipelines.rollout.laptop import GOOD, Laptop, load, opened, quiet, released

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """Two releases, the first of which serves; the loop watches."""
    with opened(released(tmp_path_factory.mktemp("shop"), GOOD), tmp_path_factory.mktemp("loop")) as machine:
        machine.watch()
        yield machine


@pytest.fixture(scope="module")
def mlflow(laptop: Laptop) -> str:
    """MLflow's UI over the registry that the loop follows."""
    process = uis.mlflow(laptop.place.home, uri=laptop.place.variables["MLFLOW_TRACKING_URI"], port=0)
    assert process is not None
    (state,) = processes.up(laptop.place.home, [process], wait_s=180)
    assert state.state == "started", state.reason
    return f"http://127.0.0.1:{state.url.split(':')[2].split('/')[0]}"


def give_alias(page: Page, alias: str) -> None:
    """Give the version that a page shows an alias, as a person does."""
    page.click('[data-component-id*="modelversionviewaliaseditor"]')
    page.shows("Save aliases")
    page.click("[role=dialog] input[role=combobox]")
    page.type(alias)
    page.press("Enter")
    page.click('[data-component-id="mlflow.edit-aliases-modal.save-button"]')
    page.shows(f"@ {alias}")


def test_an_alias_moved_in_the_ui_rolls_the_release_out_without_a_failed_request(
    laptop: Laptop, mlflow: str, browse: AbstractContextManager[Page]
) -> None:
    with load(laptop.url) as seen, browse as page:
        address = f"{mlflow}/#/models/shop-release/versions/2"
        page.open(address)
        page.shows("shop-release")
        give_alias(page, "champion")
        now = laptop.settled("2", "promoted", seconds=240)
        time.sleep(1)
        page.open("about:blank")
        page.open(address)
        shown = page.shows("rollout_log")
    quiet(seen)
    assert now["stable"]["version"] == "2"
    assert {release for _, release in seen.answers} >= {now["stable"]["release"]}
    assert "champion moved here from version 1" in shown
    assert "promoted: it is stable" in shown
    assert laptop.holder("previous") == "1"
