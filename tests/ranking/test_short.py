"""Rows that are cut to the last items of a history are those of newcomers, and teach how to list for them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from components.ranking import encode, examples, feature_names, lists, metrics, short
from components.ranking.candidates import given
from components.ranking.catalogue import Catalogue
from components.ranking.examples import Examples, World
from components.ranking.history import History
from components.ranking.metrics import K
from components.ranking.scored import top
from components.ranking.short import Short
from components.ranking.spec import Candidates, Ranking
from components.ranking.train import Trained, train
from feature_repo.rows import Ragged, UserRows
from feature_repo.update import Folding
from tests.ranking import board
from tests.ranking.board import CALENDAR, ITEMS, SPEC, USERS, WEEKS, Happened, known_row, user_rows

ALWAYS = np.arange(4)  # items that everybody has in most weeks
SHORT = SPEC.model_copy(
    update={
        "candidates": Candidates.model_validate({"history": 30, "neighbours": 20, "popular": 30}),
        "epochs": 4,
        "seed": 1,
    }
)


def _facts(rows: UserRows, world: World) -> dict[str, np.ndarray]:
    catalogue = Catalogue.of(world.vocabulary, world.item_state, week=17)
    history = History.of(rows, lists.fitted_until(world, 17), calendar=CALENDAR)
    chances = np.full((1, len(world.vocabulary.targets)), 0.25, np.float32)
    found = given(history, np.arange(ITEMS))
    return encode.facts(rows, found, history=history, probabilities=chances, catalogue=catalogue, calendar=CALENDAR)


@pytest.mark.parametrize(
    ("kept", "left"), [(1, {15: [8]}), (2, {14: [6], 15: [8]}), (3, {13: [4], 14: [6], 15: [8]}), (9, None)]
)
def test_a_cut_row_says_what_the_row_of_a_newcomer_says(kept: int, left: Happened | None, world: World) -> None:
    """Made by hand: of four weeks with an item each the last are left, as if nothing had been before."""
    whole: Happened = {12: [2], 13: [4], 14: [6], 15: [8]}
    rows, newcomer = (user_rows(known_row("u00", did, 17)) for did in (whole, left or whole))
    found = short.cut(Folding(CALENDAR, world.vocabulary, (7, 28, 91)), rows, np.array([kept]), event="purchase")
    assert found.now.tolist() == rows.now.tolist()
    cut, want = _facts(found, world), _facts(newcomer, world)
    for name, values in want.items():
        np.testing.assert_allclose(cut[name], values, rtol=1e-5, atol=1e-6, err_msg=name)


def _asked(share: float, n: int) -> tuple[np.ndarray, np.ndarray]:
    how = Short(Folding(CALENDAR, board.vocabulary(), (7,)), "purchase", share, np.zeros(7, np.float32))
    rows = user_rows(*(known_row(f"u{user:02}", {3: [2]} if user else {}, 5) for user in range(n)))
    nothing = Ragged(np.zeros(0, np.int64), np.zeros(n + 1, np.int64))
    return how.whom(Examples(rows, np.full(n, 5), nothing, np.zeros((n, 7))), 5)


def test_so_many_rows_are_cut_by_every_length_in_turn_and_none_without_a_history() -> None:
    whom, kept = _asked(1.0, 11)
    assert whom.tolist() == list(range(1, 11))
    assert sorted(kept.tolist()) == sorted([1, 2, 3, 5, 8] * 2)
    assert len(_asked(0.3, 11)[0]) == 3


def test_cut_rows_come_after_the_whole_ones_and_keep_labels_and_what_is_barred(folders: tuple[Path, Path]) -> None:
    spec = SPEC.model_copy(update={"repeat": "forbid", "short_histories": 0.5})
    world = examples.load(*folders, spec)
    tables, how = lists.tables(world, [11]), Short.of(world, spec, [11])
    assert how is not None
    plain, more = (
        lists.of_weeks(world, [11], tables, spec.candidates, report=lambda done: None, short=one) for one in (None, how)
    )
    whom, _ = how.whom(world.examples.of_weeks([11]), 11)
    assert len(more) == len(plain) + len(whom)
    np.testing.assert_array_equal(more.features[: len(plain.features)], plain.features)
    assert more.wanted[len(plain) :].tolist() == plain.wanted[whom].tolist()
    had = feature_names.FEATURES.index("had")
    assert (more.features[len(plain.features) :, had] == 0).all(), "what the whole history bars is no candidate"


@pytest.fixture(scope="module")
def habits(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Give a world in which each user repeats favourites, and everything else is had by chance or by everybody."""
    rng = np.random.default_rng(0)
    world: dict[str, Happened] = {}
    for user in range(USERS):
        mine = rng.choice(np.arange(4, ITEMS), 3, replace=False)
        world[f"u{user:02}"] = {
            week: sorted({*mine[rng.random(3) < 0.8].tolist(), *ALWAYS[rng.random(4) < 0.6].tolist(),
                          *rng.choice(np.arange(4, ITEMS), 3, replace=False).tolist()})
            for week in range(1, WEEKS + 1)
        }  # fmt: skip
    return examples.load(*board.write(tmp_path_factory.mktemp("habits"), world))


def _ndcg(trained: Trained, world: World, rows: Examples) -> float:
    scored = trained.ranker.rank(rows.rows, rows.probabilities)
    found = np.append(scored.found.item, -1)[top(scored, K)]
    return float(metrics.per_row(found, rows.bought, ITEMS).ndcg.mean())


@pytest.mark.world
def test_after_a_first_item_lists_are_as_good_as_popular_ones_once_cut_rows_were_learnt_from(habits: World) -> None:
    """What a newcomer had once tells little here: ranked first, as a favourite would be, it costs a fifth of NDCG."""
    spec = SHORT.model_copy(update={"short_histories": 1.0})
    plain, cut = train(habits, SHORT), train(habits, spec)
    popular = replace(plain, ranker=plain.ranker.by("popular"))
    warm = habits.examples.of_weeks([19, 20])
    how = Short.of(habits, spec, [16])
    assert how is not None
    cold = how.cut(warm, np.ones(len(warm), np.int64))
    before, after, best = (_ndcg(one, habits, cold) for one in (plain, cut, popular))
    assert before < 0.85 * best
    assert after > 0.99 * best
    assert _ndcg(cut, habits, warm) > 0.99 * _ndcg(plain, habits, warm)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"algorithm": "tifu", "short_histories": 0.1}, "short_histories: tifu learn from no rows"),
        ({"people": True, "exclude_self": True, "short_histories": 0.1}, "who acted on whom cannot be cut"),
        ({"short_histories": 1.5}, "less than or equal to 1"),
    ],
)
def test_what_cannot_be_cut_is_refused(said: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Ranking.model_validate(said)


def test_a_spec_that_cuts_nothing_says_nothing_of_it() -> None:
    assert "short_histories" not in Ranking().model_dump()
    assert Ranking(short_histories=0.1).model_dump()["short_histories"] == 0.1
