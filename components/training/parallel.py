"""A network as several processes train it: whole on each (DDP), its weights cut (FSDP2), its layers split (tensor).

`Wrapped` knows three modules. `net` is whole on every process, and is what validation and saving read. `trained` holds
the weights that the optimizer moves: the same module, or a copy whose weights are DTensors. `called` is what a batch
goes through. `gather` brings `net` up to date, as a full state dict. Any torch module will do; to cut or split one it
must have layers laid out as BERT's (transformers), which are found by their parts.

Fully sharded data parallel: torch's `fully_shard`, each layer and then the rest; it averages gradients as DDP.
Tensor parallel (Shoeybi et al., Megatron-LM, 2019): query, key, value and the first dense layer by columns, the others
by rows; every process sees all rows of a batch, and draws the same dropout.
"""

import contextlib
import copy
import json
import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from components.distributed.ranks import ALONE, Ranks
from components.training.precision import compiled
from components.training.spec import DDP, TENSOR, Parallel, TrainerOptions
from feature_repo.errors import SpecError

PLACE = "trainer.parallel"
COLUMNS = ("attention.self.query", "attention.self.key", "attention.self.value", "intermediate.dense")
ROWS = ("attention.output.dense", "output.dense")
log = logging.getLogger("intentflow.training")


@dataclass(frozen=True)
class Wrapped:
    """A network that is being trained."""

    net: nn.Module
    trained: nn.Module
    called: nn.Module

    @property
    def cut(self) -> bool:
        """Tell whether the trained weights are spread over processes."""
        return self.trained is not self.net

    @property
    def device(self) -> torch.device:
        """Return where the network is."""
        return next(self.net.parameters()).device

    def optimizer(
        self,
        *,
        learning_rate: float,
        weight_decay: float,
        groups: Callable[[nn.Module], Iterable[Any]] = nn.Module.parameters,
    ) -> torch.optim.Optimizer:
        """Return AdamW over the trained weights, or over groups of them that have learning rates of their own."""
        foreach = False if self.cut else None  # torch's fused loops do not mix DTensors with others
        return torch.optim.AdamW(groups(self.trained), lr=learning_rate, weight_decay=weight_decay, foreach=foreach)

    def clip(self, largest: float) -> None:
        """Scale gradients so that their norm over all weights is at most `largest`."""
        if not self.cut:
            nn.utils.clip_grad_norm_(self.called.parameters(), largest)
            return
        found = [p.grad for p in self.trained.parameters() if p.grad is not None]
        factor = min(largest / (_norm(found) + 1e-6), 1.0)
        for gradient in found:
            _local(gradient).mul_(factor)

    def last(self, last: bool) -> "contextlib.AbstractContextManager[None]":
        """Let processes exchange gradients after the last part of a batch alone."""
        wait = None if last or self.cut else getattr(self.called, "no_sync", None)
        return contextlib.nullcontext() if wait is None else wait()

    def gather(self) -> None:
        """Bring `net` up to date; every process takes part."""
        if self.cut:
            self.net.load_state_dict({name: whole(value) for name, value in self.trained.state_dict().items()})

    def put(self, weights: dict[str, Tensor]) -> None:
        """Give the trained weights the values of a full state dict; every process has all of them."""
        have = self.trained.state_dict()
        with torch.no_grad():
            for name in sorted(have):
                spread(have[name], weights[name])
        self.gather()


def data_ranks(how: Parallel, ranks: Ranks) -> Ranks:
    """Return the processes that share out the rows of a batch: under `tensor` each has all of them."""
    return ALONE if how == TENSOR else ranks


def wrapped(net: nn.Module, options: TrainerOptions, ranks: Ranks = ALONE, *, unused: bool = False) -> Wrapped:
    """Return a network as the options have it trained; `unused`: some of its layers never get a gradient."""
    device = next(net.parameters()).device
    if options.parallel == DDP or ranks.world == 1:
        if options.parallel != DDP:
            why = "one process trains, so nothing is shared out; several are the environment's kubeflow.trainer"
            log.warning(json.dumps({PLACE: options.parallel, "ignored": why}))
        called = ranks.parallel(net, unused=unused)
        return Wrapped(net, net, compiled(called, device) if options.compile else called)
    copied = copy.deepcopy(net)
    layers = layers_of(copied)
    if not layers:
        raise SpecError(f"{PLACE}: {options.parallel} is of networks with BERT layers, and this one has none; use ddp")
    (split if options.parallel == TENSOR else shard)(copied, layers, ranks, device)
    return Wrapped(net, copied, copied)


