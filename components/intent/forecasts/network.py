"""The network of one head, in torch: two hidden layers, and a linear path beside them.

Both begin at zero, so that an untrained network says what is usual.

Letters: R rows, N inputs, H width, O outputs.
"""

import numpy as np
import torch
from torch import Tensor, nn


class HeadNet(nn.Module):
    """Scaled inputs [R, N] to outputs [R, O]."""

    start: Tensor  # [O]

    def __init__(self, n_inputs: int, n_outputs: int, *, width: int, dropout: float, start: np.ndarray) -> None:
        super().__init__()
        self.first = nn.Linear(n_inputs, width)
        self.second = nn.Linear(width, width)
        self.out = nn.Linear(width, n_outputs)
        self.skip = nn.Linear(n_inputs, n_outputs, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("start", torch.from_numpy(start.astype(np.float32)))
        for zero in (self.out.weight, self.out.bias, self.skip.weight):
            nn.init.zeros_(zero)

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs [R, O]."""
        h = self.dropout(torch.relu(self.first(x)))
        h = self.dropout(torch.relu(self.second(h)))
        found: Tensor = self.start + self.out(h) + self.skip(x)
        return found

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the weights by name as numpy serves them, float64."""
        return {name: value.detach().cpu().numpy().astype(np.float64) for name, value in self.state_dict().items()}
