"""Items like an item, by all that a ranker holds: no user, no network, nothing that is fitted for it.

Each basis is what a candidate source compares by: who had both (`neighbours`), factors (`als`, `bpr`), texts and images
(`content`), acquaintances of people (`adamic_adar`). Their orders are fused by reciprocal ranks (Cormack, Clarke and
Büttcher, SIGIR 2009), since their numbers have no unit in common. What shares `attributes` follows; nothing else does:
an item that nothing is like has no list, rather than a popular one.

Letters: I items, D components.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from components.ranking.nearest import Nearest
from components.ranking.sources.attributes import attributes_of, rarity_of

if TYPE_CHECKING:
    from components.ranking.score import Ranker

ATTRIBUTES = "attributes"
FUSED = 60  # added to ranks, as in the paper
AFTER = 1000  # the same of attributes, which follow: 1 / 1001 is below the least of all else, 1 / (60 + DEPTH)
DEPTH = 200  # items that each basis ranks
OF_FACTORS = {"als": "factors", "bpr": "factors"}
Ranked = tuple[np.ndarray, np.ndarray]  # positions, the most alike first, and how alike each is
Basis = Callable[[int, np.ndarray], Ranked]


@dataclass(frozen=True)
class Alike:
    """One item that is like the one asked about."""

    item_index: int
    score: float  # compares within one answer only
    source: str  # the basis that ranks it highest
    reasons: dict[str, float]  # by basis: how alike it is
    algorithm: None = None  # no ranker ordered it


@dataclass(frozen=True)
class Similar:
    """What was found, and by what a ranker can compare."""

    items: list[Alike]
    bases: tuple[str, ...]


def similar(
    ranker: "Ranker", item: int, *, k: int, exclude: Collection[int] = frozenset(), by: str | None = None
) -> Similar:
    """Return at most k items like one, the most alike first; none is itself, excluded or withdrawn.

    `by` is one of the bases instead of all; by one that the ranker does not hold nothing is found.
    """
    found = bases(ranker)
    asked = [name for name in found if name == by or (by is None and name != ATTRIBUTES)]
    allowed = np.ones(len(ranker.catalogue), dtype=bool)
    allowed[[item, *exclude]] = False
    if ranker.catalogue.hidden is not None:
        allowed &= ~ranker.catalogue.hidden
    items = fused({name: found[name](item, allowed) for name in asked})[:k]
    if by is None and len(items) < k:
        allowed[[one.item_index for one in items]] = False
        items += fused({ATTRIBUTES: found[ATTRIBUTES](item, allowed)}, constant=AFTER)[: k - len(items)]
    return Similar(items, tuple(found))


def fused(ranked: Mapping[str, Ranked], *, constant: int = FUSED) -> list[Alike]:
    """Fuse the orders of several bases, the best first, ties by item.

    >>> one, other = (np.array([7, 5]), np.array([0.9, 0.4])), (np.array([5]), np.array([3.0]))
    >>> [(found.item_index, found.source) for found in fused({"als": one, "content": other})]
    [(5, 'content'), (7, 'als')]
    """
    scores: dict[int, float] = {}
    best: dict[int, tuple[int, str]] = {}
    reasons: dict[int, dict[str, float]] = {}
    for name, (places, values) in ranked.items():
        for rank, (place, value) in enumerate(zip(places.tolist(), values.tolist(), strict=True), 1):
            scores[place] = scores.get(place, 0.0) + 1 / (constant + rank)
            reasons.setdefault(place, {})[name] = round(value, 4)
            if place not in best or rank < best[place][0]:
                best[place] = (rank, name)
    order = sorted(scores, key=lambda place: (-round(scores[place], 12), place))
    return [Alike(place, scores[place], best[place][1], reasons[place]) for place in order]


def bases(ranker: "Ranker") -> dict[str, Basis]:
    """Return by name what a ranker can compare items by."""
    found: dict[str, Basis] = {}
    if ranker.graph is not None:
        found["adamic_adar"] = lambda item, allowed: _acquainted(ranker, item, allowed)
    found["neighbours"] = lambda item, allowed: _together(ranker, item, allowed)
    for name, array in OF_FACTORS.items():
        arrays = ranker.neighbours.learnt.get(name)
        if arrays is not None:
            found[name] = _by_vectors(_kept(ranker, name, arrays[array]))
    if ranker.vectors is not None:
        found["content"] = _by_vectors(_kept(ranker, "content", ranker.vectors.whole))
    found[ATTRIBUTES] = lambda item, allowed: _sharing(ranker, item, allowed)
    return found


def _kept(ranker: "Ranker", name: str, vectors: np.ndarray) -> Nearest:
    """Return what compares some vectors, made once as long as they are the same array."""
    held = ranker.neighbours.compared.get(name)
    if held is None or held[0] is not vectors:
        held = (vectors, Nearest(vectors))
        ranker.neighbours.compared[name] = held
    nearest: Nearest = held[1]
    return nearest


def _by_vectors(nearest: Nearest) -> Basis:
    def ranked(item: int, allowed: np.ndarray) -> Ranked:
        return nearest.of(item, most=DEPTH, allowed=allowed[: len(nearest)])  # later items have no factors

    return ranked


def _together(ranker: "Ranker", item: int, allowed: np.ndarray) -> Ranked:
    """Rank by the shrunk cosine of who had both."""
    places = ranker.neighbours.items[item].astype(np.int64)
    return _largest(places, ranker.neighbours.similarities[item].astype(np.float64), allowed)


def _acquainted(ranker: "Ranker", item: int, allowed: np.ndarray) -> Ranked:
    """Rank people by the acquaintances in common, rare ones above all."""
    graph = ranker.graph
    assert graph is not None
    known = graph.both.row(item)
    reached = graph.both.take(known)
    weight = graph.rarity[known][reached.row_of_value()]
    shared = np.bincount(reached.values, weight, minlength=len(ranker.catalogue))
    return _largest(np.arange(len(shared)), shared, allowed)


def _sharing(ranker: "Ranker", item: int, allowed: np.ndarray) -> Ranked:
    """Rank by attributes that both have, rare ones above all, popular items first among equals."""
    catalogue = ranker.catalogue
    shared = np.zeros(len(catalogue))
    for codes in attributes_of(catalogue):
        rarity = rarity_of(codes)
        for code in set(codes[item][codes[item] >= 0].tolist()):
            shared += rarity[code] * (codes == code).any(axis=1)
    shared = np.round(shared, 6)
    return _largest(np.arange(len(shared)), shared, allowed, ties=catalogue.popularity)


def _largest(places: np.ndarray, values: np.ndarray, allowed: np.ndarray, *, ties: np.ndarray | None = None) -> Ranked:
    """Order positions by values above 0, ties by another number of each item, then by position."""
    keep = allowed[places] & (values > 0)
    places, values = places[keep], values[keep]
    second = np.zeros(len(places)) if ties is None else -ties[places]
    order = np.lexsort((places, second, -values))[:DEPTH]
    return places[order], values[order]
