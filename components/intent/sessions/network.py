"""The networks of session intents, in torch: dense layers, and where the spec says `gru` a recurrent unit before them.

Letters: R rows, F features, L events of the visit, N numbers of an event, E inputs of the unit, H units, C intents.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

from components.intent.sessions.recurrent import Unit

DROPOUT = 0.1


class Dense(nn.Module):
    """Two hidden layers on the numbers of a visit so far."""

    def __init__(self, n_features: int, width: int, n_intents: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features, width),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(width, n_intents),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [R, C] of scaled features [R, F]."""
        logits: Tensor = self.layers(x)
        return logits

    @property
    def linear(self) -> list[nn.Linear]:
        """The layers with weights, in order."""
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    def unit(self) -> Unit | None:
        """Return the recurrent unit's weights, None of a network without one."""
        return None


class Recurrent(Dense):
    """The same on the numbers and on the last state of a unit that read the visit's events one by one."""

    def __init__(self, n_features: int, width: int, n_intents: int, *, n_kinds: int, n_inputs: int) -> None:
        super().__init__(n_features + width, width, n_intents)
        self.n_kinds, self.n_inputs = n_kinds, n_inputs
        self.gru = nn.GRU(n_inputs, width, batch_first=True)

    def forward(  # type: ignore[override]
        self, x: Tensor, kind: Tensor, category: Tensor, numbers: Tensor, length: Tensor
    ) -> Tensor:
        """Return logits [R, C] of scaled features [R, F] and the events of each visit, [R, L] and [R, L, N]."""
        n_categories = self.n_inputs - self.n_kinds - numbers.shape[2]
        events = torch.cat(
            [
                functional.one_hot(kind.long(), self.n_kinds).float(),
                functional.one_hot(category.long(), n_categories).float(),
                numbers,
            ],
            dim=2,
        )  # [R, L, E]
        packed = pack_padded_sequence(events, length, batch_first=True, enforce_sorted=False)
        _, last = self.gru(packed)  # [1, R, H]
        logits: Tensor = self.layers(torch.cat([x, last[0]], dim=1))
        return logits

    def unit(self) -> Unit | None:
        """Return the recurrent unit's weights."""
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        return Unit(*(getattr(self.gru, name).detach().numpy().astype("float64") for name in names))
