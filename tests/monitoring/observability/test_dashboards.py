"""The dashboards: generated as committed, queries that parse and ask about what exists, legends that are not empty."""

import json

import pytest
import yaml

from monitoring.observability import dashboards
from monitoring.observability.panels import BOARDS
from monitoring.observability.prometheus_rules import FOLDER
from tests.monitoring.observability import promql

QUERIES = [(board, panel, query) for board in BOARDS for row in board.rows for panel in row.panels
           for query in panel.queries]  # fmt: skip


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_the_committed_dashboard_is_what_the_code_says(board):
    assert dashboards.file_of(board).read_text() == dashboards.text(board), (
        "python -m monitoring.observability.dashboards"
    )


def test_there_is_no_other_dashboard_and_kustomize_carries_them_all():
    files = sorted(path.name for path in (FOLDER / "dashboards").iterdir())
    assert files == sorted(f"{board.uid}.json" for board in BOARDS)
    (made,) = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["configMapGenerator"]
    assert sorted(made["files"]) == [f"dashboards/{name}" for name in files]
    assert made["options"]["labels"]["grafana_dashboard"] == "1"


@pytest.mark.parametrize(
    ("board", "panel", "query"), QUERIES, ids=lambda one: getattr(one, "uid", "") or getattr(one, "title", "") or "q"
)
def test_a_query_parses_and_asks_about_series_and_labels_that_exist(board, panel, query):
    left = promql.labels(promql.filled(query.expr))
    assert promql.mentioned(query.legend) <= left, "the legend would be empty"
    assert "$namespace" in query.expr, "another recommender's series would be in it"


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_grafana_finds_what_it_needs(board):
    document = json.loads(dashboards.text(board))
    assert document["uid"] == board.uid
    assert [variable["name"] for variable in document["templating"]["list"]] == ["datasource", "namespace"]
    panels = document["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    shown = [panel for panel in panels if panel["type"] != "row"]
    assert [panel["title"] for panel in shown] == [panel.title for row in board.rows for panel in row.panels]
    for panel in shown:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert [target["refId"] for target in panel["targets"]] == list("ABCDEF")[: len(panel["targets"])]
        assert all(target["expr"] for target in panel["targets"])


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_no_two_panels_lie_on_each_other(board):
    taken = set()
    for panel in json.loads(dashboards.text(board))["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, panel["title"]
                taken.add((x, y))


def test_a_board_opens_on_several_of_what_it_shows():
    opened = {board.uid: json.loads(dashboards.text(board))["time"]["from"] for board in BOARDS}
    assert opened["intentflow-drift"] == "now-90d", "a weekly check is a point a week"
    assert opened["intentflow-jobs"] == "now-14d"
    assert opened["intentflow-service"] == "now-6h"


def test_lines_stand_where_alerts_begin_and_are_red_on_the_bad_side():
    panels = [p for board in BOARDS for p in json.loads(dashboards.text(board))["panels"] if p["type"] != "row"]
    steps = {
        panel["title"]: [
            (step.get("value"), step["color"]) for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        ]
        for panel in panels
        if "thresholds" in panel["fieldConfig"]["defaults"]
    }
    assert steps["Share of drifted columns"] == [(None, "green"), (0.3, "red")]
    assert steps["Labels that came, of those predicted"] == [(None, "red"), (0.5, "green")]
    assert steps["Events refused"] == [(None, "green"), (0.01, "red")]
    assert steps["Stale share"] == [(None, "green"), (0.3, "red")]
