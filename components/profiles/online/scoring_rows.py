"""The newest row of every user, aligned to a release's vocabulary, for batch scoring: what the door would read.

The rows come from the clean tables through the same features as training and the online store, with the release's own
vocabulary and segments, so that a release may score data that came after it. Events that the door took since the data
ended are not in them. Written in groups of users, so that the steps after it never hold everyone.
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.profiles import profile_folder, vocabulary_rule
from components.profiles.build import plan
from components.profiles.online import materialise, row_stream
from components.profiles.spec import Profiles
from feature_repo import columns, event_lists, files
from feature_repo.errors import DataError
from feature_repo.fallback import POPULAR, RUNG, SEGMENT, Fallback, of_age
from feature_repo.release_folder import ReleaseFolder
from feature_repo.rows import LIST_TYPES
from feature_repo.update import Folding

FILE = "rows.parquet"
GROUP = "group"  # of the fallback: the segment's number, or everyone's
USERS = 512  # in a row group: bounds the memory of the steps that score them
DAY_S = 86_400
LISTS = (*columns.TARGET_LISTS, *columns.HISTORY_LISTS, *columns.RECENT_LISTS, columns.ATTRIBUTES)
Row = Mapping[str, Any]


def write(
    destination: Path,
    *,
    clean: Path,
    release: Path,
    weeks: plan.Weeks,
    now: int | None,
    at: Callable[[float, str], None],
) -> dict[str, int]:
    """Write the rows of all users as asked about at `now`, None for the release's own time; return counts by rung."""
    released = ReleaseFolder.read(release)
    snapshot = files.read_json(clean / "snapshot.json")
    _same_key(snapshot, released.key)
    profiles = Profiles.model_validate(released.slices["profiles"])
    asked = released.data_end if now is None else now  # the door's clock, where it is `data_end`
    standing = FreshnessRule(profiles, Fallback.load(released.ranking), asked)
    with tempfile.TemporaryDirectory(prefix="newest-", dir=destination.parent) as scratch:
        made = Path(scratch) / "profiles"
        made.mkdir()
        profile_folder.build_folder(
            made,
            clean,
            profiles,
            profile_folder.Wanted.of(vocabulary_rule.of((), released.slices["ranking"])),
            snapshot,
            weeks,
            fitted=released.ranking,  # its vocabulary and its segments
            training=False,
            at=lambda share, note: at(0.9 * share, note),
        )
        folds = materialise.folding(made)
        if folds.vocabulary.digest != released.vocabulary:
            raise DataError(
                f"release {released.id}: its rows come out with the vocabulary {folds.vocabulary.digest}, it has "
                f"{released.vocabulary}; fetch the release again"
            )
        return _rows(destination / FILE, made, folds, standing)


class FreshnessRule:
    """Where users stand: asked about when, and on which rung of the ladder."""

    def __init__(self, profiles: Profiles, fallback: Fallback, now: int) -> None:
        self._ttl_s, self._used_s = profiles.ttl_days * DAY_S, profiles.used_days * DAY_S
        self._fallback, self._now = fallback, now

    def of(self, state: Row) -> dict[str, Any]:
        """Return a row's `now`, rung and fallback group; a row is asked about no earlier than it knows."""
        state_at = int(state[columns.STATE_AT])
        now = max(self._now, state_at)
        group = self._fallback.group(state[columns.SEGMENT])
        rung = of_age(now - state_at, ttl_s=self._ttl_s, used_s=self._used_s)
        low = POPULAR if group == self._fallback.everyone else SEGMENT
        return {"now": now, columns.STATE_AT: state_at, GROUP: group, RUNG: rung or low}


def _same_key(snapshot: Row, theirs: str) -> None:
    """Refuse to score users under names that the release's own users do not have."""
    ours = snapshot.get("key", "")
    if ours and theirs and ours != theirs:
        raise DataError(
            f"the data's users are hashed with the key {ours}, the release's with {theirs}; train under the new key"
        )


def _rows(path: Path, made: Path, folds: Folding, standing: FreshnessRule) -> dict[str, int]:
    """Write the rows group by group, and return how many users stand on each rung."""
    end, counts = materialise.data_end(made), dict[str, int]()
    users = row_stream.digests(made, fallback="")[columns.USER_ID].combine_chunks()
    writer: pq.ParquetWriter | None = None
    for batch in row_stream.rows(made, users, data_end=end, batch=USERS):
        table = _table(batch, folds, standing)
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table, row_group_size=USERS)
        for rung in table[RUNG].to_pylist():
            counts[rung] = counts.get(rung, 0) + 1
    if writer is None:
        raise DataError(f"{made}: no user has a row; the clean tables hold no events")
    writer.close()
    return counts


def _table(batch: Mapping[str, Row], folds: Folding, standing: FreshnessRule) -> pa.Table:
    """Lay out states as UserRows reads them, in the users' order."""
    states = [folds.empty() | dict(cells) for cells in batch.values()]
    stands = [standing.of(state) for state in states]
    numbers = [*columns.profile_columns(folds.windows_days), columns.SEGMENT]
    found: dict[str, Any] = {columns.USER_ID: pa.array(list(batch), pa.string())}
    found |= {name: pa.array([one[name] for one in stands], pa.int64()) for name in ("now", columns.STATE_AT, GROUP)}
    found[RUNG] = pa.array([one[RUNG] for one in stands], pa.string())
    found |= {name: pa.array([float(state[name]) for state in states], pa.float64()) for name in numbers}
    held = (*LISTS, *columns.RECEIVED_LISTS) if folds.vocabulary.people else LISTS
    if folds.vocabulary.people:  # it alone says whom of those who came after training a user acted on of late
        found[columns.MEMORY] = pa.array([state[columns.MEMORY] for state in states], pa.binary())
    found |= {name: _lists([state[name] for state in states], LIST_TYPES[name]) for name in held}
    if folds.events:
        held_by = [state[columns.MEMORY] for state in states]
        found |= event_lists.arrow(event_lists.of(held_by, folds.vocabulary, texts=folds.texts))
    return pa.table(found)


def _lists(values: list[Any], kind: Any) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum([len(value) for value in values])]).astype(np.int32)
    flat = np.concatenate([np.asarray(value, dtype=kind) for value in values])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat))
