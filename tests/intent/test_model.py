"""The model folder and the network's own errors."""

from pathlib import Path

import numpy as np
import pytest
import torch

from components.intent.model import load, pick_device
from components.intent.score import IntentScorer
from components.intent.train import Trained
from feature_repo.errors import DataError, SpecError
from feature_repo.vocabulary import Vocabulary

from .conftest import known_row, user_rows, vocabulary


def test_a_folder_that_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no trained intent model"):
        load(tmp_path)


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(SpecError, match="'tpu' is none of auto, cpu, cuda"):
        pick_device("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_is_refused_where_there_is_none() -> None:
    assert pick_device("auto").type == "cpu"
    with pytest.raises(SpecError, match="no CUDA device"):
        pick_device("cuda")


def test_another_vocabulary_is_refused(trained_network: Trained) -> None:
    whole = vocabulary()
    fewer = Vocabulary(whole.targets[:-1], whole.items, whole.item_targets)
    mine = trained_network.scorer
    with pytest.raises(DataError, match="made for 7 targets"):
        IntentScorer(mine.net, fewer, mine.context, mine.calendar)


def test_rows_counted_over_other_windows_are_refused(trained: Trained) -> None:
    row = {k: v for k, v in known_row("u0", {1: [0]}, 6).items() if not k.endswith("_91d")}
    with pytest.raises(DataError, match="windows_days has changed"):
        trained.scorer.predict(user_rows([row]))


def test_a_segment_that_training_never_saw_counts_as_none(trained: Trained) -> None:
    row = known_row("u0", {1: [0]}, 6)
    scores = trained.scorer.predict(user_rows([row | {"segment": 9}, row | {"segment": 77}]))
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-6)


def test_no_rows_give_no_probabilities(trained: Trained) -> None:
    rows = user_rows([known_row("u0", {1: [0]}, 6)]).take(np.array([], dtype=np.int64))
    assert trained.scorer.predict(rows).shape == (0, 7)
