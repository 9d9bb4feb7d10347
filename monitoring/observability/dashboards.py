"""Grafana's JSON of the dashboards in panels.py, and the ConfigMap that carries them to a cluster.

`python -m monitoring.observability.dashboards` writes the JSON files into k8s/components/monitoring/dashboards;
kustomize makes the ConfigMap of them, whose label `grafana_dashboard: "1"` is what Grafana's sidecar looks for.
"""

import json
from pathlib import Path
from typing import Any

from feature_repo import files
from monitoring.observability.panels import BOARDS, Board, Panel
from monitoring.observability.prometheus_rules import FOLDER

HEIGHT = 7
SOURCE = "${datasource}"
NAMESPACES = "label_values(intentflow_release_info, namespace)"


def text(board: Board) -> str:
    """Return a dashboard's JSON."""
    return json.dumps(document(board), indent=1, sort_keys=True) + "\n"


def document(board: Board) -> dict[str, Any]:
    """Return a dashboard as Grafana imports it."""
    from grafana_foundation_sdk.builders import dashboard
    from grafana_foundation_sdk.cog.encoder import JSONEncoder

    made = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.about)
        .tags(["intentflow"])
        .time(board.since, "now")
        .refresh(board.refresh)
        .readonly()
    )
    made = made.with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    made = made.with_variable(_namespaces())
    for row in board.rows:
        made = made.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            made = made.with_panel(_panel(panel))
    found: dict[str, Any] = _without_nulls(json.loads(json.dumps(made.build(), cls=JSONEncoder)))
    for number, panel in enumerate(found["panels"], start=1):
        panel["id"] = number  # the library gives every row the same
    return found


def _without_nulls(value: Any) -> Any:
    """Leave out what is null: Grafana fills in what is absent, and trips over null options."""
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _namespaces() -> Any:
    from grafana_foundation_sdk.builders import dashboard
    from grafana_foundation_sdk.models import dashboard as models

    return (
        dashboard.QueryVariable("namespace")
        .label("Namespace")
        .datasource(models.DataSourceRef(type_val="prometheus", uid=SOURCE))
        .query(NAMESPACES)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    )


def _panel(panel: Panel) -> Any:
    from grafana_foundation_sdk.builders import dashboard, prometheus, stat, table, timeseries
    from grafana_foundation_sdk.models import dashboard as models

    kinds: dict[str, Any] = {"lines": timeseries.Panel, "number": stat.Panel, "table": table.Panel}
    made = (
        kinds[panel.kind]()
        .title(panel.title)
        .description(panel.about)
        .unit(panel.unit)
        .span(panel.width)
        .height(HEIGHT)
        .datasource(models.DataSourceRef(type_val="prometheus", uid=SOURCE))
    )
    for number, query in enumerate(panel.queries):
        asked = prometheus.Dataquery().expr(query.expr).ref_id(chr(ord("A") + number))
        asked = asked.legend_format(query.legend) if query.legend else asked
        made = made.with_target(asked if panel.kind == "lines" else asked.instant())
    if (line := panel.limit if panel.floor is None else panel.floor) is not None:
        below, above = ("green", "red") if panel.floor is None else ("red", "green")
        steps = [models.Threshold(color=below), models.Threshold(value=line, color=above)]
        made = made.thresholds(dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
        if panel.kind == "lines":
            made = made.thresholds_style(_line())
    return made


def _line() -> Any:
    from grafana_foundation_sdk.builders import common
    from grafana_foundation_sdk.models import common as models

    return common.GraphThresholdsStyleConfig().mode(models.GraphTresholdsStyleMode.DASHED)


def file_of(board: Board) -> Path:
    """Return where a dashboard lies."""
    return FOLDER / "dashboards" / f"{board.uid}.json"


def write() -> list[Path]:
    """Write every dashboard."""
    for board in BOARDS:
        with files.written(file_of(board)) as part:
            part.write_text(text(board))
    return [file_of(board) for board in BOARDS]


if __name__ == "__main__":
    write()
