"""Read which stored numbers the models of a training set do without (`features.json`, which the training set makes).

The same file says what the spec asks of the numbers that the intent model sees: how many of the most relevant, and
whether they are reduced. A model keeps what it was trained on in its own folder: this is read in training only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feature_repo import files

FILE = "features.json"
SELECTION, REDUCE = "selection", "reduce"  # keys of it


@dataclass(frozen=True)
class Relevance:
    """How many numbers of the profile the intent model sees: the most important for the intents."""

    k: int
    join: str  # over intents: mean or max


@dataclass(frozen=True)
class Reduction:
    """That the intent model sees principal components of the profile's numbers."""

    components: int | float  # how many, or the share of the variance that they keep


@dataclass(frozen=True)
class Asked:
    """What a spec asks of the numbers of the profile that the intent model sees; None: nothing."""

    relevance: Relevance | None = None
    reduction: Reduction | None = None

    @classmethod
    def of(cls, features: Mapping[str, Any]) -> "Asked":
        """Read it from what features.json holds.

        >>> Asked.of({"selection": {"relevance": "top_k", "k": 3, "join": "max"}, "reduce": {"components": 0.9}})
        Asked(relevance=Relevance(k=3, join='max'), reduction=Reduction(components=0.9))
        """
        selection, reduce = features.get(SELECTION, {}), features.get(REDUCE)
        return cls(
            Relevance(selection["k"], selection["join"]) if selection.get("relevance") else None,
            None if reduce is None else Reduction(reduce["components"]),
        )


NOTHING = Asked()


def dropped(rows: Path) -> frozenset[str]:
    """Return the names of the dropped columns of a `rows` folder; none where the file is absent."""
    return frozenset(name for table in _read(rows).get("tables", {}).values() for name in table["dropped"])


def asked(rows: Path) -> Asked:
    """Return what is asked of the numbers that the intent model sees; nothing where the file is absent."""
    return Asked.of(_read(rows))


def kept(names: Sequence[str], without: frozenset[str]) -> tuple[str, ...]:
    """Return the features that are no dropped column, in their order; a feature is named after the column it shows.

    >>> kept(["share_1w", "trend"], frozenset({"share_1w"}))
    ('trend',)
    """
    return tuple(name for name in names if name not in without)


def _read(rows: Path) -> dict[str, Any]:
    path = rows / FILE
    return dict(files.read_json(path)) if path.is_file() else {}
