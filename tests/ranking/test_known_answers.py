"""The ranking formulas by value: every number here was worked out by hand, so another constant or boundary fails."""

import math
from collections.abc import Mapping
from math import log
from typing import Any

import numpy as np
import pytest

from components.ranking import cooccurrence, encode, feature_names
from components.ranking.candidates import candidates, given
from components.ranking.catalogue import Catalogue
from components.ranking.history import History
from components.ranking.neighbours import Neighbours
from components.ranking.score import Ranker
from components.ranking.sources import NAMES, OF_LEARNT
from components.ranking.sources.context import first_of_each_row
from components.ranking.spec import Candidates
from feature_repo import columns
from feature_repo.rows import Ragged
from tests.ranking.board import CALENDAR, ITEMS, VISIT, Happened, cold_rows, known_row, start, user_rows

NAN = math.nan
FACTS = (
    "weeks_bought", "weeks_since", "first_since", "slow", "fast", "user_weeks", "user_slow", "tenure", "idle", "basket",
    "variety", "discount_share", "discounted_share", "mean_price", "visit", "target_weeks", "target_slow",
    "target_since", "intent", "kind_slow", "of_kind", "of_target", "brand_share", "near", "affinity",
    "wrote_weeks", "wrote_slow", "wrote_since", "wrote_days", "acted_days", "unanswered", "common_acquaintances",
    "adamic_adar", "friends_of_friends", "knowledge", *columns.ITEM_NUMBERS,
)  # fmt: skip


def logit(p: float) -> float:
    return log(p / (1 - p))


