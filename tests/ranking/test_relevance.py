"""Labels that are wanted more or less: by stars or plays, in training and in NDCG's gain."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.ranking import examples, lists, metrics
from components.ranking.card import write as card
from components.ranking.evaluate import evaluate
from components.ranking.examples import World
from components.ranking.net_fit import ndcg_at_k
from components.ranking.relevance import LEAST, relevance
from components.ranking.spec import Ranking, Weight
from components.ranking.train import train
from feature_repo import columns
from feature_repo.errors import DataError
from feature_repo.rows import Ragged
from tests.ranking.board import SPEC

STRENGTHS = st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=20)


def weighed(of: str = "strength", scale: str = "log") -> Ranking:
    return Ranking.model_validate(SPEC.model_dump() | {"weight": {"of": of, "scale": scale}})


def with_strengths(folders: tuple[Path, Path], folder: Path, strengths: np.ndarray) -> tuple[Path, Path]:
    """Copy the checkerboard's rows with a strength beside each label."""
    rows, intent = folders
    made = folder / "rows"
    made.mkdir()
    for path in rows.iterdir():
        (made / path.name).symlink_to(path)
    table = pq.read_table(rows / "ranking.parquet")
    offsets = pa.array(Ragged.from_arrow(table["bought"].combine_chunks(), np.int64).offsets, pa.int32())
    (made / "ranking.parquet").unlink()
    column = pa.ListArray.from_arrays(offsets, pa.array(strengths))
    pq.write_table(table.append_column(columns.LABEL_STRENGTH, column), made / "ranking.parquet")
    return made, intent


@pytest.mark.parametrize(
    ("scale", "strengths", "known", "found"),
    [
        ("log", [0, 1, 3, 7, 100], [1, 3, 7], [0, 1 / 3, 2 / 3, 1, 1]),  # log2 of 2, 4 and 8; more counts as the most
        ("rank", [1, 2, 5, 9], [1, 1, 2, 5], [0.25, 0.625, 0.875, 1]),
        ("rank", [-10, 0, 0.5], [1, 5], [0, 0, LEAST]),  # not wanted; weaker than any that was seen
    ],
)
def test_strengths_are_mapped_to_what_is_wanted(
    scale: str, strengths: list[float], known: list[float], found: list[float]
) -> None:
    values = relevance(np.asarray(strengths, float), np.asarray(known, float), scale)  # type: ignore[arg-type]
    assert values.tolist() == pytest.approx(found)


@given(STRENGTHS, STRENGTHS, st.sampled_from(["log", "rank"]))
def test_what_is_wanted_is_bounded_and_never_falls(strengths: list[float], known: list[float], scale: str) -> None:
    strength = np.sort(np.asarray(strengths))
    values = relevance(strength, np.asarray([*known, 1.0]), scale)  # type: ignore[arg-type]
    assert np.isfinite(values).all()
    assert ((values >= 0) & (values <= 1)).all()
    assert (np.diff(values) >= 0).all()
    assert ((values > 0) == (strength > 0)).all()


def test_training_weeks_in_which_nothing_was_wanted_are_refused() -> None:
    with pytest.raises(DataError, match="no event of the training weeks has a strength above 0"):
        relevance(np.array([1.0]), np.array([0.0, -1.0]), "log")


def test_ndcg_gains_what_a_hit_is_worth() -> None:
    wanted, worth = Ragged(np.array([3, 5]), np.array([0, 2])), Ragged(np.array([0.2, 1.0]), np.array([0, 2]))
    best = 1.0 + 0.2 / np.log2(3)
    for order, gained in (([5, 3], best), ([3, 5], 0.2 + 1 / np.log2(3)), ([3, 4], 0.2), ([8, 9], 0.0)):
        found = metrics.per_row(np.array([order]), wanted, 10, worth=worth)
        assert found.ndcg[0] == pytest.approx(gained / best)
        assert found.recall[0] == len({*order} & {3, 5}) / 2  # recall and hits count all alike


def test_labels_that_are_all_wanted_alike_are_judged_as_before(world: World) -> None:
    rng, some = np.random.default_rng(0), world.examples.of_weeks([19, 20])
    items = rng.permuted(np.tile(np.arange(30), (len(some), 1)), axis=1)[:, :10]
    alike = Ragged(np.ones(len(some.bought.values)), some.bought.offsets)
    plain, same = (metrics.per_row(items, some.bought, 30, worth=worth) for worth in (None, alike))
    assert np.allclose(plain.ndcg, same.ndcg)
    assert plain.recall.tolist() == same.recall.tolist()


