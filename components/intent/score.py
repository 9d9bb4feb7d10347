"""A trained intent model that answers: user rows in, probabilities out. Used by serving, evaluation and training.

The model folder is enough by itself: network, vocabulary, the targets' shares by week, calendar. `load` reads the
network as it was trained, `served` as a door serves it: in numpy where the folder says that both are equal, so that
torch is not imported. How many threads either uses is the caller's matter.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from components.intent import numpy_net, rates
from components.intent.behaviour.reader import Reader
from components.intent.calibration import Calibration
from components.intent.context import FILE as CONTEXT
from components.intent.context import TargetContext
from components.intent.encode import FREQUENCY, Encoded, encode
from components.intent.ensemble import Ensemble
from components.intent.events import EventCodes
from components.intent.forest import Forest
from components.intent.networks import ENSEMBLE, TEXT, TREES
from components.intent.numpy_net import CONFIG, NumpyNet
from components.intent.rate_net import RateNet
from components.intent.shape import Shape
from feature_repo import files
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError
from feature_repo.rows import UserRows
from feature_repo.vocabulary import Vocabulary

if TYPE_CHECKING:
    from components.intent.model import IntentNet

    Model = IntentNet | NumpyNet | Forest | Ensemble | RateNet

ROWS = 1024  # rows encoded and scored at a time: bounds memory
CALENDAR = "calendar.json"
VOCABULARY = "vocabulary"


class IntentScorer:
    """Predicts what users are about to do."""

    def __init__(
        self,
        net: "Model",
        vocabulary: Vocabulary,
        context: TargetContext,
        calendar: Calendar,
        profile: Sequence[str] | None = None,
        calibration: Calibration | None = None,
        events: EventCodes | None = None,
    ) -> None:
        if net.shape.targets != len(vocabulary.targets) or net.shape.frequency != len(FREQUENCY):
            raise DataError(
                f"intent model: made for {net.shape.targets} targets of {net.shape.frequency} numbers, this vocabulary "
                f"and encode.py have {len(vocabulary.targets)} of {len(FREQUENCY)}; train again"
            )
        if net.shape.events is not None and events is None:
            raise DataError(f"intent model: it reads events, and its {CONFIG} does not say how; train again")
        self._model = net
        self._probabilities = None if isinstance(net, RateNet) else _forward_of(net)
        self.vocabulary = vocabulary
        self.context = context
        self.calendar = calendar
        self.profile = profile  # names of the profile numbers that it was trained to see; None: all
        self.calibration = calibration  # None: probabilities are the model's own
        self._reader = _reader_of(net, vocabulary)
        self.events = events  # how its network reads events; None: it reads steps

    @property
    def net(self) -> "IntentNet":
        """The network as it was trained; a rate that serves in its place has none, and a served form has none."""
        if isinstance(self._model, RateNet):
            raise TypeError(f"intent model: '{self.shape.architecture}' is a rate, which has no network")
        if isinstance(self._model, Forest):
            raise TypeError("intent model: a forest of trees has no network")
        if isinstance(self._model, Ensemble):
            raise TypeError("intent model: an ensemble has several models, and no one network")
        if isinstance(self._model, NumpyNet):
            raise TypeError("intent model: what was read is the served form; `load` reads the network")
        return self._model

    @property
    def served_form(self) -> NumpyNet | Forest | Ensemble | None:
        """The model as doors ask it without torch; None of a rate, and where torch answers."""
        if isinstance(self._model, Ensemble):
            return self._model if self._model.served else None
        return self._model if isinstance(self._model, NumpyNet | Forest) else None

    @property
    def model(self) -> "IntentNet | NumpyNet | Forest":
        """The one model that answers, as a member of an ensemble; a rate and an ensemble are none."""
        if isinstance(self._model, RateNet | Ensemble):
            raise TypeError(f"intent model: '{self.shape.architecture}' is no member of an ensemble")
        return self._model

    @property
    def members(self) -> "Mapping[str, IntentNet | NumpyNet | Forest]":
        """The models of an ensemble, by name; none where one model answers."""
        return self._model.members if isinstance(self._model, Ensemble) else {}

    @property
    def said_of(self) -> "Callable[[Encoded], np.ndarray] | None":
        """What the model itself says of encoded rows, float32 [B, C] before calibration; None of a rate."""
        return self._probabilities

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
        return IntentScorer(
            self._model, self.vocabulary, context, calendar, self.profile, self.calibration, self.events
        )

    def calibrated(self, calibration: Calibration | None) -> "IntentScorer":
        """Return the same model with its probabilities mapped."""
        return IntentScorer(
            self._model, self.vocabulary, self.context, self.calendar, self.profile, calibration, self.events
        )

    def encode(self, rows: UserRows) -> Encoded:
        """Encode rows as the network was trained to see them."""
        n_targets = self.shape.targets
        encoded = encode(
            rows,
            self.context,
            calendar=self.calendar,
            n_targets=n_targets,
            profile=self.profile,
            events=self.events,
        )
        if encoded.profile.shape[1] != self.shape.profile:
            raise DataError(
                f"intent model: trained on {self.shape.profile} profile numbers, these rows give "
                f"{encoded.profile.shape[1]}; profiles.windows_days has changed, train again"
            )
        return encoded if self._reader is None else self._reader.with_text(encoded, rows)

    def predict(self, rows: UserRows) -> np.ndarray:
        """Return the probability of each target for each row, float32 [B, C]."""
        said = self._said(rows)
        return said if self.calibration is None else self.calibration.apply(said)

    def _said(self, rows: UserRows) -> np.ndarray:
        """Return what the model itself says, float32 [B, C]."""
        if isinstance(self._model, RateNet):
            return self._model.predict(rows, self.calendar, self.vocabulary.horizons)
        assert self._probabilities is not None  # only a rate has none
        if 0 < len(rows) <= ROWS:
            return self._probabilities(self.encode(rows))
        parts = [
            self._probabilities(self.encode(rows.take(np.arange(start, min(start + ROWS, len(rows))))))
            for start in range(0, len(rows), ROWS)
        ]
        return np.concatenate(parts) if parts else np.empty((0, self.shape.targets), dtype=np.float32)

    def save(self, folder: Path) -> None:
        """Write the model folder's files, making the folder."""
        self.vocabulary.save(folder / VOCABULARY)
        if isinstance(self._model, RateNet | Forest | Ensemble):
            self._model.save(folder)
        else:
            from components.intent import model

            model.save(self.net, folder)
        if self.profile is not None:
            config = files.read_json(folder / CONFIG)
            files.write_json(folder / CONFIG, config | {"profile": list(self.profile)})
        if self.events is not None:
            config = files.read_json(folder / CONFIG)
            files.write_json(folder / CONFIG, config | self.events.document())
        if self.calibration is not None:
            self.calibration.save(folder)
        self.context.save(folder / CONTEXT)
        files.write_json(folder / CALENDAR, self.calendar.document())

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> "IntentScorer":
        """Read a model folder, the network as it was trained."""
        if (named := _without_network(folder)) is not None:
            return cls._read(folder, named)
        if numpy_net.shape_of(folder).architecture == ENSEMBLE:
            return cls._read(folder, Ensemble.load(folder, device))
        from components.intent import model

        return cls._read(folder, model.load(folder, device))

    @classmethod
    def served(cls, folder: Path) -> "IntentScorer":
        """Read a model folder, the network in the form that answers fastest: by torch only where no other is proven."""
        if numpy_net.shape_of(folder).architecture == ENSEMBLE:
            return cls._read(folder, Ensemble.load_served(folder))
        form = _without_network(folder) or numpy_net.served(folder)
        return cls.load(folder) if form is None else cls._read(folder, form)

    @classmethod
    def _read(cls, folder: Path, net: "Model") -> "IntentScorer":
        vocabulary, config = Vocabulary.load(folder / VOCABULARY), files.read_json(folder / CONFIG)
        return cls(
            net,
            vocabulary,
            TargetContext.load(folder / CONTEXT, n_targets=net.shape.targets),
            Calendar(**files.read_json(folder / CALENDAR)),
            config.get("profile"),
            Calibration.read(folder, vocabulary),
            EventCodes.of(config),
        )


