"""One row at a time, as serving asks, gives what the batch gives, for every architecture."""

import logging

import numpy as np
import pytest
import torch

from components.intent.model import Batch
from components.intent.traced import Single
from components.intent.train import Trained
from tests.intent.conftest import checkerboard, known_row, unknown_row, user_rows


def test_a_row_alone_scores_as_in_a_batch(trained: Trained) -> None:
    world = checkerboard()
    rows = user_rows([*(known_row(user, world[user], 20) for user in list(world)[:5]), unknown_row("new", 0)])
    alone = np.concatenate([trained.scorer.predict(rows.take(np.asarray([b]))) for b in range(len(rows))])
    np.testing.assert_allclose(alone, trained.scorer.predict(rows), atol=1e-6)
    assert len(np.unique(alone.round(4), axis=0)) > 1


def test_a_trace_that_differs_is_not_used(trained: Trained, caplog: pytest.LogCaptureFixture) -> None:
    class Fickle(torch.nn.Module):
        calls = 0

        def forward(self, batch: Batch) -> torch.Tensor:
            Fickle.calls += 1
            return batch.frequency[:, :, 0] + float(Fickle.calls)

    world = checkerboard()
    user = next(iter(world))
    batch = Batch.of(trained.scorer.encode(user_rows([known_row(user, world[user], 20)])))
    with caplog.at_level(logging.WARNING):
        Single(Fickle())(batch)  # type: ignore[arg-type]
    assert "runs untraced" in caplog.text
