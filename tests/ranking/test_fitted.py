"""The contract of the sources that are fitted: known answers, no future, nobody's row, later items, one form served."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from components.ranking import encode, examples, learnt, lists, sequence_fit
from components.ranking.candidates import candidates
from components.ranking.catalogue import Catalogue
from components.ranking.cooccurrence import latest_rows
from components.ranking.examples import World
from components.ranking.history import History
from components.ranking.neighbours import Neighbours
from components.ranking.score import Ranker
from components.ranking.sources import LABELLED, LEARNT, OF_LEARNT, sequence
from components.ranking.sources import learnt as source_of
from components.ranking.spec import Candidates, Ranking
from components.ranking.train import train
from feature_repo.rows import UserRows
from tests.ranking.board import CALENDAR, ITEMS, SPEC, Happened, known_row, start, user_rows

EVERY = pytest.mark.parametrize("source", LEARNT)
ONE_COLOUR = [name for name in LEARNT if name != "segment_popular"]  # the board's segments are of both colours


@pytest.fixture(scope="module")
def everyone(world: World) -> UserRows:
    return latest_rows(world.examples.rows, world.examples.week, until=18)


@pytest.fixture(scope="module")
def fitted(everyone: UserRows, ranker: Ranker, world: World) -> Neighbours:
    past = lists.past_of(world.examples, 18, world.calendar)
    return replace(ranker.neighbours, learnt=learnt.fit(everyone, ITEMS, LEARNT, past))


@pytest.mark.parametrize("source", ONE_COLOUR)
def test_on_the_checkerboard_it_prefers_the_users_own_colour(
    source: str, fitted: Neighbours, happened: dict[str, Happened]
) -> None:
    users = list(happened)[:10]
    scores = source_of(source).scores(
        History.of(user_rows(*(known_row(u, happened[u], 21) for u in users)), fitted, calendar=CALENDAR)
    )
    for b, user in enumerate(users):
        own = np.arange(ITEMS) % 2 == int(user[1:]) % 2
        assert scores[b, own].mean() > 1.2 * max(scores[b, ~own].mean(), 0), (user, source)


@EVERY
def test_what_happened_after_the_week_changes_nothing(source: str, world: World) -> None:
    later = world.examples.week > 15
    lists_of = dict(world.examples.rows.lists)
    items = lists_of["history_items"]
    owner = items.row_of_value()
    lists_of["history_items"] = replace(items, values=np.where(later[owner], 3, items.values))
    planted = replace(world.examples, rows=replace(world.examples.rows, lists=lists_of))
    clean, leaky = (
        lists.fit_until(of, ITEMS, until=15, learn=[source], calendar=world.calendar).learnt[source]
        for of in (world.examples, planted)
    )
    for name, value in clean.items():
        np.testing.assert_array_equal(value, leaky[name])


@EVERY
def test_every_training_week_has_what_was_known_before_it(source: str, folders: tuple[Path, Path]) -> None:
    spec = SPEC.model_copy(update={"candidates": Candidates(**{source: 5})})
    world = examples.load(*folders, spec)
    assert world.learn == (source,)
    tables = lists.tables(world, [11, 12, 13, 14, 15, 16])
    for week, known_at in ((12, 11), (16, 15)):
        known = lists.fit_until(world.examples, ITEMS, until=known_at, learn=[source], calendar=world.calendar)
        expected = known.learnt[source]
        for name, value in expected.items():
            np.testing.assert_array_equal(tables[week].learnt[source][name], value)


@EVERY
def test_nobody_has_a_row_in_what_is_kept(source: str, everyone: UserRows, fitted: Neighbours) -> None:
    """There are more users than items here, so that an array of users would be the longest."""
    assert len(everyone) > ITEMS
    for name, value in fitted.learnt[source].items():
        assert name == "places.weight" or len(everyone) not in value.shape


@EVERY
def test_an_item_that_came_later_scores_0_and_says_nothing(
    source: str, fitted: Neighbours, happened: dict[str, Happened]
) -> None:
    wider = Neighbours(
        *(np.pad(value, [(0, 2)] + [(0, 0)] * (value.ndim - 1)) for value in
          (fitted.items, fitted.similarities, fitted.factors, fitted.scale)),
        learnt=fitted.learnt,
    )  # fmt: skip
    known = History.of(user_rows(known_row("u00", happened["u00"], 21)), fitted, calendar=CALENDAR)
    rows = user_rows(known_row("u00", {**happened["u00"], 20: [*happened["u00"].get(20, []), ITEMS + 1]}, 21))
    wider = replace(wider, scale=np.ones(ITEMS + 2, np.float32))
    scores = source_of(source).scores(History.of(rows, wider, calendar=CALENDAR))
    assert scores.shape == (1, ITEMS + 2)
    assert not scores[:, ITEMS:].any()
    np.testing.assert_allclose(scores[:, :ITEMS], source_of(source).scores(known), atol=1e-5)


@EVERY
def test_a_user_without_a_history_gets_none_of_its_own(source: str, fitted: Neighbours) -> None:
    scores = source_of(source).scores(
        History.of(UserRows.unknown(["new"], now=1_720_000_000), fitted, calendar=CALENDAR)
    )
    assert not scores.any() or source == "segment_popular"


@EVERY
def test_nobody_to_learn_from_is_no_reason_to_fail(
    source: str, everyone: UserRows, ranker: Ranker, world: World
) -> None:
    nobody, past = everyone.take(np.empty(0, dtype=np.int64)), lists.past_of(world.examples, 0, world.calendar)
    found = replace(ranker.neighbours, learnt=learnt.fit(nobody, ITEMS, [source], past))
    assert source in found.learnt
    history = History.of(everyone.take(np.arange(2)), found, calendar=CALENDAR)
    assert np.isfinite(source_of(source).scores(history)).all()


@EVERY
def test_the_ranker_sees_its_score_and_keeps_it_when_it_is_saved(
    source: str, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    asked = {"candidates": Candidates(history=10, neighbours=5, popular=5, **{source: 5}), "epochs": 1}
    spec = SPEC.model_copy(update=asked)
    world = examples.load(*folders, spec)
    ranker, some = train(world, spec).ranker, world.examples.of_weeks([19])
    assert ranker.features[-1] == OF_LEARNT[source]
    ranker.save(tmp_path)
    scored, again = (one.rank(some.rows, some.probabilities) for one in (ranker, Ranker.served(tmp_path)))
    np.testing.assert_array_equal(scored.found.source, again.found.source)
    np.testing.assert_array_equal(scored.facts[OF_LEARNT[source]], again.facts[OF_LEARNT[source]])
    np.testing.assert_allclose(scored.scores, again.scores, atol=1e-5)


def test_with_every_source_on_nothing_that_is_barred_is_a_candidate_and_nothing_twice(
    everyone: UserRows, fitted: Neighbours, ranker: Ranker
) -> None:
    """What is barred is what `repeat`, `exclude_self`, withdrawals and forgotten people leave to nobody."""
    rows = everyone.take(np.arange(12))
    barred = np.random.default_rng(1).random((12, ITEMS)) < 0.5
    every = Candidates(**dict.fromkeys((*LEARNT, "trending", "attributes", "history", "neighbours", "popular"), 4))
    found = candidates(History.of(rows, fitted, calendar=CALENDAR), ranker.catalogue, every, barred=barred)
    assert not barred[found.row, found.item].any()
    keys = found.row * ITEMS + found.item
    assert len(np.unique(keys)) == len(keys)
    assert len({*found.source.tolist()}) >= 6


@EVERY
def test_a_feature_is_the_log_of_one_more_than_the_score(source: str, fitted: Neighbours, world: World) -> None:
    some = world.examples.of_weeks([19]).take(np.arange(3))
    history = History.of(some.rows, fitted, calendar=CALENDAR)
    catalogue = Catalogue.of(world.vocabulary, world.item_state, week=19)
    found = candidates(history, catalogue, Candidates(history=3, neighbours=3, popular=3))
    facts = encode.facts(
        some.rows,
        found,
        history=history,
        probabilities=some.probabilities,
        catalogue=catalogue,
        calendar=world.calendar,
    )
    score = source_of(source).scores(history)[found.row, found.item]
    np.testing.assert_array_equal(facts[OF_LEARNT[source]], score)
    seen = encode.matrix(facts, [OF_LEARNT[source]])[:, 0]
    np.testing.assert_allclose(seen, np.log1p(np.maximum(score, 0)), rtol=1e-6)


@pytest.mark.parametrize("source", [name for name in LEARNT if name not in LABELLED])  # basket: in test_basket.py
def test_the_same_row_scores_the_same_however_long_ago_it_was_stored(
    source: str, fitted: Neighbours, happened: dict[str, Happened], world: World
) -> None:
    rows = user_rows(known_row("u00", happened["u00"], 21))
    stored = rows.lists["history_slow"]
    ago = replace(
        rows,
        state_at=np.array([start(16)]),
        lists={**rows.lists, "history_slow": replace(stored, values=stored.values / 0.96**5)},
    )
    now, then = (source_of(source).scores(History.of(one, fitted, calendar=world.calendar)) for one in (rows, ago))
    np.testing.assert_allclose(now, then, atol=2e-5)
    assert now.any()


@pytest.mark.parametrize("source", ["ease", "users", "segment_popular"])  # those without noise of many small steps
def test_in_the_fit_a_row_of_long_ago_counts_by_what_is_left_of_it(source: str, world: World) -> None:
    """Half of the users' rows are stored five weeks before the fit, decayed that much less."""
    rows, calendar = world.examples.rows, world.calendar
    odd = np.array([int(user[1:]) % 4 == 0 for user in rows.user_id]) & (world.examples.week == 18) & rows.known
    stored = rows.lists["history_slow"]
    values = np.where(odd[stored.row_of_value()], stored.values / 0.96**5, stored.values).astype(np.float32)
    ago = replace(
        rows,
        state_at=np.where(odd, start(13), rows.state_at),
        lists={**rows.lists, "history_slow": replace(stored, values=values)},
    )
    now, then = (
        lists.fit_until(of, ITEMS, until=18, learn=[source], calendar=calendar).learnt[source]
        for of in (world.examples, replace(world.examples, rows=ago))
    )
    for name, value in now.items():
        np.testing.assert_allclose(value, then[name], atol=1e-4)


