"""An LSTM over tokens of weeks or events.

Letters: B users, T tokens, D width.
"""

from torch import Tensor, nn

from components.intent.networks import padding
from components.intent.shape import Shape


class Lstm(nn.Module):
    """An LSTM from the oldest token to the latest."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        between = shape.dropout if shape.layers > 1 else 0.0
        self.lstm = nn.LSTM(shape.width, shape.width, num_layers=shape.layers, dropout=between, batch_first=True)

    def forward(self, x: Tensor, there: Tensor | None = None) -> Tensor:
        """Map tokens [B, T, D] to [B, T, D]; `there` [B, T] marks those that are no padding."""
        if there is not None:
            return padding.to_right(self.lstm(padding.to_left(x, there))[0], there)
        out: Tensor = self.lstm(x)[0]
        return out


build = Lstm
