"""Vectors of items as arrays: what a release holds of their texts and images, and what the document log says later.

The step `item_vectors` writes a folder of them beside the rows, the ranker keeps it, a door reads it: numpy alone, no
encoder. A text that several items share has one vector. An item's whole vector is its parts side by side, each of
length 1, and of length 1 itself: the cosine of two items is the mean of their parts' where both have both.

Letters: I items, T distinct texts, J distinct images, D components.
"""

import base64
import hashlib
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo import columns, files
from feature_repo.errors import DataError

FOLDER = "vectors"  # of rows, and of a ranker
ABOUT, ITEMS = "vectors.json", "items.parquet"
TEXT, IMAGE = "text", "image"
PARTS = (TEXT, IMAGE)
SUMMARY_COLUMNS = ("digest", "summary", "made_by")  # of a file with summaries of texts, by the texts' digests
LONGEST_TEXT = 1000  # characters of an item's text that are read
BY_ENCODER = "by_encoder"  # of a document in the log: what each release's encoder says of the item
STORED = np.dtype("<f2")
Document = Mapping[str, Any]


def text_of(row: Mapping[str, Any], names: Sequence[str]) -> str:
    """Return the text that an item is known by: its columns in order, those with several values joined, '' for none.

    >>> text_of({"title": " Red  wine", "genres": ["dry", None, "old"], "brand": None}, ["title", "genres", "brand"])
    'Red wine. dry, old'
    """
    parts = []
    for name in names:
        value = row.get(name)
        values = value if isinstance(value, list) else [value]
        words = [" ".join(unicodedata.normalize("NFC", str(one)).split()) for one in values if one is not None]
        parts.append(", ".join(word for word in words if word))
    return ". ".join(part for part in parts if part)[:LONGEST_TEXT]


def text_digest(text: str) -> str:
    """Return the digest that names a text's vector, '' for no text."""
    return hashlib.sha256(text.encode()).hexdigest()[:32] if text else ""


def image_digest(vector: Sequence[Any] | None) -> str:
    """Return the digest of an item's own image vector as its table has it, '' for none: one of zeros is none.

    >>> image_digest([0.0, "0"]), image_digest(None), len(image_digest([0.0, 1.0]))
    ('', '', 32)
    """
    if not vector or all(_is_zero(one) for one in vector):
        return ""
    return hashlib.sha256(files.canonical([str(one) for one in vector]).encode()).hexdigest()[:32]


def _is_zero(value: Any) -> bool:
    try:
        return float(value) == 0
    except (TypeError, ValueError):  # refused where vectors are read, by item and value
        return False


@dataclass(frozen=True)
class Part:
    """The vectors of one part, each once, and which one every item has."""

    vectors: np.ndarray  # [T, D] float16, each of length 1
    place: np.ndarray  # [I] int32: the item's vector; -1: none

    @classmethod
    def none(cls, n_items: int, width: int = 0) -> "Part":
        """Return a part that no item has."""
        return cls(np.zeros((0, width), STORED), np.full(n_items, -1, np.int32))

    @property
    def dense(self) -> np.ndarray:
        """Return every item's vector, zeros where it has none, float32 [I, D]."""
        padded = np.concatenate([self.vectors, np.zeros((1, self.vectors.shape[1]), STORED)])  # the last for -1
        return np.asarray(padded[self.place], dtype=np.float32)

    def grown(self, n_items: int, said: Mapping[int, np.ndarray], gone: Collection[int] = ()) -> "Part":
        """Return the same over more items, with other vectors [D] where something is said, none where it is gone."""
        place = np.full(n_items, -1, np.int32)
        place[: len(self.place)] = self.place
        place[list(gone)] = -1
        for number, item in enumerate(said):
            place[item] = len(self.vectors) + number
        return Part(np.concatenate([self.vectors, *(one[None] for one in said.values())]), place)


