"""Dilated convolutions over weekly tokens.

Letters: B users, T weeks, D width.
"""

import torch
from torch import Tensor, nn

from components.intent.shape import Shape


class Cnn(nn.Module):
    """Convolutions of three weeks, each seeing twice as far as the one before, around a residual path."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv1d(shape.width, shape.width, kernel_size=3, padding=2**i, dilation=2**i)
            for i in range(min(shape.layers, 4))
        )
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens [B, T, D] to [B, T, D]."""
        h = x.transpose(1, 2)  # [B, D, T]
        for layer in self.layers:
            h = h + self.dropout(torch.relu(layer(h)))
        return h.transpose(1, 2)


build = Cnn
