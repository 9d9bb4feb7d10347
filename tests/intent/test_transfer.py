"""An encoder carried to other targets: columns follow names, what does not fit is refused by one line."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from components.intent import model, transfer
from components.intent.examples import Examples
from components.intent.model import IntentNet
from components.intent.networks import TREES
from components.intent.numpy_net import WEIGHTS
from components.intent.spec import IntentModel
from components.intent.train import Trained, train
from feature_repo import files
from feature_repo.errors import DataError
from feature_repo.vocabulary import Target, Vocabulary

from .conftest import CATEGORIES, vocabulary

Training = Callable[[str], Trained]


def named(*names: str) -> Vocabulary:
    """Return a vocabulary of such targets, and the visit."""
    usual = vocabulary()
    targets = [Target("get", name, "purchase", "category") for name in names]
    return Vocabulary((*targets, Target("come", None, None, None)), usual.items, usual.item_targets)


@pytest.fixture(scope="module")
def folder(training: Training, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the model folder of the checkerboard's cnn."""
    found = tmp_path_factory.mktemp("transfer") / "intent"
    training("cnn").scorer.save(found)
    return found


def reference(folder: Path) -> str:
    return f"{folder}@{files.file_digest(folder / WEIGHTS)}"


def test_columns_follow_the_names_of_targets(folder: Path, training: Training) -> None:
    source = training("cnn").scorer.net
    torch.manual_seed(1)
    net = IntentNet(source.shape)
    told = transfer.begin(net, named(*reversed([name.lower() for name in CATEGORIES])), reference(folder))
    assert told["alike"] == told["targets"] == len(CATEGORIES) + 1
    mine, theirs = net.weeks.token.weight.detach(), source.weeks.token.weight.detach()
    turned = theirs[:, [*reversed(range(len(CATEGORIES))), *range(len(CATEGORIES), theirs.shape[1])]]
    torch.testing.assert_close(mine, turned, atol=0.01, rtol=0)
    for name, value in source.weeks.state_dict().items():
        if name != "token.weight":
            assert torch.equal(net.weeks.state_dict()[name], value), name


def test_names_are_alike_by_their_letters_and_strangers_get_the_mean(folder: Path) -> None:
    similar = transfer.similarity(named("RED APPLES", "XYLOPHONES"), vocabulary())
    assert similar[0].argmax() == CATEGORIES.index("APPLES")
    assert similar[0].max() > transfer.ALIKE > similar[1].max()
    assert similar[2].tolist() == [0.0] * len(CATEGORIES) + [1.0], "what has no value is like what has none"
    weights = transfer.weighed(similar)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(weights[1], 1 / similar.shape[1])
    assert weights[0, CATEGORIES.index("APPLES")] > 0.9


def test_a_training_begins_with_it(folder: Path, examples: Examples) -> None:
    spec = {"architecture": "cnn", "width": 16, "layers": 1, "epochs": 1, "batch_size": 64}
    plain = train(examples, IntentModel.model_validate(spec), ranking_weeks=4, device="cpu")
    asked = IntentModel.model_validate(spec | {"pretrain": {"source": reference(folder), "epochs": 0}})
    found = train(examples, asked, ranking_weeks=4, device="cpu")
    assert found.pretrained["alike"] == len(CATEGORIES) + 1
    assert "losses" not in found.pretrained, "no epochs were asked for"
    assert np.abs(found.out_of_time.probabilities - plain.out_of_time.probabilities).max() > 1e-4


def test_another_folder_than_was_named_is_refused(folder: Path, training: Training) -> None:
    net, digest = IntentNet(training("cnn").scorer.shape), files.file_digest(folder / WEIGHTS)
    with pytest.raises(DataError, match=rf"is {digest} now, not 0123456789ab; write .*intent@{digest} to take it"):
        transfer.begin(net, vocabulary(), f"{folder}@0123456789ab")
    with pytest.raises(DataError, match=r"holds no trained network; name the `intent` folder of a release"):
        transfer.begin(net, vocabulary(), f"{folder}-none@0123456789ab")


def test_a_forest_has_no_encoder(training: Training, tmp_path: Path) -> None:
    training(TREES).scorer.save(tmp_path / "intent")
    with pytest.raises(DataError, match=r"models.intent.pretrain.source: .*intent"):
        transfer.begin(IntentNet(training("cnn").scorer.shape), vocabulary(), f"{tmp_path / 'intent'}@0123456789ab")


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("width", 32, "has width 16, and this model 32; use width: 16, or drop source"),
        ("architecture", "lstm", "has architecture cnn, and this model lstm; use architecture: cnn"),
        ("layers", 2, "has layers 1, and this model 2"),
        ("weeks", 8, "has steps of the sequence 16, and this model 8; use the same data.step"),
    ],
)
def test_other_sizes_are_one_line(training: Training, field: str, value: object, told: str) -> None:
    theirs = training("cnn").scorer.shape
    with pytest.raises(DataError) as error:
        transfer.require_alike(replace(theirs, **{field: value}), theirs, "./shop/intent@0123456789ab")  # type: ignore[arg-type]
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("architecture", "sizes", "told"),
    [
        (
            "cnn",
            {"events": 6, "kinds": 2, "bands": 2, "event_numbers": 3},
            "intent@.* reads events, and what is carried",
        ),
        ("transformer", {"inner_units": 8}, "intent@.* is pruned, .*; name the full network, which its folder variant"),
    ],
)
def test_a_source_that_reads_events_or_is_pruned_is_one_line(
    architecture: str, sizes: dict[str, int], told: str, training: Training, tmp_path: Path
) -> None:
    mine = replace(training("cnn").scorer.shape, architecture=architecture)
    training("cnn").scorer.save(tmp_path / "intent")
    model.save(IntentNet(replace(mine, **sizes)), tmp_path / "intent")  # type: ignore[arg-type]
    with pytest.raises(DataError, match=told) as error:
        transfer.begin(IntentNet(mine), vocabulary(), reference(tmp_path / "intent"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"epochs": 0}, "epochs: 0 without source pretrains nothing"),
        ({"source": "./shop/intent"}, "String should match pattern"),
    ],
)
def test_a_pretraining_that_would_do_nothing_is_refused(fields: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        IntentModel.model_validate({"pretrain": fields})
