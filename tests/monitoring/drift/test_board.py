"""The dashboard: level lines, one unit a panel, no empty chart, ninety days, and what people added stays."""

import datetime as dt
from pathlib import Path

import pytest

from monitoring.drift import board, workspace
from monitoring.drift.board import Point
from monitoring.spec import Monitoring
from tests.monitoring.records import past

SPEC = Monitoring()
AT = dt.datetime(2017, 10, 16, tzinfo=dt.UTC)
CHECK = {"psi.spend": 0.05, "distance.mix": 0.02, "drifted share": 0.0, "age of training": 56.0}


def check(at: dt.datetime = AT, **changed: float) -> Point:
    return Point("check", at, CHECK | changed | board.limits(SPEC))


def drawn_figures(panel) -> list[str]:
    return [value.metric_labels["column"] for value in panel.values]


def test_psi_and_distance_have_an_axis_each_with_their_own_line() -> None:
    panels = {panel.title: panel for panel in board.laid_out(check().figures, SPEC)}
    assert drawn_figures(panels["Number columns: PSI"]) == ["psi.spend", "limit 0.2"]
    assert drawn_figures(panels["Category columns: Jensen-Shannon distance"]) == ["distance.mix", "limit 0.1"]
    assert drawn_figures(panels["Share of columns that drifted"]) == ["drifted share", "limit 0.3"]


def test_a_chart_without_figures_is_not_there_and_neither_is_its_heading() -> None:
    assert [panel.title for panel in board.laid_out(check().figures, SPEC)] == [
        *("Drift", "Number columns: PSI", "Category columns: Jensen-Shannon distance", "Share of columns that drifted"),
        *("Freshness", "Age in days"),
    ]


def test_all_four_sections_are_there_once_signals_are() -> None:
    names = {
        "scores.mean.buy": [0.3, 9],
        "labels.ratio.buy": [1, 9],
        "events.volume": [9, 9],
        "scores.distinct.buy": [8, 9],
    }
    figures = check().figures | dict.fromkeys(names, 1.0) | {f"relative {name}": 1.0 for name in names}
    titles = [panel.title for panel in board.laid_out(figures, SPEC)]
    assert [title for title in titles if title in ("Drift", "Quality", "Freshness", "Predictions")] == [
        *("Drift", "Quality", "Freshness", "Predictions")
    ]


def test_every_point_has_every_line() -> None:
    for section in board.sections(SPEC):
        for panel in section.panels:
            assert panel.limits.items() <= board.limits(SPEC).items()


def test_a_period_is_as_it_is_and_as_times_its_usual_value() -> None:
    points = board.of_periods(past("events.volume", 100, 100, 110, 50), SPEC)
    assert [point.figures.get("relative events.volume") for point in points] == [None, None, None, 0.5]
    assert points[-1].figures["events.volume"] == 50
    assert points[-1].at == dt.datetime(2017, 10, 9, tzinfo=dt.UTC)


def test_periods_of_ninety_days_are_shown() -> None:
    assert len(board.of_periods(past("events.volume", *[100.0] * 17), SPEC)) == 13


def runs(folder: Path) -> list[workspace.Run]:
    place = workspace._Folder(folder)
    return place.runs(place.project("shop").id)


def show(folder: Path, *points: Point) -> int:
    return workspace.show(points, SPEC, address=str(folder), name="shop")


def test_a_point_is_kept_once_and_one_that_is_measured_anew_replaces_it(tmp_path: Path) -> None:
    ws = tmp_path / "ws"
    assert (show(ws, check()), show(ws, check())) == (1, 0)
    assert show(ws, check(**{"psi.spend": 0.3})) == 1
    (run,) = runs(ws)
    assert run.at == AT


def test_what_is_older_than_ninety_days_goes_and_reports_stay(tmp_path: Path) -> None:
    ws = tmp_path / "ws"
    show(ws, check(AT - dt.timedelta(days=100)), check(AT - dt.timedelta(days=80)))
    place = workspace._Folder(ws)
    report = board.snapshot(check(AT - dt.timedelta(days=300)), CHECK, metadata={"key": "a report"})
    place.add(place.project("shop").id, report, title="shop: stable")
    show(ws, check())
    assert sorted((AT - run.at).days for run in runs(ws)) == [0, 80, 300]


@pytest.mark.parametrize("lost", [{}, {"drifted share": 0.0}])
def test_panels_stay_where_only_this_check_has_no_figures_for_them(tmp_path: Path, lost: dict[str, float]) -> None:
    from evidently.ui.workspace import Workspace

    ws = tmp_path / "ws"
    show(ws, check())
    project = workspace._Folder(ws).project("shop")
    before = Workspace(str(ws)).get_dashboard(project.id)
    show(ws, Point("check", AT + dt.timedelta(days=7), lost | board.limits(SPEC)))
    assert Workspace(str(ws)).get_dashboard(project.id) == before
