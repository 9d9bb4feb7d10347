"""The items of the last run with their texts and vectors, as the verbs read them that look at texts."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo import columns
from feature_repo.errors import DataError, SpecError
from feature_repo.item_vectors import text_digest, unit
from pipelines.environment import Installation
from pipelines.runs import local
from pipelines.runs.local import Run

Say = Callable[[str], None]


@dataclass(frozen=True)
class ItemTexts:
    """Items and what they say of themselves."""

    run: Run
    items: pa.Table
    texts: list[str]  # [I] '' for none

    @property
    def ids(self) -> list[str]:
        """Return the items' ids."""
        return [str(one) for one in self.items[columns.ITEM_ID].to_pylist()]

    @property
    def distinct(self) -> dict[str, str]:
        """Return each text once, by its digest, in the order of the items."""
        return {text_digest(one): one for one in self.texts if one}


def require_texts(place: Installation, verb: str, *, why: str) -> None:
    """Refuse, in a line, specs whose items have no texts that may be read."""
    spec = place.spec
    if spec.data.items_are_users:
        raise SpecError(f"{verb}: items are users, whose texts stay in the source; it reads texts of things")
    if spec.vectors is None or spec.vectors.text is None:
        raise SpecError(
            f"{place.spec_path}: {verb} {why}, and the spec has none; add "
            "`vectors: {text: {encoder: minilm, columns: [title]}}`"
        )


def of_last_run(place: Installation) -> ItemTexts:
    """Read the items of the last finished run."""
    from components.vectors import build

    last = local.last_run(place.home)
    if last is None:
        raise SpecError(f"{place.home}: no finished run to read; `intentflow run {place.spec_path}` makes one")
    assert place.spec.vectors is not None
    assert place.spec.vectors.text is not None
    items = pq.read_table(last.folders["clean"] / "items.parquet")
    texts = build.texts_of(items, place.spec.vectors)
    if not any(texts):
        named = ", ".join(place.spec.vectors.text.columns)
        raise DataError(f"vectors.text.columns: no item has a text in {named}; name others")
    return ItemTexts(last, items, texts)


def vectors_of(place: Installation, found: ItemTexts, say: Say) -> tuple[np.ndarray, np.ndarray]:
    """Return the items' vectors, of length 1, zeros where there is none [I, D], and which items have one [I]."""
    from components.vectors import build

    assert place.spec.vectors is not None
    work = build.Work(place.spec_path.absolute().parent, place.home, time.monotonic, lambda share, note: None)
    say(f"vectors of {len(found.distinct):,} texts …")
    made = build.encoded(found.distinct, place.spec.vectors, work)
    if made.waiting:
        say(f"{made.waiting:,} texts are left out: vectors.text.seconds is over; run it again to go on")
    width = len(next(iter(made.vectors.values())))
    vectors = np.zeros((len(found.texts), width), np.float32)
    known = np.array([text_digest(one) in made.vectors for one in found.texts])
    for at in np.flatnonzero(known):
        vectors[at] = made.vectors[text_digest(found.texts[at])]
    return unit(vectors), known
