"""The contract of every intent architecture: its served form, in numpy, answers as the trained network does."""

import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components import served_form
from components.intent import model, numpy_net
from components.intent.encode import FREQUENCY, Encoded
from components.intent.model import IntentNet
from components.intent.networks import NETWORKS
from components.intent.numpy_encoders import ENCODERS
from components.intent.numpy_net import NumpyNet
from components.intent.score import IntentScorer
from components.intent.shape import Shape
from components.intent.train import Trained
from feature_repo import files
from tests.intent.conftest import WEEKS, checkerboard, known_row, start, unknown_row, user_rows
from tests.intent.conftest import table as user_table

SMALL = Shape(
    "cnn", width=32, layers=2, dropout=0.1, targets=7, weeks=5, frequency=len(FREQUENCY), profile=4, segments=3
)


def random_net(shape: Shape, *, seed: int = 0) -> IntentNet:
    """Return a network whose every weight counts: an untrained one has zeros where a mistake would hide."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = IntentNet(shape)
        with torch.no_grad():
            for values in net.parameters():
                values.copy_(torch.randn_like(values) * 0.2)
            for name in ("frequency", "profile"):
                getattr(net, f"{name}_mean").normal_()
                getattr(net, f"{name}_scale").uniform_(0.2, 2)
            if shape.components is not None:
                net.profile_matrix.normal_()
    return net.eval()


def numpy_of(net: IntentNet) -> NumpyNet:
    return NumpyNet.of(net.shape, {name: values.numpy().copy() for name, values in net.state_dict().items()})


def test_every_architecture_has_a_served_form() -> None:
    assert set(ENCODERS) == set(NETWORKS)


def test_a_trained_model_is_served_in_numpy_and_answers_all_users_the_same(trained: Trained, tmp_path: Path) -> None:
    trained.scorer.save(tmp_path / "intent")
    served = IntentScorer.served(tmp_path / "intent")
    with pytest.raises(TypeError, match=r"is the served form|a forest of trees|an ensemble has several"):
        _ = served.net
    world = checkerboard()
    every = [known_row(user, happened, week) for user, happened in world.items() for week in (2, 9, WEEKS)]
    rows = user_rows([*every, unknown_row("new", 9), every[0] | {"segment": 77}])
    want = trained.scorer.predict(rows)
    np.testing.assert_allclose(served.predict(rows), want, atol=1e-5)
    alone = np.concatenate([served.predict(rows.take(np.asarray([b]))) for b in range(len(rows))])
    np.testing.assert_allclose(alone, want, atol=1e-5)
    assert served.predict(rows).dtype == np.float32
    assert len(np.unique(alone.round(4), axis=0)) > 20


@pytest.mark.parametrize("components", [None, 3])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("width", [20, 32])  # of which 16 is no divisor, and is one
@pytest.mark.parametrize("architecture", NETWORKS)
def test_random_weights_give_the_same_probabilities(
    architecture: str, width: int, layers: int, components: int | None
) -> None:
    net = random_net(replace(SMALL, architecture=architecture, width=width, layers=layers, components=components))
    form = numpy_of(net)
    asked = numpy_net.drawn(net.shape, form.weights)
    want = model.probabilities(net, asked)
    np.testing.assert_allclose(form.probabilities(asked), want, atol=1e-5)
    assert want.std() > 0.1


@settings(max_examples=40, deadline=None)
@given(
    architecture=st.sampled_from(NETWORKS),
    seed=st.integers(0, 2**16),
    rows=st.integers(1, 4),
    far=st.sampled_from([0.0, 1.0, 30.0, 1e4]),
    weeks=st.sampled_from([0, 1]),
    segment=st.integers(0, 99),
)
def test_degraded_rows_give_the_same_probabilities(
    architecture: str, seed: int, rows: int, far: float, weeks: int, segment: int
) -> None:
    """Rows without a past, of a segment that came later, and far outside of what training saw."""
    rng, shape = np.random.default_rng(seed), replace(SMALL, architecture=architecture)
    asked = Encoded(
        frequency=(rng.normal(size=(rows, 7, shape.frequency)) * far).astype(np.float32),
        sequence=np.full((rows, 5, 7), weeks, dtype=np.uint8),
        active=np.full((rows, 5, 2), weeks, dtype=np.uint8),
        profile=(rng.normal(size=(rows, 4)) * far).astype(np.float32),
        segment=np.full(rows, segment, dtype=np.int64),
    )
    net = random_net(shape, seed=seed % 3)
    want, found = model.probabilities(net, asked), numpy_of(net).probabilities(asked)
    # So far out logits are in the thousands, of which float32 keeps seven digits; the probabilities are 0 and 1.
    np.testing.assert_allclose(found, want, atol=1e-5 if far < 1e3 else 1e-3)


def test_a_model_of_before_the_form_is_served_by_torch(
    trained_network: Trained, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "intent"
    trained_network.scorer.save(folder)
    (folder / served_form.FILE).unlink()
    with caplog.at_level(logging.INFO):
        assert isinstance(IntentScorer.served(folder).net, IntentNet)
    assert "has no served_form.json, torch serves it" in caplog.text


def test_weights_that_changed_since_are_not_taken_for_proven(
    trained_network: Trained, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "intent"
    trained_network.scorer.save(folder)
    found = files.read_json(folder / served_form.FILE)
    files.write_json(folder / served_form.FILE, found | {"weights": "0" * 12})
    assert isinstance(IntentScorer.served(folder).net, IntentNet)
    assert "of other weights" in caplog.text


def test_a_form_that_differs_is_not_served(
    trained_network: Trained, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = NumpyNet.probabilities
    monkeypatch.setattr(NumpyNet, "probabilities", lambda self, encoded: real(self, encoded) + np.float32(2e-5))
    trained_network.scorer.save(tmp_path / "intent")
    assert not (tmp_path / "intent" / served_form.FILE).exists()
    assert "more than 1e-05; torch serves it" in caplog.text


def test_saving_draws_nothing_from_torchs_generator(tmp_path: Path) -> None:
    net = random_net(SMALL)
    torch.manual_seed(1)
    first = torch.rand(1)
    torch.manual_seed(1)
    model.save(net, tmp_path)
    assert torch.equal(first, torch.rand(1))


@pytest.mark.process
def test_a_served_model_answers_without_torch(trained: Trained, tmp_path: Path) -> None:
    trained.scorer.save(tmp_path / "intent")
    table = tmp_path / "rows.parquet"
    pq.write_table(user_table([unknown_row("new", start(9))]).drop(["week", "label_ids"]), table)
    script = (
        "import sys; from pathlib import Path; import pyarrow.parquet as pq\n"
        "from components.intent.score import IntentScorer\n"
        "from feature_repo.rows import UserRows\n"
        f"scorer = IntentScorer.served(Path({str(tmp_path / 'intent')!r}))\n"
        f"said = scorer.predict(UserRows.from_arrow(pq.read_table({str(table)!r})))\n"
        "print(said.shape, [name for name in ('torch', 'sklearn') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip().endswith("7) []"), done.stdout + done.stderr
