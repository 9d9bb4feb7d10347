"""A gated recurrent unit over weekly tokens.

Letters: B users, T weeks, D width.
"""

from torch import Tensor, nn

from components.intent.shape import Shape


class Gru(nn.Module):
    """A GRU from the oldest week to the latest: three quarters of an LSTM's weights, and no cell beside its state."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        between = shape.dropout if shape.layers > 1 else 0.0
        self.gru = nn.GRU(shape.width, shape.width, num_layers=shape.layers, dropout=between, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens [B, T, D] to [B, T, D]."""
        out: Tensor = self.gru(x)[0]
        return out


build = Gru
