"""Read which stored numbers the models of a training set do without (`features.json`, which the training set makes).

A model keeps the names that it was trained on in its own config: this is read in training only.
"""

from collections.abc import Sequence
from pathlib import Path

from feature_repo import files

FILE = "features.json"


def dropped(rows: Path) -> frozenset[str]:
    """Return the names of the dropped columns of a `rows` folder; none where the file is absent."""
    path = rows / FILE
    if not path.is_file():
        return frozenset()
    tables = files.read_json(path)["tables"]
    return frozenset(name for table in tables.values() for name in table["dropped"])


def kept(names: Sequence[str], without: frozenset[str]) -> tuple[str, ...]:
    """Return the features that are no dropped column, in their order; a feature is named after the column it shows.

    >>> kept(["share_1w", "trend"], frozenset({"share_1w"}))
    ('trend',)
    """
    return tuple(name for name in names if name not in without)
