"""Who acted on whom, and since which week that is known: the file that the training rows bring to the ranker.

Where items are people an event is a tie between two of them. A pair is here once, from the first week in which any of
its events was known, so that a graph as of a week holds no tie of that week or a later one. People go by their position
among the items: the file names nobody.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_repo import columns
from feature_repo.calendar import Calendar

FILE = "edges.parquet"
ACTOR, TARGET, KNOWN = "actor", "target", "known"


@dataclass(frozen=True)
class Edges:
    """Pairs of people by position, E of them, each once."""

    actor: np.ndarray  # [E] int32
    target: np.ndarray  # [E] int32
    known: np.ndarray  # [E] int32: the week in which the pair became known

    def before(self, week: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the actors and targets of pairs that were known at the start of a week."""
        seen = self.known < week
        return self.actor[seen], self.target[seen]

    @classmethod
    def of(cls, events: pa.Table, item_ids: list[str], calendar: Calendar, *, event: str | None) -> "Edges":
        """Make them of canonical events; `event` is the kind that counts, None for any."""
        if event is not None:
            events = events.filter(pc.equal(events[columns.EVENT], event))
        people = pa.array(item_ids, pa.string())
        actor, target = (_places(events[name], people) for name in (columns.USER_ID, columns.ITEM_ID))
        at, created = (_seconds(events[name]) for name in (columns.TIMESTAMP, columns.CREATED_AT))
        both = np.flatnonzero((actor >= 0) & (target >= 0) & (actor != target))
        known = calendar.weeks(np.maximum(at, created)[both])
        pair = actor[both] * len(item_ids) + target[both]
        order = np.lexsort((known, pair))
        keys, first = np.unique(pair[order], return_index=True)
        one, other = np.divmod(keys, max(len(item_ids), 1))
        return cls(*(part.astype(np.int32) for part in (one, other, known[order][first])))

    def save(self, folder: Path) -> None:
        """Write the file into a folder."""
        table = pa.table({ACTOR: self.actor, TARGET: self.target, KNOWN: self.known})
        pq.write_table(table, folder / FILE, compression="zstd")

    @classmethod
    def load(cls, folder: Path) -> "Edges":
        """Read what `save` wrote."""
        table = pq.read_table(folder / FILE)
        return cls(*(table[name].to_numpy() for name in (ACTOR, TARGET, KNOWN)))


def write(clean: Path, destination: Path, item_ids: list[str], calendar: Calendar, *, event: str | None) -> None:
    """Write the edges of a `clean` folder's events."""
    wanted = [columns.USER_ID, columns.ITEM_ID, columns.EVENT, columns.TIMESTAMP, columns.CREATED_AT]
    events = pq.read_table(clean / "events.parquet", columns=wanted)
    Edges.of(events, item_ids, calendar, event=event).save(destination)


def _places(column: pa.ChunkedArray, people: pa.Array) -> np.ndarray:
    found = pc.fill_null(pc.index_in(column, people), -1)
    return np.asarray(found.to_numpy(), dtype=np.int64)


def _seconds(column: pa.ChunkedArray) -> np.ndarray:
    """Return times as epoch seconds, 0 where there is none."""
    whole = column.cast(pa.timestamp("s", tz="UTC"), safe=False).cast(pa.int64())
    return np.asarray(pc.fill_null(whole, 0).to_numpy(), dtype=np.int64)
