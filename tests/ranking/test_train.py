from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from components.ranking import examples, lists
from components.ranking.examples import World
from components.ranking.net_fit import ndcg_at_k
from components.ranking.train import Trained, train
from feature_repo.errors import DataError
from feature_repo.rows import Ragged
from tests.ranking.board import SPEC


def weights(trained: Trained) -> np.ndarray:
    return np.concatenate([w.detach().numpy().ravel() for w in trained.ranker.net.parameters()])


def test_it_learns_the_checkerboard(trained: Trained) -> None:
    assert trained.epochs[trained.best_epoch].validate_ndcg_at_10 > 0.7
    assert trained.epochs[-1].loss < trained.epochs[0].loss
    assert trained.candidate_recall["validate"] > 0.95


def test_the_best_epoch_is_kept(trained: Trained) -> None:
    assert trained.best_epoch == int(np.argmax([epoch.validate_ndcg_at_10 for epoch in trained.epochs]))


def test_the_same_seed_gives_the_same_scores(world: World, trained: Trained) -> None:
    again = train(world, SPEC)
    assert np.abs(weights(again) - weights(trained)).max() <= 1e-6
    assert [e.validate_ndcg_at_10 for e in again.epochs] == [e.validate_ndcg_at_10 for e in trained.epochs]


def test_another_seed_gives_other_weights(world: World, trained: Trained) -> None:
    other = train(world, SPEC.model_copy(update={"seed": 1}))
    assert np.abs(weights(other) - weights(trained)).max() > 1e-3


def test_what_is_bought_in_the_test_weeks_does_not_touch_the_model(world: World, trained: Trained) -> None:
    blind = world.examples.of_weeks([*world.split["train"], *world.split["validate"]])
    assert len(blind) < len(world.examples)
    assert np.array_equal(weights(train(replace(world, examples=blind), SPEC)), weights(trained))


def test_a_training_week_uses_a_neighbour_table_from_before_it(world: World) -> None:
    weeks = world.weeks("train")
    tables = lists.tables(world, weeks)
    first = [min(w for w in weeks if tables[w] is tables[week]) for week in weeks]
    assert first == [11, 11, 11, 11, 15, 15]
    known = lists.fit_until(world.examples.of_weeks(range(1, 16)), len(world.vocabulary.item_ids), until=15)
    assert np.array_equal(tables[16].items, known.items)


def test_labels_are_the_candidates_that_were_bought(world: World) -> None:
    found = lists.of_weeks(world, [16], lists.tables(world, [16]), SPEC.candidates, report=lambda share: None)
    bought = np.diff(world.examples.of_weeks([16]).bought.offsets)
    hits = np.add.reduceat(found.bought, found.offsets[:-1])
    assert (found.wanted == bought).all()
    assert (hits <= bought).all()
    assert found.recall == pytest.approx((hits / bought).mean())


def test_validation_ndcg_counts_what_no_candidate_could_hit() -> None:
    of = lists.Lists(
        features=np.zeros((3, 1), np.float32),
        bought=np.array([False, True, True]),
        wanted=np.array([2, 1]),
        offsets=np.array([0, 2, 3]),
        recall=0.75,
    )
    first = (1 / np.log2(3)) / (1 + 1 / np.log2(3))  # one of two, on the second place
    assert ndcg_at_k(np.array([0.9, 0.1, 0.0]), of) == pytest.approx((first + 1) / 2)


def test_validation_ndcg_takes_the_first_of_ties_and_lists_that_are_empty() -> None:
    """Of twelve alike, those on the first ten places count; one above them all stands before, wherever it is."""
    bought = np.zeros(15, dtype=bool)
    bought[[9, 10, 12, 14]] = True  # of the first list the 10th and the 11th alike; of the last both that are there
    of = lists.Lists(np.zeros((15, 1)), bought, np.array([1, 1, 2]), np.array([0, 12, 12, 15]), recall=1.0)
    alike = np.array([*[0.5] * 12, 3.0, 2.0, 1.0])
    tenth, third = 1 / np.log2(11), (1 + 1 / np.log2(4)) / (1 + 1 / np.log2(3))
    assert ndcg_at_k(alike, of) == pytest.approx((tenth + 0 + third) / 3)
    alike[11] = 0.6
    assert ndcg_at_k(alike, of) == pytest.approx((0 + 0 + third) / 3), "the 10th is the 11th now"
    assert ndcg_at_k(alike.astype(np.float32), of) == pytest.approx(third / 3)


def test_no_rows_in_a_part_of_the_split_is_a_data_error(world: World) -> None:
    early = replace(world, examples=world.examples.of_weeks(world.split["train"]))
    with pytest.raises(DataError, match="validate weeks"):
        train(early, SPEC)


def test_rows_without_out_of_time_probabilities_are_a_data_error(folders: tuple[Path, Path]) -> None:
    table = examples.pq.read_table(folders[1] / "out_of_time.parquet")
    user, week = np.array(["u00", "nobody"], dtype=object), np.array([16, 16])
    with pytest.raises(DataError, match="1 of 2 ranking rows"):
        examples.join(user, week, table, n_targets=7)


def test_probabilities_of_another_vocabulary_are_a_data_error(folders: tuple[Path, Path]) -> None:
    table = examples.pq.read_table(folders[1] / "out_of_time.parquet")
    with pytest.raises(DataError, match="7 probabilities a row, the vocabulary 9 targets"):
        examples.join(np.array(["u00"], dtype=object), np.array([16]), table, n_targets=9)


def test_probabilities_are_joined_by_user_and_week(world: World) -> None:
    even = np.array([int(user[1:]) % 2 == 0 for user in world.examples.rows.user_id])
    assert np.allclose(world.examples.probabilities[even, 0], 0.6)
    assert np.allclose(world.examples.probabilities[~even, 0], 0.02)


def test_lists_of_items_may_be_null() -> None:
    found: Ragged = Ragged.from_arrow(
        examples.pa.array([[1, 2], None, [3]], examples.pa.list_(examples.pa.int64())), np.int64
    )
    assert [found.row(b).tolist() for b in range(3)] == [[1, 2], [], [3]]
