import dataclasses

import numpy as np
import pytest

from components.ranking.candidates import CandidateSet, candidates, context_of, given, recall
from components.ranking.catalogue import Catalogue
from components.ranking.history import History
from components.ranking.score import Ranker
from components.ranking.sources import NAMES, SOURCES, attributes
from components.ranking.spec import Candidates
from feature_repo.rows import Ragged
from tests.ranking.board import ITEMS, Happened, cold_rows, known_row, start, user_rows

FEW = Candidates(history=2, neighbours=3, popular=4)


def by_source(found: CandidateSet) -> dict[str, list[int]]:
    return {name: found.item[found.source == code].tolist() for code, name in enumerate(NAMES)}


@pytest.fixture
def history(ranker: Ranker, happened: dict[str, Happened]) -> History:
    return History.of(user_rows(known_row("u00", happened["u00"], 21)), ranker.neighbours)


def test_history_brings_the_items_with_the_largest_decayed_weight(history: History, catalogue: Catalogue) -> None:
    heaviest = history.item[np.argsort(-history.slow, kind="stable")[:2]]
    assert by_source(candidates(history, catalogue, FEW))["history"] == sorted(heaviest)


def test_neighbours_bring_the_nearest_items_that_the_user_never_had(history: History, catalogue: Catalogue) -> None:
    weighed = history.near[0] * np.sqrt(catalogue.popularity)
    unseen = np.where(np.isin(np.arange(ITEMS), history.item), -1.0, weighed)
    near = by_source(candidates(history, catalogue, FEW))["neighbours"]
    assert near == sorted(np.argsort(-unseen, kind="stable")[:3])
    assert not set(near) & set(history.item)


def test_popular_brings_the_most_popular_items_that_no_other_source_brought(
    history: History, catalogue: Catalogue
) -> None:
    found = by_source(candidates(history, catalogue, FEW))
    taken = {*found["history"], *found["neighbours"]}
    assert found["popular"] == sorted([i for i in catalogue.by_popularity if i not in taken][:4])


def test_no_item_is_a_candidate_twice(ranker: Ranker, catalogue: Catalogue, happened: dict[str, Happened]) -> None:
    rows = user_rows(*(known_row(user, weeks, 21) for user, weeks in happened.items()))
    found = candidates(History.of(rows, ranker.neighbours), catalogue, FEW)
    assert all(len(set(found.item[a:b])) == b - a == 9 for a, b in zip(found.offsets, found.offsets[1:], strict=False))


def test_a_cold_user_gets_popular_candidates_only(ranker: Ranker, catalogue: Catalogue) -> None:
    found = candidates(History.of(cold_rows(start(21)), ranker.neighbours), catalogue, FEW)
    assert by_source(found) == {
        "history": [],
        "neighbours": [],
        "popular": sorted(catalogue.by_popularity[:4].tolist()),
        "offers": [],
        **{s.name: [] for s in SOURCES if s.for_people or s.for_vectors},  # items are no people, and have no vectors
        "new": [],
        **{s.name: [] for s in SOURCES if s.asked},  # off
    }


def test_a_source_of_size_0_is_off(history: History, catalogue: Catalogue) -> None:
    found = by_source(candidates(history, catalogue, Candidates(history=0, neighbours=0, popular=4)))
    assert [len(items) for items in found.values()] == [0, 0, 4, *[0] * (len(SOURCES) - 3)]


def test_offers_brings_the_items_in_the_flyer_that_are_near_the_history(history: History, catalogue: Catalogue) -> None:
    near = [i for i in range(ITEMS) if history.near[0, i] > 0 and i not in history.item]
    far = [i for i in range(ITEMS) if history.near[0, i] == 0]
    flyer = np.zeros(ITEMS)
    flyer[[*near[:2], *far, history.item[0]]] = 1.0
    promoted = dataclasses.replace(catalogue, state=catalogue.state | {"offer_flyer": flyer})
    found = by_source(candidates(history, promoted, Candidates(history=3, neighbours=0, popular=1, offers=5)))
    assert found["offers"] == near[:2]
    assert by_source(candidates(history, catalogue, FEW))["offers"] == []


