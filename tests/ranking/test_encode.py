from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from components.ranking import encode, feature_names
from components.ranking.candidates import given
from components.ranking.catalogue import Catalogue
from components.ranking.history import History
from components.ranking.score import Ranker
from feature_repo.rows import UserRows
from tests.ranking.board import CATEGORIES, Happened, cold_rows, intents, known_row, start, user_rows

# Item 4 (category 4) in weeks 10, 12 and 18; item 6 (category 0) in week 18; item 12 (category 0) in week 20.
HAPPENED: Happened = {10: [4], 12: [4], 18: [4, 6], 20: [12]}
WEEK = 21
ITEMS = np.array([4, 12, 8])  # often had, had last week, never had

Facts = Mapping[str, np.ndarray]


@pytest.fixture
def rows() -> UserRows:
    return user_rows(known_row("u00", HAPPENED, WEEK))


def facts_of(ranker: Ranker, rows: UserRows, items: np.ndarray = ITEMS, user: str = "u00") -> Facts:
    history = History.of(rows, ranker.neighbours)
    return encode.facts(
        rows,
        given(history, items),
        history=history,
        probabilities=np.array([intents(user)], dtype=np.float32),
        catalogue=ranker.catalogue,
        calendar=ranker.calendar,
    )


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        ("weeks_bought", [3, 1, 0]),
        ("weeks_since", [3, 1, encode.NEVER]),
        ("first_since", [11, 1, encode.NEVER]),
        ("slow", [0.96**11 + 0.96**9 + 0.96**3, 0.96, 0]),
        ("fast", [0.8**11 + 0.8**9 + 0.8**3, 0.8, 0]),
        ("target_weeks", [3, 2, 0]),  # category 0: item 6 in week 18, item 12 in week 20
        ("target_since", [3, 1, encode.NEVER]),
        ("target_slow", [0.96**11 + 0.96**9 + 0.96**3, 0.96**3 + 0.96, 0]),
        ("of_target", [1, 0.96 / (0.96**3 + 0.96), 0]),
        ("user_weeks", [4, 4, 4]),
        ("tenure", [11, 11, 11]),
        ("idle", [1, 1, 1]),
        ("basket", [5 / 4] * 3),
        ("mean_price", [2, 2, 2]),
        ("price", [3, 2, 4]),  # 2 + item % 3
        ("intent", [0.6, 0.6, 0.6]),
        ("visit", [0.9, 0.9, 0.9]),
        ("brand_share", [1, 1, 1]),  # all even: one brand
    ],
)
def test_a_known_user_has_the_expected_fact(ranker: Ranker, rows: UserRows, fact: str, expected: list[float]) -> None:
    assert facts_of(ranker, rows)[fact] == pytest.approx(expected, rel=1e-5)


def test_facts_speak_of_now_however_old_the_row_is(ranker: Ranker) -> None:
    stored, fresh = (
        user_rows(known_row("u00", HAPPENED, week) | {"now": start(WEEK + 3)}) for week in (WEEK, WEEK + 3)
    )
    old, new = facts_of(ranker, stored), facts_of(ranker, fresh)
    assert old["weeks_since"].tolist() == [6, 4, encode.NEVER]
    for name, values in new.items():
        assert old[name] == pytest.approx(values, rel=1e-5, abs=1e-6), name
    assert np.allclose(encode.matrix(old), encode.matrix(new), atol=1e-5)


def test_midweek_counts_ages_up_to_the_week_to_come(ranker: Ranker, rows: UserRows) -> None:
    midweek = replace(rows, now=np.array([start(WEEK) + 3 * 86_400]))
    assert facts_of(ranker, midweek)["weeks_since"].tolist() == [4, 2, encode.NEVER]


def test_rows_together_have_the_features_that_each_has_alone(ranker: Ranker, happened: dict[str, Happened]) -> None:
    rows = user_rows(*(known_row(user, weeks, WEEK) for user, weeks in happened.items()))
    scored = ranker.rank(rows, np.array([intents(user) for user in happened], dtype=np.float32))
    together = encode.matrix(scored.facts)
    for b, user in enumerate(happened):
        mine = slice(scored.found.offsets[b], scored.found.offsets[b + 1])
        alone = facts_of(ranker, rows.take(np.array([b])), scored.found.item[mine], user)
        assert np.array_equal(encode.matrix(alone), together[mine])


def test_features_do_not_depend_on_which_other_candidates_there_are(ranker: Ranker, rows: UserRows) -> None:
    every = encode.matrix(facts_of(ranker, rows, np.arange(30)))
    assert np.array_equal(encode.matrix(facts_of(ranker, rows)), every[ITEMS])


