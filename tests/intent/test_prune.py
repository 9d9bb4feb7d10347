"""Structured pruning: the units that move nothing go, arrays are smaller, and both forms still answer alike."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from components.intent import compress, model, numpy_net, prune, quantize
from components.intent.networks import NETWORKS
from components.intent.prune import BLOCK
from tests.intent.test_numpy_net import SMALL, numpy_of, random_net

EVERY = pytest.mark.parametrize("architecture", [name for name in NETWORKS if name != "text"])


@EVERY
def test_units_that_hand_nothing_on_go_first_and_no_answer_changes(architecture: str) -> None:
    net = random_net(replace(SMALL, architecture=architecture))
    with torch.no_grad():  # every second unit hands nothing on
        for values in (net.pair_of_user.weight, net.user_out, net.mix.weight, net.target_out):
            values[:, ::2] = 0
        net.shared_out[::2] = 0
        if architecture == "transformer":
            for layer in net.weeks.body.bert.encoder.layer:
                layer.output.dense.weight[:, ::2] = 0
    small = prune.pruned(net, 0.5)
    assert small.shape.units == (16, 16, 8)
    assert small.shape.inner_units == (32 if architecture == "transformer" else None)
    asked = numpy_net.drawn(net.shape, numpy_of(net).weights)
    np.testing.assert_allclose(model.probabilities(small, asked), model.probabilities(net, asked), atol=1e-6)


@EVERY
@pytest.mark.parametrize("stored", [None, "int8"])
def test_a_smaller_network_is_served_in_numpy_and_answers_the_same_one_by_one(
    architecture: str, stored: str | None, tmp_path: object
) -> None:
    net = random_net(replace(SMALL, architecture=architecture))
    small = prune.pruned(net, 0.6)
    if stored:
        small = compress.rounded(small)
    small.eval()
    folder = tmp_path / "intent"  # type: ignore[operator]
    folder.mkdir()
    model.save(small, folder)
    form = numpy_net.served(folder)
    assert form is not None, "both forms differ"
    asked = numpy_net.drawn(small.shape, form.weights)
    want = model.probabilities(small, asked)
    np.testing.assert_allclose(form.probabilities(asked), want, atol=1e-5)
    np.testing.assert_array_equal(model.probabilities(model.load(folder), asked), want)
    alone = np.concatenate([form.probabilities(asked.take(np.array([b]))) for b in range(len(asked))])
    np.testing.assert_allclose(alone, want, atol=1e-5)


def test_a_file_of_bytes_is_a_fraction_of_the_full_one(tmp_path: object) -> None:
    net, sizes = random_net(replace(SMALL, architecture="transformer", width=64, targets=100)), []
    for name, one in (("full", net), ("pruned", prune.pruned(net, 0.5)), ("int8", compress.rounded(net))):
        folder = tmp_path / name  # type: ignore[operator]
        folder.mkdir()
        model.save(one.eval(), folder)
        sizes.append((folder / "weights.safetensors").stat().st_size)
    full, pruned, small = sizes
    assert pruned < 0.8 * full
    assert small < 0.35 * full


def test_at_least_one_unit_is_left() -> None:
    assert prune.pruned(random_net(SMALL), 0.95).shape.units == (2, 2, 1)


def test_of_equal_units_the_first_stay_in_their_order() -> None:
    assert prune._strongest(torch.tensor([1.0, 3.0, 1.0, 2.0]), 0.25).tolist() == [0, 1, 3]


def test_every_unit_of_a_network_is_cut_where_it_lies() -> None:
    """A tensor that grows another axis of hidden units would be left out unseen: shapes of all are compared."""
    net = random_net(replace(SMALL, architecture="transformer"))
    small = prune.pruned(net, 0.5)
    cut = {name for name, values in net.state_dict().items() if values.shape != small.state_dict()[name].shape}
    blocks = {f"{BLOCK.format('weeks', n)}.{tensor}" for n in range(SMALL.layers) for tensor in
              ("intermediate.dense.weight", "intermediate.dense.bias", "output.dense.weight")}  # fmt: skip
    assert cut == {*prune.AXES, *blocks}


def test_weights_that_were_not_rounded_are_not_stored_as_bytes(tmp_path: object) -> None:
    net = random_net(SMALL)
    net.shape = replace(net.shape, stored=quantize.INT8)
    with pytest.raises(ValueError, match="are not rounded to it"):
        model.save(net, tmp_path)  # type: ignore[arg-type]
