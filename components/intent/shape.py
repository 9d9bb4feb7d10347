"""What an intent network is built from: the spec's part of it, and the sizes that the data gives it."""

from dataclasses import dataclass


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
