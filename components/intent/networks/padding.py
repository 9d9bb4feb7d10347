"""Move tokens to the left end and back, for encoders that read from the left: they then meet padding after all else.

Letters: B users, T tokens, D width.
"""

import torch
from torch import Tensor


def to_left(x: Tensor, there: Tensor) -> Tensor:
    """Turn each row of tokens [B, T, D], of which those that are `there` [B, T] stand at the right, to the left."""
    return _turned(x, x.shape[1] - there.sum(dim=1))


def to_right(x: Tensor, there: Tensor) -> Tensor:
    """Undo `to_left`."""
    return _turned(x, there.sum(dim=1))


def _turned(x: Tensor, by: Tensor) -> Tensor:
    places = (torch.arange(x.shape[1], device=x.device)[None] + by[:, None]) % x.shape[1]  # [B, T]
    return x.gather(1, places[:, :, None].expand_as(x))
