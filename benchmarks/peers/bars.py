"""What the door has to reach on two cores, and whether a measurement did: each bar with its figure, held or not.

A figure that could not be measured is null and its bar is not held.
"""

import dataclasses
import operator
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.peers.compare import OURS, REFERENCE, ROUTED
from benchmarks.script import Document

HERE = "sqlite"
Judge = Callable[[float, float], bool]
AT_LEAST, AT_MOST, BELOW = operator.ge, operator.le, operator.lt


@dataclasses.dataclass(frozen=True)
class Bar:
    """One bar: where its figure stands in the document, and what it has to be."""

    name: str
    path: tuple[str, ...]
    judge: Judge
    bar: float

    def held(self, document: Mapping[str, Any]) -> Document:
        """Say what was measured, and whether it is enough."""
        found = at(document, self.path)
        held = found is not None and self.judge(found, self.bar)
        return {"measured": found, "bar": self.bar, "held": "yes" if held else "no"}


BARS = (
    Bar("requests a second, 8 clients", ("servers", OURS, "requests_per_s"), AT_LEAST, 500.0),
    Bar("errors, 8 clients and 100/s", ("servers", OURS, "errors"), AT_MOST, 0.0),
    Bar("p50 ms at 100/s behind the router", ("servers", ROUTED, "p50_ms"), AT_MOST, 4.5),
    Bar("p99 ms at 100/s behind the router", ("servers", ROUTED, "p99_ms"), AT_MOST, 9.0),
    Bar("CPU over Starlette's", ("ours_by_theirs", REFERENCE, "cpu_s_per_1k"), AT_MOST, 1.3),
    Bar("events a second", ("events", HERE, "events_per_s"), AT_LEAST, 2000.0),
    Bar("errors of events", ("events", HERE, "errors"), AT_MOST, 0.0),
    Bar("next reads that see events", ("events", HERE, "next_read_sees"), AT_LEAST, 1.0),
    Bar("goodput at three times the capacity", ("overload", HERE, "goodput_share"), AT_LEAST, 0.8),
    Bar("errors at three times the capacity", ("overload", HERE, "other_errors"), AT_MOST, 0.0),
    Bar("MiB of a process", ("door", "rss_mib"), AT_MOST, 300.0),
    Bar("seconds until a process answers", ("door", "ready_s"), AT_MOST, 3.0),
)


def judged(document: Mapping[str, Any]) -> dict[str, Document]:
    """Return each bar by name: the fixed ones, the door's CPU below each other server's, and a row of each store.

    >>> judged({"door": {"rss_mib": 281.5}})["MiB of a process"]
    {'measured': 281.5, 'bar': 300.0, 'held': 'yes'}
    >>> judged({})["events a second"]["held"]
    'no'
    """
    found = {bar.name: bar.held(document) for bar in BARS}
    servers = document.get("servers") or {}
    mine = ("servers", OURS, "cpu_s_per_1k")
    for name in (n for n in servers if n not in (OURS, ROUTED, REFERENCE) and "@" not in n):
        found[f"CPU ms below {name}'s"] = Bar("", mine, BELOW, servers[name]["cpu_s_per_1k"]).held(document)
    for store in ("redis", "postgres"):
        path = ("servers", f"{OURS}@{store}", "requests_per_s")
        found[f"a row of {store}"] = Bar("", path, operator.gt, 0.0).held(document)
    return found


def at(document: Mapping[str, Any], path: tuple[str, ...]) -> float | None:
    """Return the figure at a path; None where there is none."""
    found: Any = document
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return None if found is None else float(found)