def test_sources_larger_than_the_catalogue_bring_all_of_it(history: History, catalogue: Catalogue) -> None:
    found = candidates(history, catalogue, Candidates(history=500, neighbours=500, popular=500))
    assert found.item.tolist() == list(range(ITEMS))


def test_rows_together_get_what_each_gets_alone(
    ranker: Ranker, catalogue: Catalogue, happened: dict[str, Happened]
) -> None:
    rows = user_rows(*(known_row(user, weeks, 21) for user, weeks in happened.items()))
    together = candidates(History.of(rows, ranker.neighbours), catalogue, FEW)
    for b in range(len(rows)):
        alone = candidates(History.of(rows.take(np.array([b])), ranker.neighbours), catalogue, FEW)
        mine = slice(together.offsets[b], together.offsets[b + 1])
        assert alone.item.tolist() == together.item[mine].tolist()
        assert alone.source.tolist() == together.source[mine].tolist()


def test_given_items_keep_their_order_and_say_what_would_have_brought_them(history: History) -> None:
    items = np.array([ITEMS - 1, int(history.item[0]), 1])  # odd ones are strangers to an even user
    found = given(history, items)
    assert found.item.tolist() == items.tolist()
    assert [NAMES[s] for s in found.source] == ["popular", "history", "popular"]


def test_recall_is_the_mean_share_of_bought_items_among_the_candidates() -> None:
    found = CandidateSet(np.array([1, 2, 3]), np.zeros(3, np.int8), np.array([0, 2, 3]))
    bought = Ragged(np.array([1, 9, 3]), np.array([0, 2, 3]))  # row 0: 1 of 2, row 1: 1 of 1
    assert recall(found, bought, 10) == pytest.approx(0.75)


def test_attributes_bring_what_shares_a_rare_one_also_what_nobody_had(ranker: Ranker, catalogue: Catalogue) -> None:
    """One user had item 0. Item 4 is of its brand, items 2 and 6 of its category, whose seven others say less."""
    none = np.full(ITEMS, -1)
    brand, kind = none.copy(), none.copy()
    brand[[0, 4]], kind[[0, 2, 6, *range(7, 14)]] = 0, 0
    state = catalogue.state | {name: np.zeros(ITEMS) for name in ("share_1w", "share_4w")}
    plain = dataclasses.replace(
        catalogue, brand=brand, kind=kind, targets=np.full((ITEMS, 1), catalogue.n_targets), state=state
    )
    history = History.of(user_rows(known_row("u00", {20: [0]}, 21)), ranker.neighbours)
    found = by_source(
        candidates(history, plain, Candidates(history=1, neighbours=0, offers=0, popular=1, attributes=3))
    )
    assert found["attributes"] == [2, 4, 6]
    first = attributes.candidates(context_of(history, plain, None), 1)
    assert first.tolist() == [4]
    assert not attributes.shared(History.of(cold_rows(start(21)), ranker.neighbours), plain).any()


def test_one_row_has_the_candidates_that_it_has_among_others(
    ranker: Ranker, catalogue: Catalogue, happened: dict[str, Happened]
) -> None:
    rows = user_rows(*(known_row(user, weeks, 21) for user, weeks in happened.items()))
    barred = np.zeros((len(rows), ITEMS), dtype=bool)
    barred[:, [catalogue.by_popularity[0], 4]] = True
    for hidden in (None, barred):
        for spec in (FEW, Candidates(history=150, neighbours=100, popular=50), Candidates(history=1, neighbours=0)):
            together = candidates(History.of(rows, ranker.neighbours), catalogue, spec, barred=hidden)
            for b in range(len(rows)):
                mine = History.of(rows.take(np.array([b])), ranker.neighbours)
                alone = candidates(mine, catalogue, spec, barred=None if hidden is None else hidden[[b]])
                part = slice(together.offsets[b], together.offsets[b + 1])
                assert alone.item.tolist() == together.item[part].tolist()
                assert alone.source.tolist() == together.source[part].tolist()