def layers_of(net: nn.Module) -> list[nn.Module]:
    """Return the layers that are laid out as BERT's, the first one first."""
    return [module for module in net.modules() if all(_has(module, name) for name in (*COLUMNS, *ROWS))]


def shard(net: nn.Module, layers: list[nn.Module], ranks: Ranks, device: torch.device) -> None:
    """Give each process its part of every weight; a layer's are whole while it computes."""
    from torch.distributed.fsdp import fully_shard

    mesh = _mesh(ranks, device)
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(net, mesh=mesh)


def split(net: nn.Module, layers: list[nn.Module], ranks: Ranks, device: torch.device) -> None:
    """Give each process its heads and its part of every dense layer; what lies between layers is whole on all."""
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    mesh = _mesh(ranks, device)
    for layer in layers:
        _require_even(layer, ranks.world)
        plan: dict[str, Any] = {name: ColwiseParallel() for name in COLUMNS}
        parallelize_module(layer, mesh, plan | {name: RowwiseParallel() for name in ROWS})


def whole(value: Tensor) -> Tensor:
    """Return a tensor with all of its values, also where processes hold a part each; they all take part."""
    full: Tensor = value.full_tensor() if _spread(value) else value  # type: ignore[attr-defined]
    return full.detach()


def spread(target: Tensor, values: Tensor) -> None:
    """Copy values into a tensor, each process its own part."""
    values = values.to(target.device)
    if not _spread(target):
        target.copy_(values)
        return
    from torch.distributed.tensor import distribute_tensor

    target.copy_(distribute_tensor(values, target.device_mesh, target.placements))  # type: ignore[attr-defined]


def like(values: Tensor, parameter: Tensor) -> Tensor:
    """Return values as an optimizer keeps them beside a parameter: cut as it is, where they are of its shape."""
    if values.shape != parameter.shape or not values.ndim:
        return values.clone()
    kept = torch.zeros_like(parameter, requires_grad=False)
    with torch.no_grad():
        spread(kept, values)
    return kept


def _spread(value: Tensor) -> bool:
    return hasattr(value, "full_tensor")  # a DTensor; its class is slow to import


def _local(value: Tensor) -> Tensor:
    return value.to_local() if _spread(value) else value  # type: ignore[attr-defined]


def _norm(gradients: list[Tensor]) -> float:
    """Return the norm over all gradients: of those that are cut every process holds a part."""
    import torch.distributed as dist

    parts = torch.zeros(2, dtype=torch.float64, device=gradients[0].device)  # whole on each, cut
    for gradient in gradients:
        cut = _spread(gradient) and any(place.is_shard() for place in gradient.placements)  # type: ignore[attr-defined]
        parts[int(cut)] += _local(gradient).detach().double().square().sum()
    summed = parts[1].cpu()
    dist.all_reduce(summed)
    return math.sqrt(float(parts[0]) + float(summed))


def _mesh(ranks: Ranks, device: torch.device) -> Any:
    from torch.distributed.device_mesh import init_device_mesh

    return init_device_mesh(device.type, (ranks.world,))


def _require_even(layer: nn.Module, world: int) -> None:
    heads = int(layer.get_submodule("attention.self").num_attention_heads)  # type: ignore[arg-type]
    plain = all(type(layer.get_submodule(name)) is nn.Linear for name in (*COLUMNS, *ROWS))
    if not plain:
        raise SpecError(
            f"{PLACE}: tensor splits plain dense layers, and adapters stand in their place; use fsdp or ddp"
        )
    inner = layer.get_submodule("intermediate.dense")
    if heads % world or inner.out_features % world:  # type: ignore[operator]
        raise SpecError(
            f"{PLACE}: tensor splits {heads} heads and {inner.out_features} inner values evenly, which {world} "
            "processes cannot; start as many as divide both, or use fsdp"
        )


def _has(module: nn.Module, name: str) -> bool:
    for part in name.split("."):
        found = getattr(module, part, None)
        if not isinstance(found, nn.Module):
            return False
        module = found
    return True
