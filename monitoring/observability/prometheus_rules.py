"""The PrometheusRule of k8s/components/monitoring, written from series.py and alerts.py.

`python -m monitoring.observability.prometheus_rules` writes it; a test compares the file with what the code says.
Nothing is queried here.
"""

from pathlib import Path
from typing import Any

import yaml

from feature_repo import files
from feature_repo.checkout import K8S
from monitoring.observability.alerts import DOCS, Alert, alerts
from monitoring.observability.recording_rules import RecordingRule, recorded

FOLDER = K8S / "components" / "monitoring"
FILE = FOLDER / "rules.yaml"
HEADER = "# Written by `python -m monitoring.observability.prometheus_rules` from our code. Do not edit.\n"
LABELS = {
    "app.kubernetes.io/name": "monitoring",
    "app.kubernetes.io/component": "monitoring",
    "app.kubernetes.io/part-of": "intentflow",
}


def groups() -> list[dict[str, Any]]:
    """Return the rule groups, as Prometheus' own rule files have them."""
    by_pace = {every: [_record(r) for r in recorded() if r.every == every] for every in ("30s", "5m")}
    return [
        {"name": "intentflow-series", "interval": "30s", "rules": by_pace["30s"]},
        {"name": "intentflow-series-slow", "interval": "5m", "rules": by_pace["5m"]},
        {"name": "intentflow-alerts", "interval": "30s", "rules": [_alert(alert) for alert in alerts()]},
    ]


def text() -> str:
    """Return the manifest."""
    document = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "intentflow", "labels": LABELS},
        "spec": {"groups": groups()},
    }
    return HEADER + yaml.safe_dump(document, sort_keys=False, width=120, allow_unicode=True)


def _record(rule: RecordingRule) -> dict[str, Any]:
    found: dict[str, Any] = {"record": rule.record, "expr": rule.expr}
    return found | ({"labels": dict(rule.labels)} if rule.labels else {})


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expr,
        "for": alert.wait,
        "labels": {"severity": alert.severity, **dict(alert.labels)},
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": f"{DOCS}#{alert.runbook}",
        },
    }


def write() -> Path:
    """Write the manifest."""
    with files.written(FILE) as aside:
        aside.write_text(text())
    return FILE


if __name__ == "__main__":
    write()
