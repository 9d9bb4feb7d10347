"""A plain recurrent network over weekly tokens (Elman, 1990).

Letters: B users, T weeks, D width.
"""

from torch import Tensor, nn

from components.intent.shape import Shape


class Rnn(nn.Module):
    """A recurrent network without gates, from the oldest week to the latest."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        between = shape.dropout if shape.layers > 1 else 0.0
        self.rnn = nn.RNN(shape.width, shape.width, num_layers=shape.layers, dropout=between, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens [B, T, D] to [B, T, D]."""
        out: Tensor = self.rnn(x)[0]
        return out


build = Rnn
