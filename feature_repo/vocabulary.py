"""The vocabularies that arrays are aligned to: targets (an intent and a value) and items.

Both are fitted on training weeks only, travel with the release, and are named by their digest.
"""

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo import artifacts, columns


@dataclass(frozen=True)
class Target:
    """One y that the intent model predicts. `value` is None for an intent without a level."""

    intent: str
    value: str | None
    event: str | None
    column: str | None

    @property
    def name(self) -> str:
        """Name it as answers show it.

        >>> Target("buy", "SOUP", "purchase", "category").name, Target("visit", None, None, None).name
        ('buy:SOUP', 'visit')
        """
        return f"{self.intent}:{self.value}" if self.value is not None else self.intent


@dataclass(frozen=True)
class Vocabulary:
    """Targets by position, and the item table by position.

    `items` has item_index, item_id, title, category, category_path, brand, price and attributes, plus
    `target_ids` (list<int64>): the targets that an event with this item can fulfil.
    """

    targets: tuple[Target, ...]
    items: pa.Table

    @cached_property
    def digest(self) -> str:
        """Digest of what positions mean: two vocabularies with the same digest align arrays alike."""
        return artifacts.digest({"targets": [t.name for t in self.targets], "items": self.item_ids})

    @cached_property
    def item_ids(self) -> list[str]:
        """Item ids by position."""
        return [str(i) for i in self.items[columns.ITEM_ID].to_pylist()]

    @cached_property
    def index_of_item(self) -> dict[str, int]:
        """Position by item id."""
        return {item: index for index, item in enumerate(self.item_ids)}

    @cached_property
    def target_names(self) -> list[str]:
        """Names by position."""
        return [t.name for t in self.targets]

    def save(self, folder: Path) -> None:
        """Write targets.json and items.parquet into an existing folder."""
        (folder / "targets.json").write_text(artifacts.canonical([asdict(t) for t in self.targets]) + "\n")
        pq.write_table(self.items, folder / "items.parquet")

    @classmethod
    def load(cls, folder: Path) -> "Vocabulary":
        """Read what `save` wrote."""
        targets = tuple(Target(**t) for t in artifacts.read_json(folder / "targets.json"))
        return cls(targets, pq.read_table(folder / "items.parquet"))
