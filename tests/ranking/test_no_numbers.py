"""What is no number, and training with nothing to learn, are no answer: each is loud, and none is ordered."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from components.ranking import batch, net_fit
from components.ranking.lists import Lists
from components.ranking.score import Ranker
from feature_repo.errors import DataError
from feature_repo.rows import UserRows
from tests.ranking import board
from tests.ranking.board import Happened, intents, known_row, user_rows


@pytest.fixture(scope="module")
def rows(happened: dict[str, Happened]) -> UserRows:
    return user_rows(*(known_row(user, weeks, 21) for user, weeks in list(happened.items())[:3]))


def chances(spoilt: int | None = None) -> np.ndarray:
    """Return the intents [3, C] of three users, those of one of them no numbers."""
    found = np.asarray([intents(f"u{b:02}") for b in range(3)], dtype=np.float32)
    if spoilt is not None:
        found[spoilt] = np.nan
    return found


def test_a_row_whose_scores_are_no_numbers_gets_no_list(ranker: Ranker, rows: UserRows) -> None:
    """All but popular items would be left out, and these would be shown as the model's."""
    assert len(ranker.recommend(rows.take(np.array([1])), chances()[1], k=5)) == 5
    with pytest.raises(ArithmeticError, match="scores are no numbers"):
        ranker.recommend(rows.take(np.array([1])), chances(1)[1], k=5)
    with pytest.raises(ArithmeticError, match="scores are no numbers"):
        ranker.score(rows.take(np.array([1])), chances(1)[1], np.arange(3))
    with pytest.raises(ArithmeticError, match=r"^\d+ of \d+ scores are no numbers"):
        ranker.rank(rows, chances(1))


def test_a_batch_with_a_spoilt_row_writes_no_list_and_names_the_group(ranker: Ranker, rows: UserRows) -> None:
    with pytest.raises(DataError, match=r"rows.parquet: .* of .* scores are no numbers in the group .* user u00: "):
        list(batch._modelled(rows, chances(2), ranker, k=5, exclude=[frozenset()] * 3))
    assert len(list(batch._modelled(rows, chances(), ranker, k=5, exclude=[frozenset()] * 3))) == 3


def lists(bought: list[bool], lengths: list[int]) -> Lists:
    """Lists of two features, the second of which says what was bought."""
    features = np.stack([np.linspace(-1, 1, len(bought)), np.asarray(bought)], axis=1).astype(np.float32)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Lists(features=features, bought=np.asarray(bought), wanted=np.ones(len(lengths), np.int64),
                 offsets=offsets, recall=1.0)  # fmt: skip


def test_a_list_without_candidates_has_no_hit_of_its_neighbour_s() -> None:
    found = lists([False, True, True, False], [2, 0, 1, 1, 0])
    assert net_fit.with_hits(found).tolist() == [True, False, True, False, False]
    spec = board.SPEC.model_copy(update={"epochs": 2, "batch_size": 5})
    _, epochs, _ = net_fit.fit_net(found, found, spec)
    assert np.isfinite([one.loss for one in epochs]).all()


def test_lists_that_teach_nothing_are_refused() -> None:
    nothing = lists([False, False], [1, 1])
    with pytest.raises(DataError, match=r"none of the 2 training lists holds an item that its user then chose"):
        net_fit.require_hits(nothing, "training")
    net_fit.require_hits(lists([False, True], [1, 1]), "training")


def test_a_training_that_diverges_ends_with_a_line() -> None:
    """Else its weights, which are no numbers, would be kept: any order of nothing has some NDCG."""
    huge = lists([True, False, False, True], [2, 2])
    huge = replace(huge, features=huge.features * np.float32(1e30))
    spec = board.SPEC.model_copy(update={"epochs": 2, "batch_size": 2})
    with pytest.raises(DataError, match=r"stage full, epoch 1: the mean loss is nan: training diverged; use a smaller"):
        net_fit.fit_net(replace(huge, features=np.where(huge.bought[:, None], np.inf, huge.features)), huge, spec)


def test_intents_of_a_batch_that_are_no_numbers_are_not_written() -> None:
    from components.intent import batch as intent_batch

    class Spoilt:
        def predict(self, rows: UserRows) -> np.ndarray:
            return np.full((len(rows), 2), np.nan, dtype=np.float32)

    class Rates:
        rates = np.full((1, 2), 0.5)

    table = pa.table({"user_id": ["ann", "bob"], "now": [2, 2], "state_at": [1, 1], "group": [0, 0],
                      "rung": ["popular", "fresh"]})  # fmt: skip
    with pytest.raises(DataError, match=r"1 of 2 users have probabilities that are no numbers, such as bob: "):
        intent_batch.probabilities(table, Spoilt(), Rates())  # type: ignore[arg-type]


def test_a_week_that_the_item_state_lacks_is_no_week_without_sales(ranker: Ranker) -> None:
    assert ranker.at(ranker.item_state).catalogue.state["share_4w"].sum() > 0
    with pytest.raises(
        DataError, match=r"item_state: ends with week \d+ and has none of 99; build the training set again"
    ):
        ranker.at(ranker.item_state, week=99)
