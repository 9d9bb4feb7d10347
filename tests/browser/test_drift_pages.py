"""What people see of drift: the page of a comparison, and the project in Evidently's own UI."""

import datetime as dt
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from monitoring.drift.board import Point, limits
from monitoring.drift.compare import Drift, compare
from monitoring.drift.workspace import keep, show
from monitoring.spec import Monitoring
from monitoring.steps import page
from pipelines.releases.processes import State, down, up
from pipelines.releases.uis import evidently
from tests.browser.page import Page
from tests.patience import patient

Look = Callable[[str], str]


@pytest.fixture(scope="module")
def drift() -> Drift:
    """A drift of spend, planted."""
    rng = np.random.default_rng(0)
    then = pd.DataFrame({"spend": np.log1p(rng.gamma(2, 10, 400)), "mix": rng.choice(["soup", "bread"], 400)})
    now = then.assign(spend=then["spend"] + 2)
    at = dt.datetime(2017, 12, 25, 5, tzinfo=dt.UTC)
    return compare(now, then, spec=Monitoring(), at=at, metadata={"key": "k1"})


@pytest.fixture
def ui(tmp_path: Path, look: Look) -> Iterator[State]:
    """A running Evidently over an empty workspace.

    One a test: a project that its own API creates is written in place, and its watch over the folder ends for good
    when it reads the half of one.
    """
    home = tmp_path / "home"
    home.mkdir()
    process = evidently(home, workspace=str(home / "evidently"), port=0)
    assert process is not None
    (state,) = up(home, [process], wait_s=180)
    assert state.state == "started", state.reason
    yield state
    down(home)


def test_the_page_shows_the_verdict_and_the_columns(look: Look, drift: Drift, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(page(drift, title="shop: test weeks 46-53: drifted"))
    text = look(f"file://{tmp_path}/report.html")
    assert "shop: test weeks 46-53: drifted" in text
    assert "1 of 2 columns drifted (a verdict needs a share of 0.3): spend psi" in text
    assert "Drift is detected for 50.0% of columns (1 out of 2)" in text  # Evidently's table was drawn


def test_the_page_fits_a_side_panel(browse: AbstractContextManager[Page], drift: Drift, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(page(drift, title="shop: test weeks 46-53: drifted"))
    with browse as tab:
        tab.open(f"file://{tmp_path}/report.html", width=560)
        tab.shows("Drift is detected for 50.0% of columns (1 out of 2)")
        widest = tab.run(
            "Math.max(...[...document.querySelectorAll('[id^=root_metric_] *')]"
            ".map(one => one.getBoundingClientRect().right))"
        )
    assert 400 < widest <= 560


@pytest.mark.slow  # a UI of its own; CI runs it
def test_a_run_sent_to_a_server_is_kept_once_and_shown(look: Look, drift: Drift, ui: State) -> None:
    sent = {"address": ui.url, "name": "shop", "title": "shop: drifted", "key": "k1"}
    first, second = keep(drift.snapshot, **sent), keep(drift.snapshot, **sent)
    assert (first.added, second.added, first.run == second.run) == (True, False, True)
    assert "Drift of what the recommender 'shop' sees" in look(ui.url)
    point = Point("check", dt.datetime(2017, 12, 25, 5, tzinfo=dt.UTC), {"psi.spend": 2.4} | limits(Monitoring()))
    show([point], Monitoring(), address=ui.url, name="shop")
    board = look(f"{ui.url}/projects/{first.project}")
    assert "Number columns: PSI" in board
    assert "2017-12-25" in board  # the data's clock
    assert "shop: drifted" in look(f"{ui.url}/projects/{first.project}/reports")


@pytest.mark.slow  # a UI of its own; CI runs it
def test_a_run_kept_in_the_folder_is_shown_without_a_restart(look: Look, drift: Drift, ui: State) -> None:
    folder = ui.log.parent.parent / "evidently"
    kept = keep(drift.snapshot, address=str(folder), name="movies", title="movies: stable", key="k2")
    # The UI reads the folder again when the system tells it of a change: its page may be asked before.
    deadline = time.monotonic() + patient(30)
    while "movies: stable" not in (shown := look(f"{ui.url}/projects/{kept.project}/reports")):
        assert time.monotonic() < deadline, shown
