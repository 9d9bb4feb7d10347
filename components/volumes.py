"""Is a volume as usual, by its own past? The one place of it: the contract's rule and the watch's signal ask here.

A volume is a count that grows with the users behind it: periods are compared by their logarithms, whose least scale is
the sampling error of that many users. The words of a verdict, the robust reference and the false discovery rate are
those of verdicts.py.

Letters: P periods, G groups.
"""

import math
from dataclasses import dataclass

import numpy as np

from components import verdicts

REFERENCE = 12  # periods
LEAST = 6  # fewer are no reference
LEAST_BEHIND = 20  # users: of fewer nothing is judged
LEAST_RATIO = 0.01  # no volume is known better
FLOOR = 0.10  # relative change below which nothing is worth a word
LARGE = 0.35  # relative change of which one period is enough
FALSE_SHARE = 0.01  # of what is told, expected to be chance
TINY = 1e-9  # stands for nothing where logarithms are compared


@dataclass(frozen=True)
class Volume:
    """A group's newest period beside what is usual of it."""

    group: int
    value: float
    usual: float
    low: float  # 99 % of ordinary periods lie from here
    high: float  # to here
    effect: float  # relative
    moved: bool  # more than chance, and worth a word

    @property
    def is_large(self) -> bool:
        """Tell whether this period alone is enough to say that something is wrong."""
        return self.moved and abs(self.effect) >= LARGE - TINY


def on_scale(values: np.ndarray) -> np.ndarray:
    """Return counts on the scale on which periods are compared."""
    return np.asarray(np.log(np.maximum(values, TINY)))


def sampling_error(users: float) -> float:
    """Return the standard error of one period's volume on that scale.

    >>> sampling_error(400), sampling_error(1e9)
    (0.05, 0.01)
    """
    return max(LEAST_RATIO, 1 / math.sqrt(max(users, 1.0)))


def newest(counts: np.ndarray, users: np.ndarray, spared: np.ndarray, *, rate: float = FALSE_SHARE) -> list[Volume]:
    """Judge the newest of P periods in each group; a group without a reference is left out.

    `counts` and `users` [P, G] are what each period had; a group counts from its first event on. Periods are judged in
    their order: one that moved is no reference for those after it, nor is one that is `spared`, bool [P].
    """
    there = np.cumsum(counts, axis=0) > 0
    usable = there & ~spared[:, None]
    found: list[Volume] = []
    for row in range(len(counts)):
        found = _judged(counts, users, usable, row, rate=rate)
        for one in found:
            usable[row, one.group] &= not one.moved
    return found


def _judged(counts: np.ndarray, users: np.ndarray, usable: np.ndarray, row: int, *, rate: float) -> list[Volume]:
    references, surprises = [], []
    for group in range(counts.shape[1]):
        behind = np.flatnonzero(usable[:row, group])[-REFERENCE:]
        if len(behind) < LEAST or (middle := float(np.median(users[behind, group]))) < LEAST_BEHIND:
            continue
        of = verdicts.ordinary(on_scale(counts[behind, group]), least_scale=sampling_error(middle))
        references.append((group, of))
        surprises.append(verdicts.surprise(float(on_scale(counts[row, group])), of))
    found = []
    for (group, of), rare in zip(references, verdicts.discoveries(surprises, rate=rate), strict=True):
        value, usual = float(counts[row, group]), math.exp(of.centre)
        low, high = (math.exp(end) for end in of.interval())
        effect = value / usual - 1
        found.append(Volume(group, value, usual, low, high, effect, bool(rare) and abs(effect) >= FLOOR - TINY))
    return found