FEATURES: list[tuple[str, dict[str, float], float]] = [
    ("had", {"weeks_bought": 0}, 0),
    ("had", {"weeks_bought": 1}, 1),
    ("weeks_bought", {"weeks_bought": 3}, log(4)),
    ("week_rate", {"weeks_bought": 3, "user_weeks": 4}, 0.75),
    ("week_rate", {"weeks_bought": 3, "user_weeks": 0.5}, 3),
    ("slow", {"slow": 1.5}, log(2.5)),
    ("fast", {"fast": 0.5}, log(1.5)),
    ("slow_rate", {"slow": 0.5, "user_slow": 2}, log(0.25 + 0.003)),
    ("slow_rate", {"slow": 0.05, "user_slow": 0.05}, log(0.5 + 0.003)),
    ("fast_slow", {"fast": 0.3, "slow": 0.6}, 0.5),
    ("fast_slow", {"fast": 0.0005, "slow": 0}, 0.5),
    ("weeks_since", {"weeks_since": 5}, log(5)),
    ("weeks_since", {"weeks_since": 100}, log(60)),
    ("last_week", {"weeks_since": 1}, 1),
    ("last_week", {"weeks_since": 2}, 0),
    ("gap", {"weeks_bought": 4, "first_since": 12}, log(3)),
    ("gap", {"weeks_bought": 0.5, "first_since": 12}, log(12)),
    ("gap", {"weeks_bought": 0, "first_since": 12}, log(60)),
    ("overdue", {"weeks_since": 6, "first_since": 12, "weeks_bought": 4}, log(2)),
    ("overdue", {"weeks_since": 1, "first_since": 200, "weeks_bought": 2}, log(0.02)),
    ("overdue", {"weeks_since": 60, "first_since": 1, "weeks_bought": 1}, log(50)),
    ("overdue", {"weeks_since": 6, "first_since": 12, "weeks_bought": 0}, 0),
    ("first_since", {"first_since": 7}, log(7)),
    ("share_1w", {"share_1w": 0}, log(3e-4)),
    ("share_4w", {"share_4w": 0}, log(1e-4)),
    ("share_slow", {"share_slow": 0}, log(1e-4)),
    ("share_4w", {"share_4w": 0.01}, log(0.0101)),
    ("trend", {"share_1w": 0.001, "share_slow": 0}, log(0.0013 / 0.0003)),
    ("repeat_share", {"repeat_share": 0.4}, 0.4),
    ("price", {"price": 2.5}, log(2.5)),
    ("price", {"price": NAN}, 0),
    ("price", {"price": 0}, 0),
    ("price_relative", {"price": 3, "mean_price": 2}, log(1.5)),
    ("price_relative", {"price": 0.02, "mean_price": 0}, log(2)),
    ("price_relative", {"price": 99, "mean_price": 1}, 3),
    ("price_relative", {"price": 1, "mean_price": 99}, -3),
    ("price_relative", {"price": NAN, "mean_price": 2}, 0),
    ("price_known", {"price": 2}, 1),
    ("price_known", {"price": NAN}, 0),
    ("price_known", {"price": 0}, 0),
    ("near", {"near": 0}, log(1e-4)),
    ("near", {"near": 0.2}, log(0.2001)),
    ("affinity", {"affinity": -0.3}, -0.3),
    ("intent", {"intent": 0.3}, logit(0.3)),
    ("intent", {"intent": 0}, logit(1e-4)),
    ("intent", {"intent": 1}, logit(1 - 1e-4)),
    ("intent_share", {"intent": 0.3, "of_target": 0.5}, log(0.151)),
    ("intent_share", {"intent": 0, "of_target": 0}, log(1e-3)),
    ("target_weeks", {"target_weeks": 2}, log(3)),
    ("target_slow", {"target_slow": 0.5}, log(1.5)),
    ("target_since", {"target_since": 8}, log(8)),
    ("target_gap", {"tenure": 12, "target_weeks": 4}, log(3)),
    ("target_gap", {"tenure": 10, "target_weeks": 0}, log(20)),
    ("target_gap", {"tenure": 0, "target_weeks": 1}, log(0.1)),
    ("target_gap", {"tenure": 99, "target_weeks": 0}, log(60)),
    ("of_target", {"of_target": 0.7}, 0.7),
    ("kind_slow", {"kind_slow": 2}, log(3)),
    ("of_kind", {"of_kind": 0.6}, 0.6),
    ("brand_share", {"brand_share": 0.2}, 0.2),
    ("visit", {"visit": 0.9}, logit(0.9)),
    ("user_rate", {"user_weeks": 3, "tenure": 6}, 0.5),
    ("user_rate", {"user_weeks": 3, "tenure": 0}, 3),
    ("user_slow", {"user_slow": 1}, log(2)),
    ("tenure", {"tenure": 4}, log(5)),
    ("tenure", {"tenure": 99}, log(60)),
    ("idle", {"idle": 3}, log(3)),
    ("basket", {"basket": 4}, log(5)),
    ("variety", {"variety": 0.5}, 0.5),
    ("price_change", {"price": 3, "price_usual": 2}, log(1.5)),
    ("price_change", {"price": 99, "price_usual": 1}, 3),
    ("price_change", {"price": 1, "price_usual": 99}, -3),
    ("price_change", {"price": 3, "price_usual": NAN}, 0),
    ("price_change", {"price": 3, "price_usual": 0}, 0),
    ("item_gap", {"gap_weeks": 4}, log(4)),
    ("item_gap", {"gap_weeks": 0}, log(60)),
    ("item_gap_spread", {"gap_spread": 2, "gap_weeks": 4}, 0.5),
    ("item_gap_spread", {"gap_spread": 3, "gap_weeks": 0}, 0.05),
    ("item_overdue", {"weeks_since": 6, "gap_weeks": 3, "weeks_bought": 1}, log(2)),
    ("item_overdue", {"weeks_since": 1, "gap_weeks": 99, "weeks_bought": 1}, log(0.02)),
    ("item_overdue", {"weeks_since": 99, "gap_weeks": 1, "weeks_bought": 1}, log(50)),
    ("item_overdue", {"weeks_since": 6, "gap_weeks": 3, "weeks_bought": 0}, 0),
    ("discount_share", {"discount_share": 0.1}, 0.1),
    ("discounted_share", {"discounted_share": 0.3}, 0.3),
    *((name, {name: 0.25}, 0.25) for name in columns.OFFER_NUMBERS),
    ("wrote_weeks", {"wrote_weeks": 3}, log(4)),
    ("wrote_slow", {"wrote_slow": 0.5}, log(1.5)),
    ("wrote_since", {"wrote_since": 5}, log(5)),
    ("wrote_since", {"wrote_since": 100}, log(60)),
    ("wrote_days", {"wrote_days": 2}, log(2.02)),
    ("acted_days", {"acted_days": 0}, log(0.02)),
    ("contact_days", {"wrote_days": 2, "acted_days": 5}, log(2.02)),
    ("contact_days", {"wrote_days": 7, "acted_days": 5}, log(5.02)),
    ("unanswered", {"unanswered": 1}, 1),
    ("mutual", {"wrote_weeks": 1, "weeks_bought": 2}, 1),
    ("mutual", {"wrote_weeks": 0, "weeks_bought": 2}, 0),
    ("mutual", {"wrote_weeks": 1, "weeks_bought": 0}, 0),
    ("common_acquaintances", {"common_acquaintances": 3}, log(4)),
    ("adamic_adar", {"adamic_adar": 0.5}, log(1.5)),
    ("friends_of_friends", {"friends_of_friends": 2}, log(3)),
    ("knowledge", {"knowledge": 0.5}, log(1.5)),
    ("knowledge", {"knowledge": 0}, 0),
]


