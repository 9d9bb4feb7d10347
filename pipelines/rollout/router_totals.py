"""Add up the counts of several routers, so that the loop reads one counter that only grows.

Routers come and go; nothing is counted twice. A router that appears later counts in full. Those that run at this
process's first look count from there, since an earlier loop may have counted what was before.
"""

import uuid
from collections.abc import Sequence
from typing import Any

from bentos.router.observations import Observations

Tree = dict[str, Any]


class RouterTotals:
    """The sum over the routers of one rollout, since this process began to look."""

    def __init__(self) -> None:
        self.boot = uuid.uuid4().hex
        self.rollout: str | None = None
        self.last: dict[str, Tree] = {}  # by router's boot
        self.total: Tree = {}

    def add(self, seen: Sequence[Observations]) -> Observations | None:
        """Take one look at all routers; None where they do not all follow the same rollout yet, or there is none."""
        if not seen or len({one.rollout for one in seen}) > 1:
            return None
        first, rollout = self.rollout is None, seen[0].rollout
        if rollout != self.rollout:
            self.rollout, self.last, self.total = rollout, {}, {}
        for one in seen:
            now = one.model_dump(mode="json", exclude={"boot", "rollout"})
            before = self.last.get(one.boot, now if first else {})
            self.total = _plus(self.total, _minus(now, before))
            self.last[one.boot] = now
        return Observations.model_validate({"boot": self.boot, "rollout": rollout, **self.total})


def _plus(left: Tree, right: Tree) -> Tree:
    """Add numbers by place.

    >>> _plus({"a": 1, "b": {"c": 2}}, {"b": {"c": 3, "d": 4}})
    {'a': 1, 'b': {'c': 5, 'd': 4}}
    """
    return left | {
        key: _plus(left.get(key) or {}, value) if isinstance(value, dict) else left.get(key, 0) + value
        for key, value in right.items()
    }


def _minus(now: Tree, before: Tree) -> Tree:
    """Subtract numbers by place.

    >>> _minus({"a": 3, "b": {"c": 5}}, {"b": {"c": 2}})
    {'a': 3, 'b': {'c': 3}}
    """
    return {
        key: _minus(value, before.get(key) or {}) if isinstance(value, dict) else value - before.get(key, 0)
        for key, value in now.items()
    }
