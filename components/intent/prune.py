"""Structured pruning: a network with fewer hidden units, the ones that move least dropped whole.

What shrinks are the user's perceptron, the one that all targets share, and the inner layer of a transformer's blocks:
arrays really get smaller, so every row costs less. A unit weighs as much as the norm of what it reads times the norm of
what it hands on. The width of tokens, which residual paths bind together, stays.

Letters: D width, U, H, M, I units of the user, of pairs, of the mix and of a block's inner layer.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from components.intent.model import IntentNet

USER, PAIR, MIX = "user", "pair", "mix"
# Where each group of units lies: by tensor, axis and group.
AXES: Mapping[str, tuple[tuple[int, str], ...]] = {
    "user.weight": ((0, USER),),
    "user.bias": ((0, USER),),
    "user_out": ((1, USER),),
    "pair_of_user.weight": ((0, PAIR), (1, USER)),
    "pair_of_target.weight": ((0, PAIR),),
    "pair_of_target.bias": ((0, PAIR),),
    "target": ((1, PAIR),),
    "mix.weight": ((0, MIX), (1, PAIR)),
    "mix.bias": ((0, MIX),),
    "shared_out": ((0, MIX),),
    "target_out": ((1, MIX),),
}
BLOCK = "weeks.body.bert.encoder.layer.{}"  # of a transformer


def pruned(net: IntentNet, share: float) -> IntentNet:
    """Return a smaller network without a share of each group of hidden units, at least one being left."""
    weights = {name: values.detach() for name, values in net.state_dict().items()}
    kept = {group: _strongest(weight, share) for group, weight in _weights(weights).items()}
    axes = dict(AXES)
    blocks = [n for n in range(net.shape.layers) if f"{BLOCK.format(n)}.output.dense.weight" in weights]
    for n in blocks:
        block = BLOCK.format(n)
        for tensor, axis in (
            ("intermediate.dense.weight", 0),
            ("intermediate.dense.bias", 0),
            ("output.dense.weight", 1),
        ):
            axes[f"{block}.{tensor}"] = ((axis, block),)
        into, out = weights[f"{block}.intermediate.dense.weight"], weights[f"{block}.output.dense.weight"]
        kept[block] = _strongest(torch.linalg.vector_norm(into, dim=1) * torch.linalg.vector_norm(out, dim=0), share)
    shape = replace(
        net.shape,
        user_units=len(kept[USER]),
        pair_units=len(kept[PAIR]),
        mix_units=len(kept[MIX]),
        inner_units=len(kept[BLOCK.format(0)]) if blocks else None,
    )
    small = IntentNet(shape)
    small.load_state_dict({name: _cut(values, axes.get(name, ()), kept) for name, values in weights.items()})
    return small.to(net.bias.device).train(net.training)


def _weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return how much each hidden unit moves: the norm of what it reads times the norm of what it hands on."""

    def norms(*names: str, of: int) -> Tensor:
        """Return the norms of rows (0) or columns (1) that lie side by side in some tensors."""
        joined = torch.cat([weights[name] for name in names], dim=1 - of)
        found: Tensor = torch.linalg.vector_norm(joined, dim=1 - of)
        return found

    of_pair = torch.cat([weights["pair_of_target.weight"], weights["pair_of_user.weight"], weights["target"].T], dim=1)
    told = weights["shared_out"] + weights["target_out"]  # [C, M]
    return {
        USER: norms("user.weight", of=0) * norms("pair_of_user.weight", "user_out", of=1),
        PAIR: torch.linalg.vector_norm(of_pair, dim=1) * norms("mix.weight", of=1),
        MIX: norms("mix.weight", of=0) * torch.linalg.vector_norm(told, dim=0),
    }


def _strongest(weight: Tensor, share: float) -> Tensor:
    """Return the places of the units that stay, in their order; of equals the first."""
    most = max(1, round(len(weight) * (1 - share)))
    return torch.sort(torch.sort(weight, descending=True, stable=True).indices[:most]).values


def _cut(values: Tensor, axes: tuple[tuple[int, str], ...], kept: Mapping[str, Tensor]) -> Tensor:
    for axis, group in axes:
        values = values.index_select(axis, kept[group])
    return values.clone()
