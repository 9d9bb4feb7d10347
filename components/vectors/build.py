"""The vectors of a release's items: texts encoded, images read, each distinct one once, aligned to the vocabulary.

Letters: I items.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from components.vectors import encoders, image, summaries, text
from components.vectors.cache import Cache
from components.vectors.encoders import Encoder
from components.vectors.spec import Vectors
from components.vectors.text import Clock, Encoded, Report
from feature_repo import files
from feature_repo.item_vectors import (
    IMAGE,
    TEXT,
    ItemVectors,
    Part,
    distinct,
    image_digest,
    text_digest,
    text_of,
)


@dataclass(frozen=True)
class Work:
    """What encoding needs from outside: the spec's folder, the state folder, the clock, and who is told."""

    base: Path  # a spec's relative folder begins here
    home: Path | None  # of the cache; None: nothing is kept
    clock: Clock
    report: Report = field(default=lambda share, note: None)


def made_by(spec: Vectors, base: Path) -> str:
    """Return the digest of what makes the vectors: vectors of two digests do not compare."""
    encoder = encoders.identity(spec.text.encoder, base) if spec.text else ""
    of_text = [encoder, list(spec.text.columns), *summaries.identity(spec.text.summaries, base)] if spec.text else None
    return files.digest({TEXT: of_text, IMAGE: spec.image and spec.image.column})


def build(items: pa.Table, popularity: np.ndarray, spec: Vectors, work: Work) -> ItemVectors:
    """Return the vectors of items [I]; those that are most popular, float [I], are encoded first."""
    n_items, order = items.num_rows, np.lexsort((np.arange(items.num_rows), -popularity))
    about: dict[str, Any] = {"digest": made_by(spec, work.base), "spec": spec.slice(), "items": n_items}
    texts, found = texts_of(items, spec), Encoded({}, 0, 0, 0)
    if spec.text is not None:
        by_digest = {text_digest(texts[item]): texts[item] for item in order if texts[item]}
        found = encoded(by_digest, spec, work)
    names, rows = image.ids(items), image_rows(items, spec)
    images = image.vectors(names, rows)
    own = {item: image_digest(row) for item, row in zip(names, rows, strict=True) if item in images}
    text_part = _part([text_digest(one) for one in texts], found.vectors)
    image_part = _part([own.get(one, "") for one in names], {own[item]: vector for item, vector in images.items()})
    counts = {
        "texts": len(found.vectors) + found.waiting,
        "encoded": found.computed,
        "cached": found.cached,
        "waiting": found.waiting,
        "images": int((image_part.place >= 0).sum()),
        "without": int(((text_part.place < 0) & (image_part.place < 0)).sum()),
    }
    known = zip(texts, text_part.place >= 0, strict=True)
    digests = {
        TEXT: tuple(text_digest(one) if has else "" for one, has in known),
        IMAGE: tuple(own.get(one, "") for one in names),
    }
    return ItemVectors(about | {"counts": counts}, text_part, image_part, digests)


def encoded(texts: Mapping[str, str], spec: Vectors, work: Work) -> Encoded:
    """Encode texts by digest, in their order, within the spec's budget; one with a summary is read with it.

    Vectors stand under the digest of the item's own text; the cache has them under that of what was read.
    """
    assert spec.text is not None
    name, base = spec.text.encoder, work.base
    read = summaries.read_with(texts, spec.text.summaries, base)
    cache = Cache(work.home, encoders.identity(name, base))

    def opened() -> Encoder:
        return encoders.opened(name, base)

    by_digest = {text_digest(one): one for one in read.values()}
    found = text.encoded(by_digest, opened, cache, seconds=spec.text.seconds, clock=work.clock, report=work.report)
    if spec.text.summaries is None:
        return found
    own = {mine: found.vectors[of] for mine, one in read.items() if (of := text_digest(one)) in found.vectors}
    return replace(found, vectors=own)


def texts_of(items: pa.Table, spec: Vectors) -> list[str]:
    """Return each item's text, '' where it has none or none are asked for; refuse columns that hold no text."""
    if spec.text is None:
        return [""] * items.num_rows
    text.require_columns(items, spec.text.columns)
    rows = items.select(list(dict.fromkeys(spec.text.columns))).to_pylist()
    return [text_of(row, spec.text.columns) for row in rows]


def image_rows(items: pa.Table, spec: Vectors) -> Sequence[list[Any] | None]:
    """Return each item's own image vector as its table has it, None where it has none or none are asked for."""
    return image.rows_of(items, spec.image.column) if spec.image else [None] * items.num_rows


def _part(digests: Sequence[str], vectors: Mapping[str, np.ndarray]) -> Part:
    """Put each distinct vector into an array, and say which one every item has."""
    place_of = distinct(digest for digest in digests if digest in vectors)
    if not place_of:
        return Part.none(len(digests))
    place = np.asarray([place_of.get(digest, -1) for digest in digests], dtype=np.int32)
    return Part(np.stack([vectors[digest] for digest in place_of]).astype("<f2"), place)
