"""Where the boxes of a layer stand: an order in each row that crosses few edges, and a place for each on its row.

Rows come from layout.py. An edge that passes a row has a place of its own there, so no edge is drawn across a box.
Sugiyama, Tagawa and Toda (1981): rows, order by the neighbours' middle, then places.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from pipelines.graphs.layout import BOX, EDGE, GAP, Layer

SWEEPS = 8  # down and up; graphs of this size change no more after three or four
Chain = tuple[str, ...]  # an edge: a box, its places in the rows that it passes, the box it leads to


@dataclass(frozen=True)
class Placement:
    """The middle of each box and of each place that an edge passes, in px from the left, and the edges' ways."""

    middle: Mapping[str, float]
    row: Mapping[str, int]
    chains: tuple[Chain, ...]
    width: float  # px, of all


def placed(layer: Layer) -> Placement:
    """Place a layer's boxes; the leftmost edge of any of them is at 0."""
    row = dict(sorted(layer.rows.items()))  # the order that equals keep
    chains = tuple(_chain(before, after, row) for before, after in sorted(layer.edges))
    passed = {one: row[chain[0]] + n for chain in chains for n, one in enumerate(chain) if 0 < n < len(chain) - 1}
    row |= passed
    width = {one: EDGE if one in passed else BOX for one in row}
    rows = _ordered(row, chains)
    middle = _spread(rows, chains, width)
    left = min(at - width[one] / 2 for one, at in middle.items())
    right = max(at + width[one] / 2 for one, at in middle.items())
    return Placement({one: at - left for one, at in middle.items()}, row, chains, right - left)


def _chain(before: str, after: str, row: Mapping[str, int]) -> Chain:
    passing = tuple(f"{before} > {after} @ {at}" for at in range(row[before] + 1, row[after]))
    return (before, *passing, after)


def _ordered(row: Mapping[str, int], chains: Iterable[Chain]) -> list[list[str]]:
    """Order each row by the middle of what its boxes hang on, above and below in turn."""
    rows: list[list[str]] = [[one for one in row if row[one] == at] for at in range(max(row.values()) + 1)]
    above, below = _neighbours(chains)
    for sweep in range(SWEEPS):
        near = below if sweep % 2 else above
        for line in reversed(rows) if sweep % 2 else rows:
            place = {one: n - (len(other) - 1) / 2 for other in rows for n, one in enumerate(other)}
            line.sort(key=_mean(near, place))  # a stable sort: equals keep their order
    return rows


def _spread(rows: list[list[str]], chains: Iterable[Chain], width: Mapping[str, float]) -> dict[str, float]:
    """Move each box towards the middle of its neighbours, as far as the order and the gaps of its row allow."""
    above, below = _neighbours(chains)
    near = {one: above.get(one, []) + below.get(one, []) for line in rows for one in line}
    middle = {one: at for line in rows for one, at in zip(line, _apart(line, [0.0] * len(line), width), strict=True)}
    for _ in range(SWEEPS):
        for line in (*rows, *reversed(rows)):
            wanted = [_mean(near, middle)(one) for one in line]
            middle |= dict(zip(line, _apart(line, wanted, width), strict=True))
    return middle


def _apart(line: list[str], wanted: list[float], width: Mapping[str, float]) -> list[float]:
    """Return places in order and apart, as near to the wanted ones as can be: an isotonic regression.

    >>> _apart(["a", "b"], [0.0, 0.0], {"a": 224, "b": 224})
    [-137.0, 137.0]
    """
    starts = [0.0]
    for left, right in itertools.pairwise(line):
        gap = GAP if width[left] == width[right] == BOX else 0
        starts.append(starts[-1] + (width[left] + width[right]) / 2 + gap)
    pools: list[list[float]] = []  # of places that touch: what each wants of the first
    for at, start in zip(wanted, starts, strict=True):
        pools.append([at - start])
        while len(pools) > 1 and _average(pools[-2]) >= _average(pools[-1]):
            last = pools.pop()
            pools[-1] += last
    firsts = [_average(pool) for pool in pools for _ in pool]
    return [first + start for first, start in zip(firsts, starts, strict=True)]


def _neighbours(chains: Iterable[Chain]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    above: dict[str, list[str]] = {}
    below: dict[str, list[str]] = {}
    for chain in chains:
        for before, after in itertools.pairwise(chain):
            above.setdefault(after, []).append(before)
            below.setdefault(before, []).append(after)
    return above, below


def _mean(near: Mapping[str, list[str]], at: Mapping[str, float]) -> Callable[[str], float]:
    """Return the mean place of a box's neighbours, its own where it has none."""
    return lambda one: _average([at[other] for other in near[one]]) if near.get(one) else at[one]


def _average(found: list[float]) -> float:
    return sum(found) / len(found)
