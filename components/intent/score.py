"""A trained intent model that answers: user rows in, probabilities out. Used by serving, evaluation and training.

The model folder is enough by itself: network, vocabulary, the targets' shares by week, calendar. How many threads
torch uses is the caller's matter.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from components.intent import model as models
from components.intent.context import FILE as CONTEXT
from components.intent.context import TargetContext
from components.intent.encode import FREQUENCY, Encoded, encode
from components.intent.model import CONFIG, Batch, IntentNet
from components.intent.rate_net import RateNet
from components.intent.shape import Shape
from components.intent.traced import Single
from feature_repo import files
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError
from feature_repo.rows import UserRows
from feature_repo.vocabulary import Vocabulary

ROWS = 1024  # rows encoded and scored at a time: bounds memory
CALENDAR = "calendar.json"
VOCABULARY = "vocabulary"


class IntentScorer:
    """Predicts what users are about to do."""

    def __init__(
        self,
        net: IntentNet | RateNet,
        vocabulary: Vocabulary,
        context: TargetContext,
        calendar: Calendar,
        profile: Sequence[str] | None = None,
    ) -> None:
        if net.shape.targets != len(vocabulary.targets) or net.shape.frequency != len(FREQUENCY):
            raise DataError(
                f"intent model: made for {net.shape.targets} targets of {net.shape.frequency} numbers, this vocabulary "
                f"and encode.py have {len(vocabulary.targets)} of {len(FREQUENCY)}; train again"
            )
        self._model = net.eval()
        self._single = Single(net) if isinstance(net, IntentNet) and net.bias.device.type == "cpu" else None
        self.vocabulary = vocabulary
        self.context = context
        self.calendar = calendar
        self.profile = profile  # names of the profile numbers that it was trained to see; None: all

    @property
    def net(self) -> IntentNet:
        """The network; a rate that serves in its place has none."""
        if not isinstance(self._model, IntentNet):
            raise TypeError(f"intent model: '{self.shape.architecture}' is a rate, which has no network")
        return self._model

    @property
    def shape(self) -> Shape:
        """What the network was built from, or the rate's name in its place."""
        return self._model.shape

    @property
    def names(self) -> list[str]:
        """Names of the C targets."""
        return self.vocabulary.target_names

    def at(self, context: TargetContext, calendar: Calendar) -> "IntentScorer":
        """Return the same model with the targets' shares and the calendar of other data."""
        return IntentScorer(self._model, self.vocabulary, context, calendar, self.profile)

    def encode(self, rows: UserRows) -> Encoded:
        """Encode rows as the network was trained to see them."""
        n_targets = self.shape.targets
        encoded = encode(rows, self.context, calendar=self.calendar, n_targets=n_targets, profile=self.profile)
        if encoded.profile.shape[1] != self.shape.profile:
            raise DataError(
                f"intent model: trained on {self.shape.profile} profile numbers, these rows give "
                f"{encoded.profile.shape[1]}; profiles.windows_days has changed, train again"
            )
        return encoded

    def predict(self, rows: UserRows) -> np.ndarray:
        """Return the probability of each target for each row, float32 [B, C]."""
        if isinstance(self._model, RateNet):
            return self._model.predict(rows, self.calendar, self.vocabulary.horizons)
        if len(rows) == 1 and self._single is not None:
            return self._one(rows)
        parts = [
            forward(self.net, self.encode(rows.take(np.arange(start, min(start + ROWS, len(rows))))))
            for start in range(0, len(rows), ROWS)
        ]
        return np.concatenate(parts) if parts else np.empty((0, self.shape.targets), dtype=np.float32)

    @torch.inference_mode()
    def _one(self, rows: UserRows) -> np.ndarray:
        assert self._single is not None
        return np.asarray(torch.sigmoid(self._single(Batch.of(self.encode(rows)))).numpy())

    def save(self, folder: Path) -> None:
        """Write the model folder's files, making the folder."""
        self.vocabulary.save(folder / VOCABULARY)
        models.save(self._model, folder)
        if self.profile is not None:
            config = files.read_json(folder / CONFIG)
            files.write_json(folder / CONFIG, config | {"profile": list(self.profile)})
        self.context.save(folder / CONTEXT)
        files.write_json(folder / CALENDAR, self.calendar.document())

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> "IntentScorer":
        """Read a model folder."""
        net = models.load(folder, device)
        return cls(
            net,
            Vocabulary.load(folder / VOCABULARY),
            TargetContext.load(folder / CONTEXT, n_targets=net.shape.targets),
            Calendar(**files.read_json(folder / CALENDAR)),
            files.read_json(folder / CONFIG).get("profile"),
        )


@torch.inference_mode()
def forward(net: IntentNet, encoded: Encoded) -> np.ndarray:
    """Score encoded rows, float32 [B, C] probabilities."""
    device = net.bias.device
    with torch.autocast("cuda", enabled=device.type == "cuda"):
        logits = net(Batch.of(encoded, device))
    return np.asarray(torch.sigmoid(logits.float()).cpu().numpy())
