"""The PrometheusRule of k8s/components/monitoring, written from recording_rules.py and alerts.py.

`python -m monitoring.observability.prometheus_rules` writes the file, with the promises of the spec's defaults and for
every namespace; a test compares it with what the code says. A release's overlay replaces its groups by those of its own
spec, for its own namespace alone (pipelines/manifests/alert_rules.py): two recommenders with different promises would
otherwise record the same series with different values. Nothing is queried here.
"""

import re
from collections.abc import Set
from pathlib import Path
from typing import Any

import yaml

from feature_repo import files
from feature_repo.checkout import K8S
from monitoring.observability.alerts import DOCS, Alert, alerts
from monitoring.observability.metrics_catalogue import find
from monitoring.observability.objectives import DEFAULT, Promises
from monitoring.observability.recording_rules import RecordingRule, recorded

FOLDER = K8S / "components" / "monitoring"
FILE = FOLDER / "rules.yaml"
HEADER = "# Written by `python -m monitoring.observability.prometheus_rules` from our code. Do not edit.\n"
KIND, NAME = "PrometheusRule", "intentflow"
LABELS = {
    "app.kubernetes.io/name": "monitoring",
    "app.kubernetes.io/component": "monitoring",
    "app.kubernetes.io/part-of": "intentflow",
}


def groups(promises: Promises = DEFAULT) -> list[dict[str, Any]]:
    """Return the rule groups, as Prometheus' own rule files have them."""
    rules = recorded(promises)
    by_pace = {every: [_record(r) for r in rules if r.every == every] for every in ("30s", "5m")}
    found = _groups(by_pace, [_alert(alert) for alert in alerts(promises)])
    if promises.namespace:
        series = frozenset(rule.record for rule in rules)
        for rule in (rule for group in found for rule in group["rules"]):
            rule["expr"] = within(rule["expr"], promises.namespace, recorded=series)
    return found


def _groups(by_pace: dict[str, list[dict[str, Any]]], alerting: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"name": "intentflow-series", "interval": "30s", "rules": by_pace["30s"]},
        {"name": "intentflow-series-slow", "interval": "5m", "rules": by_pace["5m"]},
        {"name": "intentflow-alerts", "interval": "30s", "rules": alerting},
    ]


def within(expr: str, namespace: str, *, recorded: Set[str] = frozenset()) -> str:
    """Let a query read the series of one namespace only.

    >>> within('sum(rate(up{job="router"}[5m])) > absent(intentflow_release_info)', "shop")
    'sum(rate(up{namespace="shop",job="router"}[5m])) > absent(intentflow_release_info{namespace="shop"})'
    """

    def matched(found: re.Match[str]) -> str:
        name, more = found["name"], found["more"]
        if name is None or (find(name) is None and name not in recorded):
            return found[0]
        return f'{name}{{namespace="{namespace}"' + ("," if more else "}")

    return _NAME.sub(matched, expr)


# A quoted text is passed over; of all other words those that name a series are looked at, with an open brace if one
# follows.
_NAME = re.compile(r'"[^"]*"|(?P<name>[a-zA-Z_][\w:]*)(?P<more>\{)?')


def document(promises: Promises = DEFAULT) -> dict[str, Any]:
    """Return the manifest."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": KIND,
        "metadata": {"name": NAME, "labels": LABELS},
        "spec": {"groups": groups(promises)},
    }


def text(promises: Promises = DEFAULT, *, header: str = HEADER) -> str:
    """Return the manifest as YAML."""
    return header + yaml.safe_dump(document(promises), sort_keys=False, width=120, allow_unicode=True)


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
    with files.written(FILE) as part:
        part.write_text(text())
    return FILE


if __name__ == "__main__":
    write()
