"""What an intent network is built from: the spec's part of it, and the sizes that the data gives it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

CONFIG = "config.json"  # of a model folder
HEAD_WIDTH = 16  # of the attention's heads
OF_EVENTS = ("events", "kinds", "bands", "event_numbers", "items", "texts")  # sizes that only a network of events has
GRAPH = "onnx"  # of `text`: bytes of the encoder's graph in int8, where compression made one
COMPRESSED = ("user_units", "pair_units", "mix_units", "inner_units", "stored")  # what compression makes of a shape


@dataclass(frozen=True)
class Shape:
    """What the network is built from; `config.json` holds it."""

    architecture: str
    width: int
    layers: int
    dropout: float
    targets: int
    weeks: int
    frequency: int
    profile: int
    segments: int
    components: int | None = None  # that the profile's numbers are projected to; None: the numbers themselves
    text: Mapping[str, Any] | None = None  # of the encoder of texts (behaviour/sources.py); None: it reads steps
    events: int | None = None  # that the encoder reads of the user's memory, at most; None: it reads weeks
    kinds: int = 0  # of events, told apart
    bands: int = 0  # of money, told apart
    event_numbers: int = 0  # a token holds
    items: int = 0  # whose frozen text vectors the network holds; 0: it reads no titles
    texts: int = 0  # components of these vectors
    user_units: int | None = None  # hidden units of the user's layer that pruning left; None: as many as `width`
    pair_units: int | None = None  # likewise of the layer that all targets share
    mix_units: int | None = None  # likewise of the one behind it; None: half of `width`
    inner_units: int | None = None  # likewise within a transformer's blocks; None: twice the `width`
    stored: str | None = None  # int8: the weights' file holds bytes and scales; None: float32

    @property
    def heads(self) -> int:
        """Return how many heads a transformer's attention has."""
        return max(1, self.width // HEAD_WIDTH) if self.width % HEAD_WIDTH == 0 else 1

    @property
    def length(self) -> int:
        """Return how many tokens the encoder reads at most."""
        return self.weeks if self.events is None else self.events

    @property
    def user_inputs(self) -> int:
        """Return how many numbers of the profile reach the first layer."""
        return self.profile if self.components is None else self.components

    @property
    def units(self) -> tuple[int, int, int]:
        """Return how many hidden units the layers of the user, of pairs and of the mix have."""
        return self.user_units or self.width, self.pair_units or self.width, self.mix_units or self.width // 2

    @property
    def asked(self) -> dict[str, Any]:
        """Return the sizes that spec and rows decide: what pruning and storage made of them is left out."""
        left = COMPRESSED if self.events is not None else (*COMPRESSED, *OF_EVENTS)  # newer than recorded conditions
        found = {name: value for name, value in asdict(self).items() if name not in left}
        if self.text is not None:
            found["text"] = {name: value for name, value in self.text.items() if name != GRAPH}
        return found

    def document(self) -> dict[str, Any]:
        """Return what `config.json` holds of it."""
        newer = {} if self.events is not None else dict.fromkeys(OF_EVENTS)
        return {name: value for name, value in asdict(self).items() if value is not None and name not in newer}
