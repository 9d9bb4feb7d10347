"""Which numbers tell of the intents: a world that says it, chance that must not, and what cannot be judged."""

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from components.intent import relevance
from components.intent.relevance import choose
from feature_repo.dropped_features import Relevance
from feature_repo.errors import DataError

R = 4_000
RNG = np.random.default_rng(5)
WANTS, COMES = (RNG.random(R) < share for share in (0.4, 0.5))  # two intents that know nothing of each other
LABELS = np.stack([WANTS, ~WANTS, COMES], axis=1).astype(np.uint8)
INTENTS = ["buy", "buy", "visit"]
NAMES = ["noise_a", "of_buy", "noise_b", "of_visit", "of_both", "noise_c"]
VALUES = np.stack(
    [
        RNG.normal(size=R),
        WANTS + RNG.normal(0, 0.3, R),
        RNG.exponential(size=R),
        COMES + RNG.normal(0, 0.2, R),
        WANTS + COMES + RNG.normal(0, 0.8, R),
        RNG.integers(0, 3, R),
    ],
    axis=1,
)


def test_what_tells_of_the_intents_is_kept_among_noise() -> None:
    found = choose(NAMES, VALUES, LABELS, INTENTS, Relevance(3, "mean"))
    assert found.kept == ("of_buy", "of_visit", "of_both")  # in the order of the names
    assert list(found.importance)[:3] == ["of_visit", "of_buy", "of_both"]
    assert all(found.importance[name].joined < 0.002 for name in NAMES if name.startswith("noise"))
    assert found.importance["of_buy"].by_intent["visit"] < 0.002 < 0.5 < found.importance["of_buy"].by_intent["buy"]
    assert found.notes == ()


def test_the_join_decides_between_a_bit_of_all_and_much_of_one() -> None:
    rare = np.stack([WANTS & (RNG.random(R) < 0.5), COMES], axis=1).astype(np.uint8)
    sharp, broad = COMES + RNG.normal(0, 0.45, R), 0.9 * rare[:, 0] + 0.9 * COMES + RNG.normal(0, 0.5, R)
    table = np.stack([sharp, broad], axis=1)
    chosen = {
        join: choose(["sharp", "broad"], table, rare, ["buy", "visit"], Relevance(1, join)) for join in ("mean", "max")
    }
    assert {join: found.kept for join, found in chosen.items()} == {"mean": ("broad",), "max": ("sharp",)}
    both = chosen["mean"].importance["broad"]
    assert both.joined == pytest.approx(sum(both.by_intent.values()) / 2, abs=1e-6)
    assert chosen["max"].importance["sharp"].joined == chosen["max"].importance["sharp"].by_intent["visit"]


def test_importance_is_mutual_information_less_its_bias_over_the_entropy() -> None:
    number = RNG.integers(0, 5, R)
    label = (RNG.random(R) < 0.1 + 0.15 * number).astype(np.uint8)
    told = mutual_info_score(number, label) - (5 - 1) / (2 * R)
    found = relevance.importance(number[:, None].astype(float), label[:, None], [0])
    np.testing.assert_allclose(found, [[told / mutual_info_score(label, label)]], atol=1e-9)


def test_a_number_is_cut_into_sixteen_parts_of_equal_weight() -> None:
    place = relevance._places(RNG.permutation(1600)[:, None], np.ones(1600))
    np.testing.assert_array_equal(np.bincount(place[:, 0]), [100] * 16)
    heavy = np.where(np.arange(1600) < 100, 15.0, 1.0)  # the smallest hundred weigh half
    place = relevance._places(np.arange(1600.0)[:, None], heavy)
    np.testing.assert_allclose(np.bincount(place[:, 0], heavy), [3000 / 16] * 16, atol=15)


def test_targets_of_an_intent_count_by_what_there_is_to_know_of_them() -> None:
    number = WANTS.astype(float)[:, None]
    rare = np.stack([WANTS, np.arange(R) < 4], axis=1).astype(
        np.uint8
    )  # the number tells all of one, none of the other
    share = relevance.importance(number, rare, [0, 0])[0, 0]
    entropies = [mutual_info_score(rare[:, c], rare[:, c]) for c in (0, 1)]
    assert share == pytest.approx(entropies[0] / sum(entropies), abs=0.002)


