"""What a process exports, read from the text of its /metrics, and how that differs from the catalogue."""

from collections.abc import Iterable, Iterator

from prometheus_client.parser import text_string_to_metric_families

from monitoring.observability.metrics_catalogue import Metric

AWAY = {"le", "quantile"}


def exported(text: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Return kind and labels by name, of the metrics that have samples."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for family in text_string_to_metric_families(text):
        samples = [s for s in family.samples if not s.name.endswith("_created")]
        if samples:
            found[family.name] = (family.type, frozenset(set().union(*(s.labels for s in samples)) - AWAY))
    return found


def differences(text: str, metrics: Iterable[Metric], *, prefix: str = "intentflow_") -> Iterator[str]:
    """Yield a line for each exported metric that the catalogue lacks or has otherwise."""
    known = {metric.name: metric for metric in metrics}
    for name, (kind, labels) in exported(text).items():
        if not name.startswith(prefix):
            continue
        if name not in known:
            yield f"{name} is not in the catalogue"
        elif (kind, labels) != (known[name].kind, frozenset(known[name].labels)):
            yield f"{name} is a {kind} by {sorted(labels)}, in the catalogue {known[name].kind} by {known[name].labels}"
