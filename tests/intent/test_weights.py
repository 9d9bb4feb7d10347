"""Rows that stand for several: training on them is training on all that they stand for."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from components.intent import fit as fitting
from components.intent import train as training
from components.intent.examples import Examples, load
from components.intent.model import _moments
from components.intent.spec import IntentModel
from components.intent.train import train
from components.ranking import examples as of_ranking
from feature_repo.errors import DataError

from .conftest import INTENTS, SPLIT, VISIT, Happened, known_row, table, write_rows

Small = Callable[[str], IntentModel]


def expanded(examples: Examples) -> Examples:
    """Repeat each row as often as it stands for."""
    assert examples.weight is not None
    index = np.repeat(np.arange(len(examples.week)), examples.weight.astype(np.int64))
    return replace(
        examples, rows=examples.rows.take(index), week=examples.week[index], labels=examples.labels[index], weight=None
    )


@pytest.fixture(scope="module")
def weighted(examples: Examples) -> Examples:
    """Give the checkerboard with training rows that stand for one to five."""
    weight = np.random.default_rng(0).integers(1, 6, len(examples.week)).astype(float)
    return replace(examples, weight=np.where(np.isin(examples.week, SPLIT["train"]), weight, 1.0))


def fitted(examples: Examples, small: Small) -> fitting.Fit:
    """Fit a network to all training rows at once, step by step."""
    spec = small("cnn").model_copy(update={"dropout": 0.0, "batch_size": 65_536, "epochs": 4})
    rows, check = (training.encoded(examples, examples.part(part)) for part in ("train", "validate"))
    torch.manual_seed(0)
    net = training._untrained(examples, spec, rows, "cpu")
    net.standardise(check.encoded.frequency[:64], check.encoded.profile[:64])  # the same for both
    made = fitting.Fit(net, rows, check, training.unknown(examples), training.weights(examples), spec)
    made.run("full", np.arange(len(rows.week)), report=lambda share, note: None)
    return made


def test_the_weighted_loss_is_that_of_the_expanded_rows(
    weighted: Examples, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "UNKNOWN_SHARE", 0.0)
    few, many = fitted(weighted, small), fitted(expanded(weighted), small)
    assert [e.train_bce for e in few.epochs] == pytest.approx([e.train_bce for e in many.epochs], abs=2e-5)
    assert few.epochs[-1].train_bce < few.epochs[0].train_bce
    for name, value in few.net.state_dict().items():
        torch.testing.assert_close(value, many.net.state_dict()[name], atol=2e-3, rtol=2e-2)
    flat = fitted(replace(weighted, weight=None), small)
    assert abs(flat.epochs[0].train_bce - few.epochs[0].train_bce) > 1e-4


def test_rates_and_scales_count_rows_as_often_as_they_stand_for(weighted: Examples) -> None:
    np.testing.assert_allclose(weighted.train_rate, expanded(weighted).train_rate)
    assert not np.allclose(weighted.train_rate, replace(weighted, weight=None).train_rate, atol=1e-4)
    values, weight = np.random.default_rng(1).normal(size=(50, 3)), np.arange(1.0, 51.0)
    again = values[np.repeat(np.arange(50), weight.astype(int))]
    for mine, theirs in zip(_moments(values, weight), _moments(again, None), strict=True):
        np.testing.assert_allclose(mine, theirs)


def test_batches_of_thinned_rows_are_smaller_so_that_an_epoch_has_steps(examples: Examples, small: Small) -> None:
    spec = small("cnn").model_copy(update={"batch_size": 64})
    rows = training.encoded(examples, examples.part("train"))
    index = np.arange(len(rows.week))
    sizes = {}
    for weight in (None, 1.0, 3.0, 16.0):
        thinned = replace(rows, weight=None if weight is None else np.full(len(index), weight))
        made = fitting.Fit(None, thinned, rows, rows.encoded, np.ones(1, np.float32), spec)  # type: ignore[arg-type]
        sizes[weight] = len(next(made._batches(index, np.random.default_rng(0)))[1])
    assert sizes == {None: 64, 1.0: 64, 3.0: 21, 16.0: 16}


def test_weights_of_one_train_as_no_weights(examples: Examples, small: Small) -> None:
    spec = small("cnn").model_copy(update={"epochs": 1})
    plain = train(examples, spec, ranking_weeks=4, device="cpu")
    ones = train(replace(examples, weight=np.ones(len(examples.week))), spec, ranking_weeks=4, device="cpu")
    np.testing.assert_allclose(plain.out_of_time.probabilities, ones.out_of_time.probabilities, atol=1e-4)


def leavers(users: int = 160, weeks: int = 20) -> dict[str, Happened]:
    """Everyone comes twice and is gone, but for one week in a hundred: nine rows in ten are silent."""
    rng = np.random.default_rng(0)
    came = {f"u{u:03}": [1, 2, *(w for w in range(3, weeks + 1) if rng.random() < 0.01)] for u in range(users)}
    return {user: {w: [int(user[1:]) % 6, VISIT] for w in weeks} for user, weeks in came.items()}


def test_probabilities_stay_calibrated_where_nine_rows_in_ten_are_silent(tmp_path: Path, small: Small) -> None:
    world = leavers()
    whole = load(write_rows(tmp_path / "rows", world), INTENTS)
    silent = np.array([int(w) not in world[str(u)] for u, w in zip(whole.rows.user_id, whole.week, strict=True)])
    silent &= np.isin(whole.week, SPLIT["train"])
    train_rows = np.isin(whole.week, SPLIT["train"])
    assert silent[train_rows].mean() > 0.9
    kept = np.flatnonzero(~silent | (np.random.default_rng(3).random(len(silent)) < 1 / 8))
    thinned = replace(
        whole,
        rows=whole.rows.take(kept),
        week=whole.week[kept],
        labels=whole.labels[kept],
        weight=np.where(silent[kept], 8.0, 1.0),
    )
    spec = small("cnn").model_copy(update={"epochs": 8})
    asked = whole.rows.take(whole.part("test"))
    said = {
        name: train(found, spec, ranking_weeks=4, device="cpu").scorer.predict(asked)[:, VISIT].mean()
        for name, found in {"all": whole, "thinned": thinned, "forgot": replace(thinned, weight=None)}.items()
    }
    truth = whole.labels[train_rows, VISIT].mean()
    assert thinned.train_rate[VISIT] == pytest.approx(truth, rel=0.15)
    assert said["all"] == pytest.approx(truth, abs=0.01)
    assert said["thinned"] == pytest.approx(said["all"], abs=0.01)
    assert said["forgot"] > 2.5 * said["thinned"], "without weights, a thinned world looks eager"


def test_weights_are_read_and_those_of_weeks_that_judge_are_refused(tmp_path: Path) -> None:
    folder = write_rows(tmp_path / "rows", {"u00": {1: [0, VISIT], 6: [0, VISIT]}})
    stored = pq.read_table(folder / "intent.parquet")
    weight = np.where(stored["week"].to_numpy() == 9, 16.0, 1.0)
    pq.write_table(stored.append_column("row_weight", pa.array(weight)), folder / "intent.parquet")
    found = load(folder, INTENTS)
    assert found.weights(np.flatnonzero(found.week == 9)).tolist() == [16.0]  # type: ignore[union-attr]
    assert "row_weight" not in found.rows.numbers
    late = np.where(stored["week"].to_numpy() == SPLIT["test"][0], 16.0, 1.0)
    pq.write_table(stored.append_column("row_weight", pa.array(late)), folder / "intent.parquet")
    with pytest.raises(DataError, match="week 19 judges models and has thinned rows"):
        load(folder, INTENTS)


def test_the_ranker_refuses_rows_that_stand_for_several(tmp_path: Path) -> None:
    rows = table([known_row("u0", {1: [0]}, 5)])
    pq.write_table(rows.append_column("row_weight", pa.array([2.0])), tmp_path / "ranking.parquet")
    with pytest.raises(DataError, match=r"ranking\.parquet has weights"):
        of_ranking.load(tmp_path, tmp_path)
