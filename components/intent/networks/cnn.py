"""Dilated convolutions over tokens of weeks or events.

Letters: B users, T tokens, D width.
"""

import torch
from torch import Tensor, nn

from components.intent.shape import Shape


class Cnn(nn.Module):
    """Convolutions of three tokens, each seeing twice as far as the one before, around a residual path."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv1d(shape.width, shape.width, kernel_size=3, padding=2**i, dilation=2**i)
            for i in range(min(shape.layers, 4))
        )
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, there: Tensor | None = None) -> Tensor:
        """Map tokens [B, T, D] to [B, T, D]; `there` [B, T] marks those that are no padding."""
        h = x.transpose(1, 2)  # [B, D, T]
        for layer in self.layers:
            seen = h if there is None else h * there[:, None].to(h.dtype)  # padding is what lies beyond the ends
            h = h + self.dropout(torch.relu(layer(seen)))
        return h.transpose(1, 2)


build = Cnn
