"""`models.ranking.start`: training begins with a baseline's order, and keeps it where nothing better is learnt."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from components.ranking import examples, feature_names, lists, net_fit, places, refit, train
from components.ranking.baselines import FORMULAS, OF_PEOPLE, ranked
from components.ranking.candidates import given
from components.ranking.catalogue import Catalogue
from components.ranking.evaluate import evaluate
from components.ranking.examples import World
from components.ranking.history import History
from components.ranking.score import Ranker
from components.ranking.scored import top
from components.ranking.spec import STARTS, STARTS_OF_PEOPLE, Ranking
from feature_repo.rows import Ragged
from tests.ranking.board import SPEC, SPLIT

STARTED = SPEC.model_copy(update={"start": "personal_popular"})


@pytest.fixture(scope="module")
def begun(folders: tuple[Path, Path]) -> World:
    return examples.load(*folders, STARTED)


@pytest.fixture(scope="module")
def learnt(begun: World) -> train.Trained:
    return train.train(begun, STARTED)


def misled(world: World) -> World:
    """Let users have bought, in the training weeks, what they never do: items of the other colour."""
    bought, training = world.examples.bought, np.isin(world.examples.week, SPLIT["train"])
    values = np.where(training[bought.row_of_value()], bought.values ^ 1, bought.values)
    return replace(world, examples=replace(world.examples, bought=Ragged(values, bought.offsets)))


def test_the_first_epoch_is_the_baselines_own_order(begun: World, learnt: train.Trained) -> None:
    assert begun.features == (*feature_names.FEATURES, "place:personal_popular")
    assert len(learnt.epochs) <= STARTED.epochs + 1
    validated = evaluate(learnt.ranker, begun, part="validate").baselines["personal_popular"]["ndcg_at_10"]
    assert learnt.epochs[0].validate_ndcg_at_10 == pytest.approx(validated, abs=0.02)  # candidates hold nearly all


def test_the_share_that_is_done_ends_at_1(begun: World, monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []
    monkeypatch.setattr(net_fit, "PATIENCE", 99)
    spec = STARTED.model_copy(update={"epochs": 2})
    train.train(begun, spec, report=lambda share, note: shares.append(share))
    assert shares[-1] == pytest.approx(1.0)
    assert max(shares) <= 1.0 + 1e-9


def test_what_is_learnt_is_above_what_it_began_with(learnt: train.Trained) -> None:
    assert learnt.best_epoch > 0
    assert learnt.epochs[learnt.best_epoch].validate_ndcg_at_10 > learnt.epochs[0].validate_ndcg_at_10


def test_where_training_misleads_the_baselines_order_stays(begun: World) -> None:
    found = train.train(misled(begun), STARTED)
    assert found.best_epoch == 0
    rows = begun.examples.of_weeks(SPLIT["test"])
    ranker = found.ranker
    scored = ranker.rank(rows.rows, rows.probabilities)
    own = np.append(scored.found.item, -1)[top(scored, 3)]
    known = (rows.rows, ranker.catalogue, ranker.neighbours)
    theirs = ranked("personal_popular", *known, k=3)
    assert (own[:, 0] == theirs[:, 0]).mean() > 0.95  # ties: by item in both
    alone = train.train(misled(replace(begun, start=None)), SPEC)
    tested = [evaluate(one, begun).test["ndcg_at_10"] for one in (ranker, alone.ranker)]
    assert tested[0] > tested[1] + 0.1


def test_a_refit_of_what_stayed_at_the_start_stays_there(begun: World) -> None:
    made = refit.refit(misled(begun), STARTED, epochs=1)
    assert [epoch.validate_ndcg_at_10 for epoch in made.epochs] == [None]
    place = begun.features.index("place:personal_popular")
    weights = made.ranker.net.state_dict()["skip.weight"][0].numpy()
    assert np.flatnonzero(weights).tolist() == [place]
    assert weights[place] < 0


def test_a_place_does_not_depend_on_what_else_is_scored(learnt: train.Trained, begun: World) -> None:
    row = begun.examples.of_weeks(SPLIT["test"]).take(np.arange(1))
    together = learnt.ranker.score(row.rows, row.probabilities[0], np.arange(10))
    alone = [learnt.ranker.score(row.rows, row.probabilities[0], np.array([item]))[0] for item in range(10)]
    assert np.allclose(together, alone, atol=1e-5)


def test_saved_is_loaded(learnt: train.Trained, begun: World, tmp_path: Path) -> None:
    learnt.ranker.save(tmp_path)
    row = begun.examples.of_weeks(SPLIT["test"]).take(np.arange(5))
    want = learnt.ranker.rank(row.rows, row.probabilities).scores
    for loaded in (Ranker.load(tmp_path), Ranker.served(tmp_path)):
        assert np.allclose(loaded.rank(row.rows, row.probabilities).scores, want, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in STARTS if name not in STARTS_OF_PEOPLE])
def test_places_are_in_the_order_of_the_formula(world: World, name: str) -> None:
    rows = world.examples.of_weeks([19]).rows.take(np.arange(4))
    table = lists.tables(world, [16])[16]
    items = Catalogue.of(world.vocabulary, world.item_state)
    history = History.of(rows, table)
    everything = given(history, np.arange(len(items)))
    for row in range(4):
        one = rows.take(np.array([row]))
        found = places.places([name], one, everything, history=History.of(one, table), catalogue=items)
        best = ranked(name, one, items, table, k=5)[0]
        place = found[f"place:{name}"]
        assert (np.diff(place[best]) >= 0).all()
        assert place[best[0]] == place.min()


def test_a_spec_that_says_no_start_keeps_the_digest_it_had() -> None:
    assert "start" not in Ranking().model_dump()
    assert Ranking(start="popular").model_dump()["start"] == "popular"


def test_every_baseline_with_an_order_of_its_own_can_be_started_from() -> None:
    assert set(STARTS) == set(FORMULAS) - {"unseen_popular"}  # which is popular, where repeats are forbidden
    assert tuple(formula.__name__ for formula in OF_PEOPLE) == STARTS_OF_PEOPLE


def test_a_baseline_of_people_is_refused_where_items_are_none() -> None:
    with pytest.raises(ValidationError, match="start: latest_contact ranks people, and items are none here; have popu"):
        Ranking(start="latest_contact")
    with pytest.raises(ValidationError, match="'popular', 'popular_now'"):
        Ranking(start="bestsellers")


def test_what_is_no_network_starts_from_nothing() -> None:
    with pytest.raises(ValidationError, match="start: lambdamart starts from nothing"):
        Ranking(start="popular", algorithm="lambdamart")