def test_the_ranker_puts_what_is_wanted_more_first(folders: tuple[Path, Path], world: World, tmp_path: Path) -> None:
    """Of the two items that a list holds most, the heavy one wins: high numbers have many plays."""
    strengths = np.where(world.examples.bought.values >= 16, 500.0, 1.0)
    spec = weighed()
    played = examples.load(*with_strengths(folders, tmp_path, strengths), spec)
    assert played.rule == "log of strength"
    trained, plain = train(played, spec).ranker, train(world, SPEC).ranker
    graded, as_before = (evaluate(one, played).test["ndcg_at_10"] for one in (trained, plain))
    assert graded > as_before + 0.02
    assert evaluate(trained, played).rows_digest != evaluate(trained, world).rows_digest


def test_what_was_not_wanted_is_no_label(folders: tuple[Path, Path], world: World, tmp_path: Path) -> None:
    strengths = np.where(world.examples.bought.values == 4, -1.0, 3.0)
    found = examples.load(*with_strengths(folders, tmp_path, strengths), weighed(scale="rank")).examples
    assert 4 in world.examples.bought.values
    assert 4 not in found.bought.values
    assert found.worth is not None
    assert len(found.worth.values) == len(found.bought.values)
    assert set(found.worth.values.tolist()) == {0.5}


def test_weights_go_with_their_labels_where_repeats_are_forbidden(
    folders: tuple[Path, Path], world: World, tmp_path: Path
) -> None:
    strengths = world.examples.bought.values + 1.0
    spec = Ranking.model_validate(weighed(scale="rank").model_dump() | {"repeat": "forbid"})
    found = examples.load(*with_strengths(folders, tmp_path, strengths), spec)
    some = found.examples
    assert some.worth is not None
    assert some.worth.offsets.tolist() == some.bought.offsets.tolist()
    order = np.argsort(some.bought.values, kind="stable")
    assert (np.diff(some.worth.values[order]) >= 0).all()  # each has that of its own item
    assert found.rule == "new items rank of strength"


def test_rows_with_strengths_serve_a_spec_that_weighs_nothing(
    folders: tuple[Path, Path], world: World, tmp_path: Path
) -> None:
    made = with_strengths(folders, tmp_path, np.ones(len(world.examples.bought.values)))
    found = examples.load(*made, SPEC)
    assert found.examples.worth is None
    assert found.examples.bought.values.tolist() == world.examples.bought.values.tolist()


def test_rows_without_strengths_are_refused(folders: tuple[Path, Path]) -> None:
    with pytest.raises(DataError, match=r"ranking\.parquet has no bought_strength; make the training set again"):
        examples.load(*folders, weighed())


def test_lists_alike_have_the_ndcg_of_lists_without_weights(world: World) -> None:
    found = lists.of_weeks(
        world, [19], {19: lists.fit_until(world.examples, 30, until=16)}, SPEC.candidates, report=lambda _: None
    )
    scores = np.random.default_rng(0).random(len(found.bought))
    ideal = (1 / np.log2(np.arange(2, 12))).cumsum()[np.minimum(found.wanted, 10) - 1]
    same = dataclasses.replace(found, worth=found.bought.astype(np.float32), ideal=ideal)
    assert ndcg_at_k(scores, same) == pytest.approx(ndcg_at_k(scores, found))


def test_the_card_says_what_a_hit_gains(world: World) -> None:
    training = {"rows": {"train": 5}, "best_epoch": 1, "epochs": [{}], "spec": weighed("quantity").model_dump()}
    found = dataclasses.replace(evaluate(train(world, SPEC).ranker, world), test={"rows": 1, "candidate_recall": 1.0})
    text = card(found, training, {"candidates": {}, "features": [], "width": 16})
    assert "a hit's gain in NDCG is the log of its quantity, 0 to 1" in text
    assert "| model | no target |" in text


def test_a_weight_names_a_number_and_a_scale() -> None:
    assert Weight(of="quantity").scale == "log"
    with pytest.raises(ValueError, match="strength"):
        Weight(of="stars")  # type: ignore[arg-type]