@dataclass(frozen=True)
class ItemVectors:
    """What a release knows of its items' texts and images."""

    about: Mapping[str, Any]  # the spec's slice, the encoder's digest, and counts
    text: Part
    image: Part
    digests: Mapping[str, tuple[str, ...]]  # by part and item: of what its vector was made; '' where it has none

    def __len__(self) -> int:
        return len(self.text.place)

    @property
    def encoder(self) -> str:
        """Digest of what made the vectors; vectors of two digests do not compare."""
        return str(self.about["digest"])

    @property
    def columns_of_text(self) -> tuple[str, ...]:
        """Name the columns that an item's text is made of."""
        return tuple((self.about["spec"].get(TEXT) or {}).get("columns", ()))

    @property
    def column_of_image(self) -> str | None:
        """Name the column with the user's own image vectors."""
        found = (self.about["spec"].get(IMAGE) or {}).get("column")
        return None if found is None else str(found)

    @cached_property
    def known(self) -> np.ndarray:
        """Tell which items have a vector, bool [I]."""
        return np.asarray((self.text.place >= 0) | (self.image.place >= 0))

    @cached_property
    def whole(self) -> np.ndarray:
        """Return every item's vector, of length 1, zeros where it has none, float32 [I, D]."""
        parts = [unit(part.dense) for part in (self.text, self.image) if part.vectors.shape[1]]
        return unit(np.concatenate([np.zeros((len(self), 0), np.float32), *parts], axis=1))

    def wanted(self, row: Mapping[str, Any]) -> dict[str, str]:
        """Return of what an item's vectors are to be made, as digests by part."""
        column = self.column_of_image
        image = row.get(column) if column else None
        return {TEXT: text_digest(text_of(row, self.columns_of_text)), IMAGE: image_digest(image)}

    def over(
        self,
        items: pa.Table,
        documents: Mapping[int, Document],
        *,
        changed: Collection[int] = (),
        anew: Collection[int] = (),
    ) -> "ItemVectors":
        """Return the same over items that the log changes or adds, with the vectors that its documents hold.

        A document of an item that has a vector counts only where it was made of what the item says now: an older
        release's, or one of a text that was changed since, is left alone. What the log changed (`changed`) and now says
        nothing has no vector; of an item of which the log says everything (`anew`: the id may be another thing's), one
        that was made of something else counts no more.
        """
        said: dict[str, dict[int, np.ndarray]] = {part: {} for part in PARTS}
        gone: dict[str, list[int]] = {part: [] for part in PARTS}
        own = {part: getattr(self, part) for part in PARTS}
        more = [""] * (items.num_rows - len(self))
        digests = {part: [*self.digests[part], *more] for part in PARTS}
        for item, now in self._now(items, sorted({*documents, *changed})).items():
            mine = documents.get(item, {}).get(BY_ENCODER, {}).get(self.encoder, {})
            for part in PARTS:
                has = item < len(self) and own[part].place[item] >= 0
                # A release that saw no image, say, has no width to compare one by.
                of = mine[part]["of"] if part in mine and own[part].vectors.shape[1] else None
                if of is not None and now[part] and (of == now[part] or not (has or item in anew)):
                    said[part][item] = unpacked(mine[part]["vector"], width=own[part].vectors.shape[1])
                    digests[part][item] = of
                elif has and item in changed and (not now[part] or (item in anew and digests[part][item] != now[part])):
                    gone[part].append(item)
                    digests[part][item] = ""
        grown = {part: own[part].grown(items.num_rows, said[part], gone[part]) for part in PARTS}
        return replace(self, digests={part: tuple(digests[part]) for part in PARTS}, **grown)

    def _now(self, items: pa.Table, places: Sequence[int]) -> dict[int, dict[str, str]]:
        """Return of what the vectors of some items are to be made, by position."""
        names = [name for name in (*self.columns_of_text, self.column_of_image) if name in items.column_names]
        rows = items.select(list(dict.fromkeys(names))).take(pa.array(places, pa.int64())).to_pylist()
        return dict(zip(places, map(self.wanted, rows or [{}] * len(places)), strict=True))

    def save(self, folder: Path, item_ids: Sequence[str]) -> None:
        """Write vectors.json, the arrays and the items that they are of into a folder, making it."""
        folder.mkdir(parents=True, exist_ok=True)
        files.write_json(folder / ABOUT, dict(self.about))
        table: dict[str, Any] = {columns.ITEM_ID: pa.array(item_ids, pa.string())}
        for part in PARTS:
            np.save(folder / f"{part}.npy", getattr(self, part).vectors)
            table |= {f"{part}_place": getattr(self, part).place, f"{part}_digest": list(self.digests[part])}
        pq.write_table(pa.table(table), folder / ITEMS)

    @classmethod
    def load(cls, folder: Path, item_ids: Sequence[str]) -> "ItemVectors":
        """Read what `save` wrote; refuse vectors of other items, and of no finite number."""
        table = pq.read_table(folder / ITEMS)
        if table[columns.ITEM_ID].to_pylist() != list(item_ids):
            raise DataError(f"{folder}: its {table.num_rows} items are not the vocabulary's {len(item_ids)}; run again")
        parts = {
            part: Part(np.load(folder / f"{part}.npy"), table[f"{part}_place"].to_numpy().astype(np.int32))
            for part in PARTS
        }
        for name, part in parts.items():
            if not np.isfinite(part.vectors).all():
                raise DataError(f"{folder / name}.npy: holds a number that is not finite; run the step again")
            if part.place.max(initial=-1) >= len(part.vectors):
                raise DataError(f"{folder / name}.npy: has {len(part.vectors)} vectors, and an item names another")
        digests = {part: tuple(table[f"{part}_digest"].to_pylist()) for part in PARTS}
        return cls(files.read_json(folder / ABOUT), parts[TEXT], parts[IMAGE], digests)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scale rows to length 1; rows of zeros stay.

    >>> unit(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6, 0.8], [0.0, 0.0]]
    """
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1.0))


def packed(vector: np.ndarray) -> str:
    """Write a vector as the log keeps it: half precision, base64."""
    return base64.b64encode(np.asarray(vector, STORED).tobytes()).decode()


def unpacked(text: str, *, width: int) -> np.ndarray:
    """Read what `packed` wrote; refuse another width.

    >>> unpacked(packed(np.array([0.5, -1.0])), width=2).tolist()
    [0.5, -1.0]
    """
    found = np.frombuffer(base64.b64decode(text), STORED)
    if len(found) != width or not np.isfinite(found).all():
        raise DataError(f"document log: a vector of {len(found)} numbers where {width} finite ones are expected")
    return found


def document(encoders: Mapping[str, Mapping[str, tuple[str, np.ndarray]]]) -> dict[str, Any]:
    """Return what the log says of an item: by encoder and part, of what the vector was made, and the vector."""
    return {
        BY_ENCODER: {
            encoder: {part: {"of": of, "vector": packed(vector)} for part, (of, vector) in parts.items()}
            for encoder, parts in encoders.items()
        }
    }


def distinct(digests: Iterable[str]) -> dict[str, int]:
    """Number the digests in the order in which they come, '' left out.

    >>> distinct(["b", "", "a", "b"])
    {'b': 0, 'a': 1}
    """
    return {digest: number for number, digest in enumerate(dict.fromkeys(one for one in digests if one))}