def test_a_row_counts_as_often_as_it_stands_for() -> None:
    weight = RNG.integers(1, 6, R)
    again = np.repeat(np.arange(R), weight)
    mine = relevance._counts(relevance._places(VALUES, weight.astype(float)), LABELS, weight.astype(float))
    theirs = relevance._counts(
        relevance._places(VALUES[again], np.ones(len(again))), LABELS[again], np.ones(len(again))
    )
    for one, other in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(one, other)
    # Of a number that tells only where rows count little, weights leave little.
    told = np.where(np.arange(R) < R // 2, WANTS, RNG.random(R) < 0.4).astype(float)[:, None]
    few = np.where(np.arange(R) < R // 2, 1.0, 50.0)
    plain, weighted = (relevance.importance(told, LABELS[:, :1], [0], weight=w)[0, 0] for w in (None, few))
    assert weighted < plain / 10


def test_the_order_of_rows_and_chunks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    first = choose(NAMES, VALUES, LABELS, INTENTS, Relevance(3, "max"))
    order = RNG.permutation(R)
    monkeypatch.setattr(relevance, "CHUNK", 333)
    assert choose(NAMES, VALUES[order], LABELS[order], INTENTS, Relevance(3, "max")) == first


def test_equal_numbers_stand_in_the_order_of_their_names() -> None:
    twins = np.stack([VALUES[:, 1], VALUES[:, 1]], axis=1)
    assert choose(["b", "a"], twins, LABELS, INTENTS, Relevance(1, "mean")).kept == ("b",)


def test_numbers_that_never_change_or_are_none_are_left_out_and_named() -> None:
    table = VALUES.copy()
    table[:, 2] = 7.0
    table[:3, 1] = np.nan
    table[5, 4] = np.inf
    found = choose(NAMES, table, LABELS, INTENTS, Relevance(6, "mean"))
    assert found.kept == ("noise_a", "of_visit", "noise_c")
    assert (found.constant, found.not_finite) == (("noise_b",), {"of_buy": 3, "of_both": 1})
    assert found.notes == (
        "of_buy is not finite in 3 training rows and is left out",
        "of_both is not finite in 1 training rows and is left out",
        "k 6 is above the 3 numbers that change; all of these stay",
    )
    said = found.document(Relevance(6, "mean"))
    assert (said["kept"][0], set(said["kept"])) == ("of_visit", set(found.kept))  # the most important first
    assert said["importance"].pop("of_visit")["by_intent"]["visit"] > 0.5
    assert said["importance"]["of_buy"] == {"joined": 0.0, "by_intent": {"buy": 0.0, "visit": 0.0}}
    del said["kept"], said["importance"]
    assert said == {
        "relevance": "top_k",
        "k": 6,
        "join": "mean",
        "dropped": ["of_buy", "noise_b", "of_both"],
        "constant": ["noise_b"],
        "not_finite": {"of_buy": 3, "of_both": 1},
        "notes": list(found.notes),
    }


def test_where_nothing_can_be_told_it_says_so() -> None:
    with pytest.raises(
        DataError, match=r"^profiles\.selection: none of 2 numbers of the profile is finite and changes"
    ):
        choose(["a", "b"], np.ones((9, 2)), LABELS[:9], INTENTS, Relevance(1, "mean"))
    with pytest.raises(DataError, match=r"every intent always or never comes true.*take relevance out"):
        choose(NAMES, VALUES, np.ones_like(LABELS), INTENTS, Relevance(1, "mean"))
    never = LABELS * np.array([1, 0, 1], dtype=np.uint8)  # one target of several tells nothing, and counts nothing
    found = choose(NAMES, VALUES, never, INTENTS, Relevance(3, "mean"))
    assert found.kept == ("of_buy", "of_visit", "of_both")