def test_a_model_without_fitted_sources_writes_no_file_of_them(ranker: Ranker, tmp_path: Path) -> None:
    ranker.save(tmp_path)
    assert not (tmp_path / "learnt.safetensors").exists()
    assert Ranker.served(tmp_path).neighbours.learnt == {}


def test_a_source_that_a_spec_leaves_out_is_not_in_its_digest() -> None:
    assert not {*LEARNT, "trending", "attributes"} & {*Ranking().model_dump()["candidates"]}
    assert Ranking(candidates=Candidates(als=30)).model_dump()["candidates"]["als"] == 30


def test_a_source_of_labels_learns_from_those_that_were_known_then(world: World) -> None:
    """A label looks as far ahead as the ranker's do, so that many weeks before the fit are the last to know one."""
    for ahead, last in ((1, 14), (3, 12)):
        past = lists.past_of(world.examples, 15, world.calendar, ahead=ahead)
        assert past.step.max() == last
        assert len(past.rows) == len(past.bought.offsets) - 1 == (world.examples.week <= last).sum()


def test_the_served_sequence_is_the_trained_network() -> None:
    torch.manual_seed(5)
    net = sequence_fit.SequenceNet(12).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    arrays = {name: value.numpy() for name, value in net.state_dict().items()}
    for length in (1, 2, 7):
        item = np.random.default_rng(length).integers(0, 12, length)
        padded = np.concatenate([np.full(10 - length, sequence_fit.NONE), item])
        with torch.inference_mode():
            trained = net(torch.from_numpy(padded)[None])[0, -1].numpy()
        np.testing.assert_allclose(sequence._after(arrays, item), trained, atol=1e-5)
    assert sequence.LONGEST == sequence_fit.LONGEST


def test_a_sequence_that_repeats_is_continued() -> None:
    """0, 1, …, 9 in a ring: what comes after an item is the next one."""
    ring = (np.arange(60)[:, None] + np.arange(-sequence_fit.LONGEST, 1)) % 10
    arrays = sequence_fit.learn(np.asarray(ring, dtype=np.int64), 10)
    after = sequence._after(arrays, np.array([3, 4, 5, 6]))
    assert int((arrays["items.weight"] @ after).argmax()) == 7
