"""In which numbers a training computes, and whether its network is compiled. Weights are fp32 in either case."""

import os
import shutil
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from components.training.spec import Precision
from feature_repo.errors import SpecError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

COMPILERS = ("g++", "clang++", "c++")  # one of which torch's compiler needs on a processor
PLACE = "trainer.precision"


def narrow(device: torch.device, asked: Precision) -> bool:
    """Tell whether products are computed in bf16; refuse a device that cannot.

    >>> [narrow(torch.device("cpu"), asked) for asked in ("auto", "fp32", "bf16")]
    [False, False, True]
    """
    if device.type != "cuda":
        return asked == "bf16"
    has = bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if asked == "bf16" and not has:
        name = torch.cuda.get_device_name(device)
        raise SpecError(f"{PLACE}: bf16, and {name} computes in none; use auto, which is fp32 there, or fp32")
    return asked != "fp32" and has


def autocast(device: torch.device, asked: Precision) -> "AbstractContextManager[None]":
    """Let products within be computed as asked."""
    enabled = narrow(device, asked)
    return cast("AbstractContextManager[None]", torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled))


def compiled(net: nn.Module, device: torch.device) -> nn.Module:
    """Return the network as torch compiles it on its first batch; the weights are the same."""
    if device.type == "cpu" and not any(map(shutil.which, (*filter(None, [os.environ.get("CXX")]), *COMPILERS))):
        raise SpecError(
            f"trainer.compile: true, and none of {', '.join(COMPILERS)} is here, which torch compiles with; install "
            "one, or leave compile out"
        )
    return cast(nn.Module, torch.compile(net))