@pytest.mark.parametrize(("feature", "facts", "expected"), FEATURES)
def test_a_feature_of_facts_is_the_number_by_hand(feature: str, facts: dict[str, float], expected: float) -> None:
    given_facts = {name: np.array([float(facts.get(name, 1.0))]) for name in FACTS}
    found = encode.matrix(given_facts, [feature])
    assert found.shape == (1, 1)
    assert found[0, 0] == pytest.approx(expected, rel=2e-5, abs=1e-6)


def test_every_feature_has_a_known_answer() -> None:
    elsewhere = {*feature_names.CONTENT, *OF_LEARNT.values()}  # in test_content.py and test_fitted.py
    assert {feature for feature, _, _ in FEATURES} == set(feature_names.KNOWN) - elsewhere


# Items 10 and 16 are of one path, 4 of the same category; all three of brand EVEN, 5 of brand ODD.
HAPPENED: Happened = {10: [4, 10], 12: [16], 20: [5]}
TOTAL = 2 * 0.96**11 + 0.96**9 + 0.96


def tiny_neighbours() -> Neighbours:
    """Item 4 is near 10 (.5), item 5 near 7 (.25); factors and scales tell items apart."""
    items, similarities = np.zeros((ITEMS, 1), np.int32), np.zeros((ITEMS, 1), np.float32)
    items[4], similarities[4] = 10, 0.5
    items[5], similarities[5] = 7, 0.25
    factors = np.zeros((ITEMS, 2), np.float32)
    factors[4], factors[5], factors[8] = (1, 0), (0, 2), (3, 1)
    scale = np.ones(ITEMS, np.float32)
    scale[4], scale[8] = 2, 4
    return Neighbours(items, similarities, factors, scale)


def facts_of(ranker: Ranker, items: list[int], **cells: Any) -> Mapping[str, np.ndarray]:
    rows = user_rows(known_row("u00", HAPPENED, 21) | cells)
    history = History.of(rows, tiny_neighbours())
    chances = np.zeros((1, VISIT + 1), dtype=np.float32)
    chances[0, [4, VISIT]] = 0.25, 0.75
    found = given(history, np.array(items))
    return encode.facts(
        rows, found, history=history, probabilities=chances, catalogue=ranker.catalogue, calendar=CALENDAR
    )


