"""Which candidates may be next in lists that are drawn: what rules' bounds leave open. Pure numpy, many lists at once.

A quota is kept by forcing its candidates once the places left are as few as it still wants. Beside caps that is too
late: what was drawn above may have used up the caps that its candidates are under. So a candidate is closed as well
where, with it, caps would leave fewer of the quota's than it wants.

Letters: M candidates, K places, N lists at once, G caps, Q quotas.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.policy.choice import Ask

ENDLESS = 1 << 20  # room where there is no cap


def of_rules(ask: Ask) -> list[tuple[int, tuple[int, ...]]]:
    """Return the caps without the guard's own, which is on whatever the greedy list does not show."""
    outside = frozenset(range(len(ask.scores))) - frozenset(ask.greedy)
    return [(most, those) for most, those in ask.bounds.caps if frozenset(those) != outside]


class Openings:
    """What was taken in each list, and what caps and quotas have left."""

    def __init__(self, ask: Ask, n: int) -> None:
        m = len(ask.scores)
        self._k, self._fixed = ask.k, dict(ask.bounds.fixed)
        self._free = np.ones((n, m), dtype=bool)
        self._most, self._capped = _members(ask.bounds.caps, m)  # [G], [G, M]
        self._least, self._wanted = _members(ask.bounds.quotas, m)  # [Q], [Q, M]
        pinned = np.asarray([c for _, c in ask.bounds.fixed], dtype=np.int64)
        self._free[:, pinned] = False
        self._counts = np.tile(self._capped[:, pinned].sum(axis=1), (n, 1))  # [N, G]
        self._have = np.tile(self._wanted[:, pinned].sum(axis=1), (n, 1))  # [N, Q]
        self._room = _QuotaRoom.of(ask) if len(self._most) and len(self._least) == 1 else None

    def allowed(self, place: int) -> np.ndarray:
        """Return which candidates may stand at a place that is not fixed, [N, M]."""
        allowed = self._free.copy()
        if len(self._most):
            full = self._counts >= self._most  # [N, G]
            if full.any():
                allowed &= ~((full.astype(np.float32) @ self._capped.astype(np.float32)) > 0)
        if len(self._least):
            allowed = self._of_quotas(allowed, place)
        return allowed

    def _of_quotas(self, allowed: np.ndarray, place: int) -> np.ndarray:
        """Keep the last places for what quotas still want; a quota that nothing can fill is let go."""
        left = sum(at not in self._fixed for at in range(place, self._k))
        needs = np.maximum(self._least - self._have, 0)  # [N, Q]
        if self._room is not None:
            allowed &= self._room.leaves(needs[:, 0], self._free, self._most - self._counts)
        for q in range(len(self._least)):
            short = (needs[:, q] > 0) & (needs.sum(axis=1) >= left)
            kept = allowed & self._wanted[q]
            narrowed = short & kept.any(axis=1)
            allowed = np.where(narrowed[:, None], kept, allowed)
        return allowed

    def take(self, picked: np.ndarray) -> None:
        """Note what was shown at a place; what is fixed was counted before."""
        rows = np.flatnonzero(picked >= 0)
        at = picked[rows]
        new = self._free[rows, at]
        rows, at = rows[new], at[new]
        self._free[rows, at] = False
        self._counts[rows] += self._capped[:, at].T
        self._have[rows] += self._wanted[:, at].T


def _members(parts: Sequence[tuple[int, tuple[int, ...]]], m: int) -> tuple[np.ndarray, np.ndarray]:
    """Return counts [G] and who is counted [G, M]."""
    held = np.zeros((len(parts), m), dtype=bool)
    for row, (_, those) in enumerate(parts):
        held[row, list(those)] = True
    return np.asarray([count for count, _ in parts], dtype=np.int64), held


@dataclass(frozen=True)
class _QuotaRoom:
    """How many of one quota's candidates caps still leave, of rules' caps of which no candidate is under two."""

    group: np.ndarray  # [M] the cap that a candidate is under, the last number where under none
    caps: np.ndarray  # which of the bounds' caps these are
    guard: int | None  # which is the guard's own
    outside: np.ndarray  # [M] whether the greedy list does not show it
    wanted: np.ndarray  # [M] whether the quota is of it

    @classmethod
    def of(cls, ask: Ask) -> "_QuotaRoom":
        """Read bounds that draw.ends_early lets be drawn from: no candidate is under two caps of rules."""
        m, (quota,) = len(ask.scores), ask.bounds.quotas
        rules = of_rules(ask)
        caps = [at for at, cap in enumerate(ask.bounds.caps) if cap in rules]
        guard = next((at for at in range(len(ask.bounds.caps)) if at not in caps), None)
        group = np.full(m, len(caps))
        for number, at in enumerate(caps):
            group[list(ask.bounds.caps[at][1])] = number
        outside, wanted = np.ones(m, dtype=bool), np.zeros(m, dtype=bool)
        outside[list(ask.greedy)], wanted[list(quota[1])] = False, True
        return cls(group, np.asarray(caps, dtype=np.int64), guard, outside, wanted)

    def leaves(self, needs: np.ndarray, free: np.ndarray, room: np.ndarray) -> np.ndarray:
        """Return which candidates [N, M], if they are next, leave as many of the quota's as it wants then.

        `needs` [N] of them are wanted still, `free` [N, M] is what was not taken, `room` [N, caps] what caps leave.
        """
        n, groups = len(free), len(self.caps) + 1
        held = np.concatenate([room[:, self.caps], np.full((n, 1), ENDLESS)], axis=1)  # [N, G]
        beyond = np.full(n, ENDLESS) if self.guard is None else room[:, self.guard]
        marks = self.group[:, None] == np.arange(groups)
        within, without = (
            (free & self.wanted & side) @ marks.astype(np.int64) for side in (~self.outside, self.outside)
        )
        now = _most(held, within, without, beyond)
        open_ = np.zeros(free.shape, dtype=bool)
        for new, out in ((False, False), (False, True), (True, False), (True, True)):
            those = np.flatnonzero((self.wanted == new) & (self.outside == out))
            for number in np.unique(self.group[those]):
                one = np.arange(groups) == number
                then = _most(held - one, within - one * (new and not out), without - one * (new and out), beyond - out)
                of_group = those[self.group[those] == number]
                open_[:, of_group] = (then >= np.minimum(needs, now) - new)[:, None]
        return open_


def _most(held: np.ndarray, within: np.ndarray, without: np.ndarray, beyond: np.ndarray) -> np.ndarray:
    """Return how many candidates caps leave, [N]: those of the greedy list first, `beyond` at most of the others."""
    own = np.minimum(held, within)
    return np.asarray(own.sum(axis=1) + np.minimum(beyond, (np.minimum(held, within + without) - own).sum(axis=1)))
