"""What people did, as texts: a behaviour is one user with one item, with all within a step of the clock, or with all.

Its vector is the mean of its items' text vectors, each weighted by how rare the item is: what everybody takes says
little of why somebody came. Pure: tables and vectors in, arrays out.

Letters: I items, E events, N behaviours, U users, D components.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from feature_repo import columns
from feature_repo.calendar import Calendar
from feature_repo.item_vectors import unit

MICROSECONDS = 1_000_000
Unit = Literal["item", "step", "user"]


@dataclass(frozen=True)
class Acts:
    """Who acted on what, and when: one line an event."""

    user: np.ndarray  # [E] int64, from 0
    item: np.ndarray  # [E] int64, position in the items
    step: np.ndarray  # [E] int64
    kind: np.ndarray  # [E] str


@dataclass(frozen=True)
class Behaviours:
    """What was acted on together, and by whom."""

    user: np.ndarray  # [N] int64
    items: sparse.csr_matrix  # [N, I] 0 and 1
    vectors: np.ndarray  # [N, D] float32, of length 1

    def __len__(self) -> int:
        return len(self.user)

    def take(self, index: np.ndarray) -> "Behaviours":
        """Return those in `index`."""
        return Behaviours(self.user[index], self.items[index], self.vectors[index])


def acts_of(
    events: pa.Table, item_ids: list[str], known: np.ndarray, *, calendar: Calendar, before: int, kinds: Collection[str]
) -> Acts:
    """Return the events before a step that are of `kinds` (empty: of any) and on an item with a vector, `known` [I]."""
    place = pc.index_in(events[columns.ITEM_ID].cast(pa.string()), pa.array(item_ids, pa.string()))
    item = place.fill_null(-1).to_numpy().astype(np.int64)
    kind = events[columns.EVENT].to_numpy(zero_copy_only=False).astype(str)
    at = events[columns.TIMESTAMP].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy() // MICROSECONDS
    step = calendar.weeks(at)
    kept = (item >= 0) & known[np.maximum(item, 0)] & (step < before)
    if kinds:
        kept &= np.isin(kind, list(kinds))
    names = events[columns.USER_ID].to_numpy(zero_copy_only=False)[kept].astype(str)
    user = np.unique(names, return_inverse=True)[1]
    return Acts(user.astype(np.int64), item[kept], np.asarray(step)[kept], kind[kept])


def behaviours(acts: Acts, vectors: np.ndarray, *, by: Unit) -> Behaviours:
    """Put together what a user acted on by a unit; `vectors` [I, D] are of items, each of length 1."""
    within = {"item": acts.item, "step": acts.step, "user": np.zeros_like(acts.step)}[by]
    keys, row = np.unique(np.stack([acts.user, within], axis=1), axis=0, return_inverse=True)
    shape = (len(keys), len(vectors))
    items = sparse.csr_matrix((np.ones(len(acts.item), np.float32), (row.ravel(), acts.item)), shape=shape)
    items.data[:] = 1
    often = np.asarray(items.sum(axis=0)).ravel()  # [I]
    rare = np.log((1 + len(keys)) / (1 + often)).astype(np.float32) + 0.1  # one that is in all of them counts a little
    return Behaviours(keys[:, 0], items, unit(np.asarray(items.multiply(rare).tocsr() @ vectors, dtype=np.float32)))
