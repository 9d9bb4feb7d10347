"""What an item's text is about, in a few numbers that mean the same next year: its vector from fixed directions.

Components of a vector are too many to watch one by one, and axes that are fitted to a catalogue turn with it, so that
a history of them would compare nothing. Random directions (Johnson and Lindenstrauss 1984) keep a shift of the mean as
large, in deviations, as it is; they are drawn by the encoder's digest, which is in their names.

Letters: I items, D components of a vector, K directions.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_repo import columns
from feature_repo.item_vectors import ITEMS, ItemVectors
from monitoring.drift.observed import ItemTexts

DIRECTIONS = 6


def read(folder: Path, items: pa.Array) -> ItemTexts | None:
    """Return the texts of items [I] by a release's vectors; None where it has none of texts."""
    listed = pq.read_table(folder / ITEMS, columns=[columns.ITEM_ID])[columns.ITEM_ID]
    vectors = ItemVectors.load(folder, listed.to_pylist())
    if not vectors.text.vectors.shape[1]:
        return None
    along, place = directions(vectors.encoder, vectors.text.vectors.shape[1]), vectors.text.place
    seen = np.full((len(place) + 1, DIRECTIONS), np.nan, dtype=np.float32)  # the last for items that it does not list
    has = np.flatnonzero(place >= 0)
    seen[has] = (vectors.text.vectors.astype(np.float32) @ along)[place[has]]
    at = pc.fill_null(pc.index_in(items.cast(pa.string()), listed.combine_chunks()), len(place)).to_numpy()
    names = tuple(f"{vectors.encoder[:4]}.{number + 1}" for number in range(DIRECTIONS))
    return ItemTexts(names, seen[at])


def directions(encoder: str, width: int) -> np.ndarray:
    """Return the directions of an encoder, each of length 1, float32 [D, K].

    >>> bool((directions("ab", 8) == directions("ab", 8)).all())
    True
    """
    drawn = np.random.default_rng(list(encoder.encode())).normal(size=(width, DIRECTIONS))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=0), dtype=np.float32)
