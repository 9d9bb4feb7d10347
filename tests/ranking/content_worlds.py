"""Vectors of the checkerboard's items, and a checkerboard on which texts tell what popularity cannot."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from components.vectors.build import Work, build
from components.vectors.spec import Text, Vectors
from feature_repo.item_vectors import ItemVectors, Part, text_digest
from feature_repo.vocabulary import Vocabulary

SPEC = Vectors(text=Text(columns=("title",)))
EVEN = ("red wine", "dry red wine", "old red wine", "red wine of the south", "young red wine")
ODD = ("motor oil", "winter motor oil", "motor oil for trucks", "synthetic motor oil", "cheap motor oil")


def of_rows(rows: Sequence[Sequence[float]], *, encoder: str = "e") -> ItemVectors:
    """Return vectors of texts, one an item; a row of zeros is none."""
    vectors = np.asarray(rows, np.float16)
    place = np.where(vectors.any(axis=1), np.arange(len(rows)), -1).astype(np.int32)
    about = {"digest": encoder, "spec": SPEC.slice(), "counts": {}}
    digests = tuple(text_digest(f"text {n}") if at >= 0 else "" for n, at in enumerate(place))
    return ItemVectors(about, Part(vectors, place), Part.none(len(rows)), {"text": digests, "image": ("",) * len(rows)})


def vectors_of_numbers(n_items: int) -> ItemVectors:
    """Return vectors on a half circle: items are alike whose numbers are near; the last has none."""
    angle = np.linspace(0.0, np.pi, n_items)
    rows = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    rows[-1] = 0.0
    return of_rows(rows.tolist())


def titles(vocabulary: Vocabulary) -> list[str]:
    """Title even items as wine and odd ones as oil."""
    return [(ODD if n % 2 else EVEN)[n // 2 % 5] for n in range(len(vocabulary.item_ids))]


def titled(vocabulary: Vocabulary, more: Mapping[str, Sequence[object]] | None = None) -> Vocabulary:
    """Return the vocabulary with those titles, and other columns."""
    import dataclasses

    import pyarrow as pa

    items = vocabulary.items
    for name, values in {"title": titles(vocabulary), **(more or {})}.items():
        column = pa.array(values)
        at = items.schema.get_field_index(name)
        items = items.append_column(name, column) if at < 0 else items.set_column(at, name, column)
    return dataclasses.replace(vocabulary, items=items)


def hashed(vocabulary: Vocabulary, home: Path | None = None) -> ItemVectors:
    """Encode the titles of a vocabulary by hash."""
    work = Work(Path(), home, lambda: 0.0)
    return build(vocabulary.items, np.zeros(vocabulary.items.num_rows), SPEC, work)