def test_a_cold_user_has_finite_features_and_no_past(ranker: Ranker) -> None:
    found = facts_of(ranker, cold_rows(start(WEEK)))
    assert np.isfinite(encode.matrix(found)).all()
    assert not found["weeks_bought"].any()
    assert not found["near"].any()
    assert not found["affinity"].any()
    assert not found["target_slow"].any()
    assert (found["idle"] == encode.NEVER).all()


def test_every_feature_has_a_name_and_a_column(ranker: Ranker, rows: UserRows) -> None:
    found = encode.matrix(facts_of(ranker, rows))
    assert found.shape == (3, len(feature_names.FEATURES))
    assert found.dtype == np.float32
    assert len(set(feature_names.FEATURES)) == len(feature_names.FEATURES)


def with_targets(ranker: Ranker, targets: list[list[int]]) -> Ranker:
    old = ranker.catalogue
    wide = np.full((len(old), 2), old.n_targets)
    wide[: len(targets)] = targets
    return replace(ranker, catalogue=Catalogue(wide, old.visits, old.n_targets, old.kind, old.brand, old.state))


def test_the_likeliest_of_an_items_targets_counts(ranker: Ranker, rows: UserRows) -> None:
    none = CATEGORIES + 1
    several = with_targets(ranker, [[1, 0], [1, 3], [none, none]])  # even categories .6, odd .02, none 0
    found = facts_of(several, rows, np.array([0, 1, 2]))
    assert found["intent"] == pytest.approx([0.6, 0.02, 0])
    assert found["target_since"].tolist() == [1, encode.NEVER, encode.NEVER]


def test_an_item_of_unknown_price_path_and_brand_has_finite_features(ranker: Ranker, rows: UserRows) -> None:
    old = ranker.catalogue
    unknown = np.full(len(old), -1)
    price = np.full(len(old), np.nan)
    bare = Catalogue(old.targets, old.visits, old.n_targets, unknown, unknown, old.state | {"price": price})
    found = facts_of(replace(ranker, catalogue=bare), rows)
    assert np.isfinite(encode.matrix(found)).all()
    assert not found["kind_slow"].any()
    assert not found["brand_share"].any()


def test_the_price_stands_beside_the_users_mean(ranker: Ranker, rows: UserRows) -> None:
    relative = encode.matrix(facts_of(ranker, rows))[:, feature_names.FEATURES.index("price_relative")]
    assert relative == pytest.approx(np.log([3 / 2, 2 / 2, 4 / 2]), rel=1e-5)


def test_a_feature_is_the_same_wherever_its_facts_are_kept(ranker: Ranker, happened: dict[str, Happened]) -> None:
    named = (*feature_names.FEATURES, *feature_names.UNUSED)
    rows = user_rows(*(known_row(user, weeks, WEEK) for user, weeks in happened.items()), known_row("u99", {}, WEEK))
    chances = np.array([*(intents(user) for user in happened), np.zeros(CATEGORIES + 1)], dtype=np.float32)
    for each in (ranker, with_targets(ranker, [[1, 0], [1, 3], [CATEGORIES + 1, CATEGORIES + 1]])):
        scored = each.rank(rows, chances)
        copies = {name: scored.facts[name] for name in scored.facts}  # each candidate has its own
        together = encode.matrix(copies, named)
        assert np.array_equal(encode.matrix(scored.facts, named), together)
        assert np.array_equal(encode.matrix(scored.facts, named[::-1]), together[:, ::-1])
        some = np.array([len(together) - 1, 0, 3])
        taken = scored.facts.take(some)
        assert np.array_equal(encode.matrix(taken, named), together[some])
        assert all(np.array_equal(taken[name], scored.facts.at(name, some)) for name in taken)


def test_what_is_seen_of_items_is_that_of_the_catalogue_as_it_is_now(ranker: Ranker, rows: UserRows) -> None:
    place = feature_names.FEATURES.index("share_1w")
    before = encode.matrix(facts_of(ranker, rows))[:, place]
    old = ranker.catalogue
    sold = replace(ranker, catalogue=replace(old, state=old.state | {"share_1w": old.state["share_1w"] + 0.5}))
    now = encode.matrix(facts_of(sold, rows))[:, place]
    assert now == pytest.approx(np.log(np.exp(before) + 0.5), rel=1e-5)
    assert np.array_equal(encode.matrix(facts_of(ranker, rows))[:, place], before)
