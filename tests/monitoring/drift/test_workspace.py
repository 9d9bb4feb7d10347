"""The workspace in a folder: a run is kept once and whole, and the dashboard is laid out around what people added."""

import datetime as dt
import os
import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from monitoring.drift.board import NAMESPACE, Point, limits
from monitoring.drift.compare import compare
from monitoring.drift.workspace import StoredReport, keep, show
from monitoring.spec import Monitoring


@pytest.fixture(scope="module")
def snapshot():
    rng = np.random.default_rng(0)
    now, then = (pd.DataFrame({"spend": rng.gamma(2, 1, 200), "mix": rng.choice(["a", "b"], 200)}) for _ in range(2))
    return compare(now, then, spec=Monitoring(), metadata={"key": "k1"}).snapshot


def kept(folder: Path, snapshot, *, key: str = "k1") -> StoredReport:
    return keep(snapshot, address=str(folder), name="shop", title="shop: stable", key=key)


def test_a_run_is_kept_once(tmp_path: Path, snapshot) -> None:
    first, second = kept(tmp_path / "ws", snapshot), kept(tmp_path / "ws", snapshot)
    assert (first.added, second.added) == (True, False)
    assert (first.project, first.run) == (second.project, second.run)
    assert [p.stem for p in tmp_path.glob("ws/*/snapshots/*.json")] == [first.run]
    assert kept(tmp_path / "ws", snapshot, key="k2").added


def test_a_full_disk_leaves_no_half_written_run(tmp_path: Path, snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = os.replace

    def full(source: object, target: object) -> None:
        if "snapshots" in str(target):
            raise OSError(28, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            kept(tmp_path / "ws", snapshot)
    assert list(tmp_path.glob("**/snapshots/*.json")) == []
    assert kept(tmp_path / "ws", snapshot).added


def test_the_dashboard_is_laid_out_once_and_keeps_what_people_added(tmp_path: Path, snapshot) -> None:
    from evidently.sdk.panels import text_panel
    from evidently.ui.workspace import Workspace

    point = Point("check", dt.datetime(2017, 10, 9, tzinfo=dt.UTC), {"drifted share": 0.0} | limits(Monitoring()))

    def shown() -> None:
        show([point], Monitoring(), address=str(tmp_path / "ws"), name="shop")

    project = kept(tmp_path / "ws", snapshot).project
    shown()
    board = Workspace(str(tmp_path / "ws")).get_project(project).dashboard
    board.add_panel(text_panel("Whom to call"), tab="Drift")
    board.add_panel(text_panel("Notes"), tab="Ours")
    shown()
    before = board.model()
    shown()
    assert board.model() == before
    assert [t.title for t in before.tabs] == ["Drift", "Ours"]
    titles = {p.id: p.title for p in before.panels}
    assert [[titles[p] for p in tab.panels] for tab in before.tabs] == [
        ["Drift", "Share of columns that drifted", "Whom to call"],
        ["Notes"],
    ]


def test_panels_that_earlier_versions_made_go(tmp_path: Path, snapshot) -> None:
    from evidently.sdk.models import DashboardModel, DashboardTabModel
    from evidently.sdk.panels import bar_plot_panel
    from evidently.ui.workspace import Workspace

    project = kept(tmp_path / "ws", snapshot).project
    old = bar_plot_panel("Score by column", [])
    old = old.copy(update={"id": uuid.uuid5(NAMESPACE, old.title)})
    tab = DashboardTabModel(id=uuid.uuid5(NAMESPACE, "Drift"), title="Drift", panels=[old.id])
    Workspace(str(tmp_path / "ws")).save_dashboard(project, DashboardModel(tabs=[tab], panels=[old]))
    point = Point("check", dt.datetime(2017, 10, 9, tzinfo=dt.UTC), {"drifted share": 0.0} | limits(Monitoring()))
    show([point], Monitoring(), address=str(tmp_path / "ws"), name="shop")
    found = Workspace(str(tmp_path / "ws")).get_dashboard(project)
    assert [panel.title for panel in found.panels] == ["Drift", "Share of columns that drifted"]
