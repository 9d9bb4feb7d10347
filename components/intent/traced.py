"""The network for one row at a time, as serving asks it: traced once, so that no Python runs between its operations.

Layer by layer in Python one row costs some three times the arithmetic. The trace holds the network's own weights and
runs the same operations; it is compared with the network when it is made, and dropped where they differ.
"""

import dataclasses
import logging
import threading
import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from components.intent.encode import Encoded
from components.intent.model import Batch, IntentNet, probabilities

NAMES = tuple(field.name for field in dataclasses.fields(Batch) if field.default is dataclasses.MISSING)
RUNS = 3  # the first ones are profiled and compiled
CLOSE = 1e-5  # logits
log = logging.getLogger("intentflow.intent")


class _Plain(nn.Module):
    """The network with tensors as arguments: what can be traced."""

    def __init__(self, net: IntentNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, *arrays: Tensor) -> Tensor:
        """Return logits [B, C]."""
        logits: Tensor = self.net(Batch(**dict(zip(NAMES, arrays, strict=True))))
        return logits


class Forward:
    """Probabilities of encoded rows: one row by the trace where the network is on the CPU, more as they are."""

    def __init__(self, net: IntentNet) -> None:
        self._net = net.eval()
        # A trace is of one length, and memories and texts differ in theirs.
        traced = net.bias.device.type == "cpu" and net.shape.events is None and net.shape.text is None
        self._single = Single(net) if traced else None

    def __call__(self, encoded: Encoded) -> np.ndarray:
        """Return float32 [B, C]."""
        if len(encoded) != 1 or self._single is None:
            return probabilities(self._net, encoded)
        with torch.inference_mode():
            return np.asarray(torch.sigmoid(self._single(Batch.of(encoded))).numpy())


class Single:
    """Logits of one row. The first call makes the trace; threads may share it."""

    def __init__(self, net: IntentNet) -> None:
        self._net = net
        self._call: Callable[..., Tensor] | None = None
        self._lock = threading.Lock()

    def __call__(self, batch: Batch) -> Tensor:
        """Return logits [1, C]."""
        if self._call is None:
            with self._lock:
                self._call = self._call or self._made(batch)
        return self._call(*_arrays(batch))

    def _made(self, batch: Batch) -> Callable[..., Tensor]:
        plain, arrays = _Plain(self._net).eval(), _arrays(batch)
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a trace is for one shape only: so is this one
            trace: Callable[..., Callable[..., Tensor]] = torch.jit.trace
            traced = trace(plain, arrays, check_trace=False)
            found = [traced(*arrays) for _ in range(RUNS)][-1]
            off = float((found - plain(*arrays)).abs().max())
        if not off <= CLOSE:  # nor NaN
            log.warning("the traced network is off by %g; it runs untraced", off)
            return plain
        return traced


def _arrays(batch: Batch) -> tuple[Tensor, ...]:
    return tuple(getattr(batch, name) for name in NAMES)