def _without_network(folder: Path) -> RateNet | Forest | None:
    """Read a model folder that holds no network, None where it holds one."""
    architecture = numpy_net.shape_of(folder).architecture
    if architecture in rates.NAMES:
        return RateNet.load(folder)
    return Forest.load(folder) if architecture == TREES else None


def _reader_of(net: "Model", vocabulary: Vocabulary) -> Reader | None:
    """Return what turns rows into tokens for a model that reads text, None for others."""
    if net.shape.architecture != TEXT or net.shape.text is None or isinstance(net, Forest | Ensemble | RateNet):
        return None
    told = net.weights["weeks.tokenizer"] if isinstance(net, NumpyNet) else net.weeks.tokenizer.cpu().numpy()
    return Reader.of(net.shape.text, told.tobytes(), vocabulary)


def _forward_of(net: "IntentNet | NumpyNet | Forest | Ensemble") -> Callable[[Encoded], np.ndarray]:
    """Return what scores encoded rows, float32 [B, C] probabilities: a trained network one row at a time by a trace."""
    if isinstance(net, Ensemble):
        return partial(net.said_by, {name: _forward_of(one) for name, one in net.members.items()})
    if isinstance(net, NumpyNet | Forest):
        return net.probabilities
    from components.intent import traced

    return traced.Forward(net)