@pytest.mark.parametrize(
    ("fact", "expected"),  # of items 10, 5, 8
    [
        ("weeks_bought", [1, 1, 0]),
        ("weeks_since", [11, 1, encode.NEVER]),
        ("first_since", [11, 1, encode.NEVER]),
        ("slow", [0.96**11, 0.96, 0]),
        ("fast", [0.8**11, 0.8, 0]),
        ("kind_slow", [0.96**11 + 0.96**9, 0.96, 0]),
        ("of_kind", [0.96**11 / (0.96**11 + 0.96**9), 1, 0]),
        ("of_target", [0.96**11 / (2 * 0.96**11 + 0.96**9), 1, 0]),
        ("brand_share", [(TOTAL - 0.96) / TOTAL, 0.96 / TOTAL, (TOTAL - 0.96) / TOTAL]),
        ("near", [0.5 * 0.96**11 / TOTAL, 0, 0]),
        # each pull is sqrt(share) / scale: (sqrt(.96^11 / total) / 2, 2 sqrt(.96 / total)); item 8's factors (3, 1) x 4
        ("affinity", [0, 4 * 0.96 / TOTAL / math.sqrt(0.96 / TOTAL),
                      4 * (3 * math.sqrt(0.96**11 / TOTAL) / 2 + 2 * math.sqrt(0.96 / TOTAL))]),
        ("intent", [0.25, 0, 0]),
        ("visit", [0.75] * 3),
        ("target_weeks", [2, 1, 0]),
        ("target_since", [9, 1, encode.NEVER]),
    ],
)  # fmt: skip
def test_a_fact_is_the_number_by_hand(ranker: Ranker, fact: str, expected: list[float]) -> None:
    assert facts_of(ranker, [10, 5, 8])[fact] == pytest.approx(expected, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize(
    ("fact", "cells", "expected"),
    [
        ("basket", {"events_total": 8.0, "sessions_total": 2.0}, 4),
        ("basket", {"events_total": 8.0, "sessions_total": 0.0}, 8),
        ("variety", {"items_total": 2.0, "events_total": 8.0}, 0.25),
        ("variety", {"items_total": 2.0, "events_total": 0.0}, 2),
        ("discount_share", {"discount_total": 3.0, "value_total": 9.0}, 0.25),
        ("discount_share", {"discount_total": 0.005, "value_total": 0.0}, 0.5),
        ("discounted_share", {"discounted_total": 2.0, "events_total": 8.0}, 0.25),
        ("discounted_share", {"discounted_total": 2.0, "events_total": 0.0}, 2),
        ("mean_price", {"value_total": 9.0, "quantity_total": 3.0}, 3),
        ("mean_price", {"value_total": 9.0, "quantity_total": 0.0}, 9),
        ("user_weeks", {"weeks_total": 5.0}, 5),
        ("user_slow", {"sessions_slow": 2.0}, 2),
        ("user_slow", {"sessions_slow": 2.0, "now": start(24)}, 2 * 0.96**3),
        ("slow", {"now": start(24)}, 0.96**14),
        ("fast", {"now": start(24)}, 0.8**14),
        ("kind_slow", {"now": start(24)}, 0.96**14 + 0.96**12),
        ("target_slow", {"now": start(24)}, 0.96**14 + 0.96**12),
        ("tenure", {}, 11),
        ("idle", {}, 1),
        ("idle", {"now": start(24)}, 4),
        ("weeks_since", {}, 11),
        ("first_since", {"now": start(24)}, 14),
    ],
)
def test_a_fact_of_the_user_is_the_number_by_hand(
    ranker: Ranker, fact: str, cells: dict[str, float], expected: float
) -> None:
    assert facts_of(ranker, [10], **cells)[fact][0] == pytest.approx(expected, rel=1e-5)


def test_a_stranger_has_no_tenure_and_never_came(ranker: Ranker) -> None:
    shared = encode.user(cold_rows(start(21)), np.zeros((1, VISIT + 1), np.float32), ranker.catalogue, CALENDAR)
    assert (shared.numbers["tenure"][0], shared.numbers["idle"][0], shared.rebase[0]) == (0, 60, 0)


def test_the_widest_of_several_targets_counts_and_none_is_0() -> None:
    dense = np.array([[-3.0, -1.0], [5.0, 2.0]])
    wanted = np.array([[0, 1], [1, 2], [2, 2], [0, 1]])  # 2: no target
    assert encode._widest(dense, np.array([0, 0, 0, 1]), wanted).tolist() == [-1.0, -1.0, 0.0, 5.0]


# Candidates: two users over six items. Nearness and popularity are such that the square root decides the order.
def small_catalogue(*, flyer: list[float] | None = None) -> Catalogue:
    state = {name: np.zeros(6) for name in columns.ITEM_NUMBERS}
    state["share_1w"] = np.array([0.1, 0.0, 0.05, 0.0, 0.05, 0.8])
    state["share_4w"] = np.array([0.0, 0.1599, 0.05, 0.0, 0.0099, 0.1])
    state["offer_flyer"] = np.zeros(6) if flyer is None else np.array(flyer)
    none = np.full(6, -1)
    return Catalogue(np.zeros((6, 1), np.int64), np.array([], np.int64), 1, none, none, state)


def small_history(near: list[list[float]]) -> History:
    """Row 0 had items 3 (weight 2), 0 and 5 (weight 1 each); row 1 had none."""
    table = Neighbours(*(np.zeros((6, 1), kind) for kind in (np.int32, np.float32, np.float32)), np.ones(6, np.float32))
    row, item, slow = np.array([0, 0, 0]), np.array([5, 3, 0]), np.array([1.0, 2.0, 1.0])
    return History(row, item, slow, np.array(near), np.zeros((2, 1), np.float32), table, 2)


# Of items 1, 2 and 4 times the root of .16, .1001 and .06: .28, .2848 and .2695. Without the root 1 would lead, without
# popularity 4 would.
NEAR = [[9.0, 0.7, 0.9, 9.0, 1.1, 9.0], [0.0] * 6]


def brought(history: History, catalogue: Catalogue, /, **limits: int) -> list[dict[str, list[int]]]:
    found = candidates(history, catalogue, Candidates(**{"offers": 0} | limits))
    rows = [slice(a, b) for a, b in zip(found.offsets, found.offsets[1:], strict=False)]
    return [
        {name: found.item[row][found.source[row] == code].tolist() for code, name in enumerate(NAMES)} for row in rows
    ]


def test_popularity_is_the_sum_of_two_shares_and_orders_items() -> None:
    catalogue = small_catalogue()
    assert catalogue.popularity == pytest.approx([0.1001, 0.16, 0.1001, 0.0001, 0.06, 0.9001])
    assert catalogue.by_popularity.tolist() == [5, 1, 0, 2, 4, 3]  # 0 and 2 are alike: by item


@pytest.mark.parametrize(("limit", "expected"), [(0, []), (1, [3]), (2, [0, 3]), (3, [0, 3, 5]), (9, [0, 3, 5])])
def test_history_brings_the_heaviest_and_of_equals_the_first(limit: int, expected: list[int]) -> None:
    both = brought(small_history(NEAR), small_catalogue(), history=limit, neighbours=0, popular=1)
    assert [row["history"] for row in both] == [expected, []]


@pytest.mark.parametrize(("limit", "expected"), [(0, []), (1, [2]), (2, [1, 2]), (3, [1, 2, 4]), (9, [1, 2, 4])])
def test_neighbours_bring_the_nearest_by_the_root_of_popularity(limit: int, expected: list[int]) -> None:
    both = brought(small_history(NEAR), small_catalogue(), history=0, neighbours=limit, popular=1)
    assert [row["neighbours"] for row in both] == [expected, []]


def test_of_equally_near_items_the_first_is_brought() -> None:
    catalogue, equal = small_catalogue(), [[9.0, 0.0, 1.0, 9.0, 0.0, 9.0], [1.0, 0.0, 1.0, 0.0, 0.0, 0.0]]
    both = brought(small_history(equal), catalogue, history=0, neighbours=1, popular=1)
    assert [row["neighbours"] for row in both] == [[2], [0]]
    nearer = [[9.0, 0.0, 1.0, 9.0, 0.0, 9.0], [1.0, 0.0, 1.0, 0.0, 0.0, 9.0]]  # 5 leads, 0 and 2 share the second place
    both = brought(small_history(nearer), catalogue, history=0, neighbours=2, popular=1)
    assert both[1]["neighbours"] == [0, 5]


def test_offers_bring_what_is_near_and_in_the_flyer_unless_a_neighbour_is_it_already() -> None:
    catalogue = small_catalogue(flyer=[1.0, 0.9, 1.0, 1.0, 1.0, 1.0])  # .28 x .9 is less than .2695
    for limit, expected in ((1, [4]), (2, [1, 4]), (9, [1, 4])):
        both = brought(small_history(NEAR), catalogue, history=0, neighbours=1, offers=limit, popular=1)
        assert (both[0]["neighbours"], both[0]["offers"], both[1]["offers"]) == ([2], expected, [])


def test_an_item_asked_about_by_itself_is_named_by_the_history_then_by_nearness() -> None:
    near = [[9.0, 0.7, 0.0, 0.0, 1.1, 9.0], [0.0] * 6]
    found = given(small_history(near), np.array([5, 3, 1, 2]))  # 5 is the history's first entry
    assert [NAMES[code] for code in found.source] == ["history", "history", "neighbours", "popular"]


@pytest.mark.parametrize(("limit", "expected"), [(1, ([1], [5])), (2, ([1, 2], [1, 5])), (3, ([1, 2, 4], [0, 1, 5]))])
def test_popular_fills_up_with_what_nobody_brought(limit: int, expected: tuple[list[int], list[int]]) -> None:
    both = brought(small_history(NEAR), small_catalogue(), history=3, neighbours=0, popular=limit)
    assert tuple(row["popular"] for row in both) == expected


def test_what_the_history_kept_back_may_come_as_popular_but_not_as_a_neighbour() -> None:
    both = brought(small_history(NEAR), small_catalogue(), history=1, neighbours=9, popular=1)
    some = {name: items for name, items in both[0].items() if items}
    assert some == {"history": [3], "neighbours": [1, 2, 4], "popular": [5]}


def test_the_first_of_each_row_are_counted_anew_in_every_row() -> None:
    assert first_of_each_row(np.array([0, 0, 0, 4, 4]), 2).tolist() == [True, True, False, True, True]


# Neighbour tables.
def table() -> Neighbours:
    return Neighbours(
        items=np.array([[1], [0], [0]], np.int32),
        similarities=np.array([[0.5], [0.25], [0.0]], np.float32),
        factors=np.array([[1, 0], [0, 2], [3, 4]], np.float32),
        scale=np.array([1, 2, 0.5], np.float32),
    )


def test_tastes_are_the_root_of_each_share_over_the_scale_times_the_factors() -> None:
    items = Ragged(np.array([0, 1, 2]), np.array([0, 2, 2, 3]))
    found = table().tastes(items, np.array([3.0, 1.0, 8.0]))
    assert found.tolist() == [pytest.approx([math.sqrt(0.75), 0.5 / 2 * 2]), [0, 0], pytest.approx([6, 8])]


def test_affinity_is_the_product_of_taste_and_factors_times_the_scale() -> None:
    tastes = np.array([[1.0, 0.5], [2.0, 1.0]], np.float32)
    assert table().affinity(tastes, np.array([1, 2])).tolist() == [2 * (0.5 * 2), 0.5 * (2 * 3 + 1 * 4)]


def test_similarity_is_the_cosine_of_damped_log_weights_with_four_added_to_each_square() -> None:
    # u00 had items 0 and 2 in one week, u02 item 0 alone: lengths 2 and 1, mean 1.5.
    rows = user_rows(known_row("u00", {20: [0, 2]}, 21), known_row("u02", {20: [0]}, 21))
    found = cooccurrence.fit(rows, 3, size=2, factors=1)
    pair, alone = log(1.96) / math.sqrt(2 / 1.5), log(1.96) / math.sqrt(1 / 1.5)
    norm0, norm2 = math.sqrt(pair**2 + alone**2 + 4), math.sqrt(pair**2 + 4)
    assert found.items[0].tolist() == [2, 0]
    assert found.similarities[0].tolist() == pytest.approx([pair * pair / norm0 / norm2, 0], rel=1e-5)
    assert found.scale.tolist() == pytest.approx([math.sqrt(norm0), math.sqrt(2), math.sqrt(norm2)], rel=1e-6)
