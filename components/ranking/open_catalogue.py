"""A ranker over a catalogue that changes: later items are scored without training, withdrawn ones never shown.

The network knows no item by name: it sees counts, prices, categories, nearness. An item that training did not know has
no counts yet, so it stands in for one of its category that sells well (quantile SELLS of the shares), is as near to a
history as its category is on average, and has its category's mean factors; its score is at least that of a typical
item of its category for the user (score.py). Once the item has counts of its own, a training replaces all of this.

A person who came later, where items are people, borrows nothing: the log says what was known of them as an item, who
acted on them and on whom they acted (feature_repo/later_people.py). So their own shares, ties and acquaintances count.

Letters: I items, N of them later, G of a category.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from components.ranking.catalogue import PRICES, Catalogue, Like
from components.ranking.graph import Graph
from components.ranking.neighbours import Neighbours
from components.ranking.score import Ranker
from feature_repo import columns
from feature_repo.later_people import LaterPeople
from feature_repo.live_items import LiveItems

SELLS = 0.9  # which of its category's items a new one is taken for, by share of the active users


def over(ranker: Ranker, live: LiveItems) -> Ranker:
    """Return the ranker over items as the log changes them; `ranker` is the release's own."""
    learnt, vocabulary = len(ranker.catalogue), live.vocabulary
    vectors = ranker.vectors
    if vectors is not None:
        vectors = vectors.over(vocabulary.items, live.vectors, changed=live.changed, anew=live.anew)
    if not live.changed and not live.hidden:
        return replace(ranker, vocabulary=vocabulary, vectors=vectors)
    catalogue = Catalogue.of(vocabulary, ranker.item_state)
    later = LaterPeople.of(live.people, vocabulary.item_ids)
    like = () if later else _like(catalogue, learnt)
    state = _state(ranker, catalogue, live, like)
    for place, known in later.state.items():
        for name in known.keys() & state.keys():
            state[name][place] = known[name]
    hidden = np.zeros(len(catalogue), dtype=bool)
    hidden[list(live.hidden)] = True
    return replace(
        ranker,
        vocabulary=vocabulary,
        vectors=vectors,
        catalogue=replace(catalogue, state=state, learnt=learnt, hidden=hidden if hidden.any() else None, like=like),
        neighbours=_neighbours(ranker.neighbours, len(catalogue), like),
        graph=_graph(ranker.graph, vocabulary.index_of_item, later),
        eligible=replace(ranker.eligible, own=vocabulary.index_of_item if ranker.eligible.own else {}),
        later=later,
    )


def _graph(old: Graph | None, place: Mapping[str, int], later: LaterPeople) -> Graph | None:
    """Add the ties of people who came later."""
    if old is None:
        return None
    actor, target = later.edges(place)
    return Graph.of(np.concatenate([old.actor, actor]), np.concatenate([old.target, target]), place)


def _like(catalogue: Catalogue, learnt: int) -> tuple[Like, ...]:
    """Group later items by what they are like: their category path, else their first target; else nothing."""
    groups: dict[tuple[str, int], list[int]] = {}
    for place in range(learnt, len(catalogue)):
        kind, target = int(catalogue.kind[place]), int(catalogue.targets[place, 0])
        if kind >= 0 and (catalogue.kind[:learnt] == kind).any():
            groups.setdefault(("kind", kind), []).append(place)
        elif target < catalogue.n_targets:
            groups.setdefault(("target", target), []).append(place)
    found = []
    for (column, code), later in groups.items():
        same = catalogue.kind == code if column == "kind" else (catalogue.targets == code).any(axis=1)  # [I]
        known = np.flatnonzero(same[:learnt])
        known = known[np.argsort(-catalogue.popularity[known], kind="stable")]
        if len(known):
            found.append(Like(np.asarray(later, dtype=np.int64), known))
    return tuple(found)


def _state(ranker: Ranker, catalogue: Catalogue, live: LiveItems, like: tuple[Like, ...]) -> dict[str, np.ndarray]:
    """Return the items' state: as known for the release's own, borrowed for later ones, prices as the log has them."""
    state = {name: values.copy() for name, values in catalogue.state.items()}
    for name, values in ranker.catalogue.state.items():
        state[name][: len(values)] = values
    for group in like:
        for name in (*columns.SHARES, "repeat_share", *columns.GAPS):
            known = state[name][group.known]
            state[name][group.later] = np.quantile(known, SELLS) if name in columns.SHARES else known.mean()
    priced = [place for place, said in live.changed.items() if columns.PRICE in said]
    for place in priced:
        price = live.vocabulary.items[columns.PRICE][place].as_py()
        state[columns.PRICE][place] = np.nan if price is None else float(price)
        if place >= len(ranker.catalogue):
            for name in PRICES:
                state[name][place] = state[columns.PRICE][place]
    return state


def _neighbours(old: Neighbours, n_items: int, like: tuple[Like, ...]) -> Neighbours:
    """Append later items: no neighbours of their own, the mean factors of what they are like.

    Sources that are fitted score them 0 (sources/fitted.py).
    """
    more = n_items - len(old)
    factors, scale = _appended(old.factors, more), _appended(old.scale, more)
    scale[len(old) :] = 1.0
    for group in like:
        factors[group.later] = old.factors[group.known].mean(axis=0)
        scale[group.later] = old.scale[group.known].mean()
    items, similarities = _appended(old.items, more), _appended(old.similarities, more)
    return Neighbours(items, similarities, factors, scale, old.learnt, old.compared)


def _appended(values: np.ndarray, more: int) -> np.ndarray:
    """Add so many rows of zeros, in a copy."""
    return np.concatenate([values, np.zeros((more, *values.shape[1:]), dtype=values.dtype)])
