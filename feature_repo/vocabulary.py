"""The vocabularies that arrays are aligned to: targets (an intent and a value) and items.

Both are fitted on training weeks only, travel with the release, and are named by their digest.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo import columns, files
from feature_repo.signs import NONE, Signs

MEANING = "meaning.json"  # what the digest covers beside targets and items; absent in folders of before
KNOWN_ITEMS = "known_items.npy"  # absent in folders of before
WHOLE = "whole_history"
SIGNS = "signs"
PEOPLE = "people"
ERASED = "erased.json"  # beside tables from which forgotten people were taken (erasure.py); absent where nobody was


@dataclass(frozen=True)
class Target:
    """One y that the intent model predicts. `value` is None for an intent without a level."""

    intent: str
    value: str | None
    event: str | None
    column: str | None
    horizon: int = 1  # steps of the clock that y looks ahead

    @property
    def name(self) -> str:
        """Name it as answers show it.

        >>> Target("buy", "SOUP", "purchase", "category").name, Target("visit", None, None, None).name
        ('buy:SOUP', 'visit')
        """
        return f"{self.intent}:{self.value}" if self.value is not None else self.intent

    def document(self) -> dict[str, Any]:
        """Return it as files hold it, without a horizon of one step, which files of before horizons do not name."""
        return {name: value for name, value in asdict(self).items() if name != "horizon" or value != 1}


@dataclass(frozen=True)
class Vocabulary:
    """Targets by position, items by position, and which targets an event with an item can fulfil.

    `items` has item_index, item_id, title, category, category_path, brand, price and attributes.
    `item_targets` has item_id, target_id and kind (the event kind that counts, '' for any) of every item of the
    catalogue, recommendable or not; targets without a level are not in it, since any item fulfils them.
    """

    targets: tuple[Target, ...]
    items: pa.Table
    item_targets: pa.Table
    segments: str = ""  # digest of the segments that a row's `segment` counts; '' where none were fitted
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # values that a row's codes count
    known_items: np.ndarray | None = field(default=None, compare=False)  # as `hashed` gives it; None: not on record
    people: bool = field(default=False, kw_only=True)  # items are users, by pseudonym; rows say who acted on them
    whole_history: bool = False  # rows hold all items that a user ever had, not the strongest columns.HISTORY_LIMIT
    signs: Signs = NONE  # what each kind of event says of an item, where the spec declares kinds
    learnt: int | None = None  # models and rows know the first so many items; the others came later. None: all
    released_as: str = field(default="", kw_only=True)  # the digest before forgotten people were taken out of the items

    @cached_property
    def digest(self) -> str:
        """Digest of what positions mean: rows of two vocabularies with the same digest say the same by the same.

        Whole histories are rows of their own: where they lay beside cut ones, a service that cuts would spoil them.
        Items that came later (feature_repo/live_items.py) are in no row, and in no digest. A row that names nobody any
        more keeps its position: rows and models stay valid, so the digest is the one from before.
        """
        if self.released_as:
            return self.released_as
        meant = {"targets": [t.name for t in self.targets], "items": self.item_ids[: self.learnt]}
        more = {
            "segments": self.segments,
            "attributes": {name: list(v) for name, v in self.attributes.items()},
            WHOLE: self.whole_history,
            "horizons": [t.horizon for t in self.targets] if (self.horizons > 1).any() else [],
            SIGNS: self.signs.as_dict() if self.signs.declared else {},
            PEOPLE: self.people,
        }
        return files.digest(meant | {name: value for name, value in more.items() if value})

    @property
    def history_limit(self) -> int | None:
        """Return how many items a row keeps of a user's past, None for all."""
        return None if self.whole_history else columns.HISTORY_LIMIT

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

    @cached_property
    def horizons(self) -> np.ndarray:
        """Steps that each target looks ahead, int64 by position."""
        return np.asarray([t.horizon for t in self.targets], dtype=np.int64)

    @cached_property
    def targets_of_item(self) -> dict[str, tuple[int, ...]]:
        """Leveled targets by item id, whatever the event kind."""
        found: dict[str, list[int]] = {}
        for item, target in zip(
            self.item_targets["item_id"].to_pylist(), self.item_targets["target_id"].to_pylist(), strict=True
        ):
            found.setdefault(item, []).append(target)
        return {item: tuple(sorted(targets)) for item, targets in found.items()}

    def fulfilled(self, item_id: str, event: str) -> tuple[int, ...]:
        """Return the targets that one event fulfils: the item's, and those that any item fulfils.

        An event that says that an item was not wanted fulfils no intent of any kind with the item's category.
        """
        leveled = self.targets_of_item.get(item_id, ())
        leveled = leveled if self.signs.shows_interest(event) else self._of_a_kind(leveled)
        return tuple(i for i in sorted({*leveled, *self._of_any_item}) if self.targets[i].event in (None, event))

    @cached_property
    def _of_any_item(self) -> tuple[int, ...]:
        """Return the targets that events with any item fulfil."""
        return tuple(i for i, target in enumerate(self.targets) if target.column is None)

    def _of_a_kind(self, targets: Iterable[int]) -> tuple[int, ...]:
        """Keep the targets that name a kind of event."""
        return tuple(target for target in targets if self.targets[target].event is not None)

    def knows(self, item_id: str) -> bool:
        """Tell whether an item is in the catalogue, recommendable or not; where none is on record, every item is."""
        known = self.known_items
        if known is None or item_id in self.index_of_item or item_id in self.targets_of_item:
            return True
        (wanted,) = hashed([item_id])
        place = int(np.searchsorted(known, wanted))
        return place < len(known) and bool(known[place] == wanted)

    def save(self, folder: Path) -> None:
        """Write targets.json, meaning.json, items.parquet and item_targets.parquet, making the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "targets.json").write_text(files.canonical([t.document() for t in self.targets]) + "\n")
        declared = {name: list(values) for name, values in self.attributes.items()}
        whole: dict[str, object] = {
            name: True for name, said in ((WHOLE, self.whole_history), (PEOPLE, self.people)) if said
        }
        whole |= {SIGNS: self.signs.as_dict()} if self.signs.declared else {}
        files.write_json(folder / MEANING, {"segments": self.segments, "attributes": declared} | whole)
        pq.write_table(self.items, folder / "items.parquet")
        pq.write_table(self.item_targets, folder / "item_targets.parquet")
        if self.known_items is not None:
            np.save(folder / KNOWN_ITEMS, self.known_items)
        if self.released_as:
            files.write_json(folder / ERASED, {"vocabulary": self.released_as})

    @classmethod
    def load(cls, folder: Path) -> "Vocabulary":
        """Read what `save` wrote."""
        targets = tuple(Target(**t) for t in files.read_json(folder / "targets.json"))
        items, pairs = (pq.read_table(folder / f"{name}.parquet") for name in ("items", "item_targets"))
        meaning = files.read_json(folder / MEANING) if (folder / MEANING).is_file() else {}
        declared = {name: tuple(values) for name, values in meaning.get("attributes", {}).items()}
        known = np.load(folder / KNOWN_ITEMS) if (folder / KNOWN_ITEMS).is_file() else None
        whole, people = (bool(meaning.get(name)) for name in (WHOLE, PEOPLE))
        note = files.read_json(folder / ERASED) if (folder / ERASED).is_file() else {}
        return cls(
            targets, items, pairs, meaning.get("segments", ""), declared, known,
            whole_history=whole, signs=Signs.of(meaning.get(SIGNS, {})), people=people,
            released_as=str(note.get("vocabulary", "")),
        )  # fmt: skip


def hashed(item_ids: Iterable[str]) -> np.ndarray:
    """Return the ids' 64-bit hashes in order: an eighth of the memory of their texts, and no two alike by chance."""
    digests = (hashlib.blake2b(item.encode(), digest_size=8).digest() for item in item_ids)
    return np.sort(np.frombuffer(b"".join(digests), dtype="<u8"))
