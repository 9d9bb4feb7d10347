"""Holds queries to the catalogue: every series exists, and every label that is asked about can be there.

It walks the tree of Prometheus' grammar (promql-parser) and works out which labels each part may carry.
"""

import re

import promql_parser as promql

from monitoring.observability import metrics_catalogue
from monitoring.observability.recording_rules import recorded

RECORDED = {rule.record: frozenset({"namespace", *dict(rule.labels)}) for rule in recorded()}
GRAFANA = {"$__rate_interval": "5m", "$__range": "6h", "$__interval": "1m"}


def filled(expr: str, namespace: str = "shop") -> str:
    """Put values in the place of Grafana's variables."""
    for name, value in GRAFANA.items():
        expr = expr.replace(name, value)
    return expr.replace("$namespace", namespace)


def series(expr: str) -> set[str]:
    """Return the names of the series that a query reads."""
    found: set[str] = set()

    def visit(node: promql.Expr) -> bool:
        if isinstance(node, promql.VectorSelector):
            found.add(str(node.name))
        elif isinstance(node, promql.MatrixSelector):
            found.add(str(node.vector_selector.name))
        return True

    promql.walk(promql.parse(expr), visit)
    return found


def selected(expr: str, label: str) -> set[str | None]:
    """Return the values that a query's selectors ask a label for; None for a selector that does not ask."""
    found: set[str | None] = set()

    def visit(node: promql.Expr) -> bool:
        selector = node.vector_selector if isinstance(node, promql.MatrixSelector) else node
        if isinstance(selector, promql.VectorSelector):
            found.add(next((one.value for one in selector.matchers.matchers if one.name == label), None))
        return True

    promql.walk(promql.parse(expr), visit)
    return found


def labels(expr: str) -> frozenset[str]:
    """Return the labels that a query's result may carry; raises where one that cannot be there is asked about."""
    return _labels(promql.parse(expr))


def mentioned(text: str) -> set[str]:
    """Return the labels that a legend ({{label}}) or an annotation ({{ $labels.label }}) shows."""
    return set(re.findall(r"{{(\w+)}}", text)) | set(re.findall(r"\$labels\.(\w+)", text))


def _labels(node: promql.Expr) -> frozenset[str]:
    if isinstance(node, promql.MatrixSelector):
        return _selected(node.vector_selector)
    if isinstance(node, promql.VectorSelector):
        return _selected(node)
    if isinstance(node, promql.ParenExpr | promql.UnaryExpr | promql.SubqueryExpr):
        return _labels(node.expr)
    if isinstance(node, promql.AggregateExpr):
        return _aggregated(node)
    if isinstance(node, promql.BinaryExpr):
        return _joined(node)
    if isinstance(node, promql.Call):
        found = frozenset().union(*(_labels(argument) for argument in node.args))
        if node.func.name == "histogram_quantile":
            assert "le" in found, "histogram_quantile without le"
            return found - {"le"}
        return found
    return frozenset()


def _selected(node: promql.VectorSelector) -> frozenset[str]:
    name = str(node.name)
    if name in RECORDED:
        known = RECORDED[name]
    else:
        assert metrics_catalogue.find(name) is not None, f"no series {name} in the catalogue"
        known = metrics_catalogue.labels(name)
    for matcher in node.matchers.matchers:
        assert matcher.name in known, f"{name} has no label {matcher.name}; have {sorted(known)}"
    return known


def _aggregated(node: promql.AggregateExpr) -> frozenset[str]:
    inner = _labels(node.expr)
    if node.modifier is None:
        return frozenset()
    named = frozenset(node.modifier.labels)
    if node.modifier.type == promql.AggModifierType.By:
        assert named <= inner, f"{node.prettify()} groups by {sorted(named - inner)}, which is not there"
        return named
    return inner - named


def _joined(node: promql.BinaryExpr) -> frozenset[str]:
    left, right = _labels(node.lhs), _labels(node.rhs)
    matching = node.modifier.matching if node.modifier else None
    if matching is not None:
        named = frozenset(matching.labels)
        assert named <= left, f"on {sorted(named - left)}, which the left side lacks"
        assert named <= right, f"on {sorted(named - right)}, which the right side lacks"
    return left | right
