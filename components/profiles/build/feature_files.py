"""Write the feature files from blocks' rows: one parquet file a feature view, the newest rows apart from the rest.

A block's rows of the training cutoffs and of the newest one are row groups of their own, so that who serves reads
only the newest. `user_profile` is written twice: a row's segment is known when all users have been seen.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.profiles.build import lists, memories, row_digests, training_rows
from components.profiles.build.lists import CODE, Rows
from feature_repo import columns
from feature_repo import views as views_of
from feature_repo.rows import LIST_TYPES, Ragged

STATE = ("key", "weeks", "slow", "fast", "first_at", "last_at")
KINDS = {name: pa.from_numpy_dtype(kind) for name, kind in LIST_TYPES.items()}
TARGETS = dict(zip(columns.TARGET_LISTS, STATE, strict=True))
HISTORY = dict(zip(columns.HISTORY_LISTS, STATE, strict=True))
RECEIVED = dict(zip(columns.RECEIVED_LISTS, STATE, strict=True))
RECENT = dict(zip(columns.RECENT_LISTS, ("key", columns.WEEK), strict=True))
DAILY = dict(zip(columns.DAILY_LISTS, ("day", *columns.WINDOWED), strict=True))
NEWEST, TRAINING, JUDGING = "newest", "training", "judging"  # the weeks that judge, where training ones are bounded
SUMS = {
    "items_weeks": ("key", columns.WEEK, "known"),
    "targets_weeks": ("key", columns.WEEK, "known"),
    "items_steps": ("key", "known"),
    "targets_steps": ("key", "known"),
    "active": (columns.WEEK, "known"),
    "sold": ("key", columns.WEEK, "known"),
}
SHOWN = {"shown_weeks": ("key", columns.WEEK, "known")}  # beside SUMS, where impressions are logged
PROFILE = "user_profile.parquet"


class Sums:
    """Tables of numbers that add up over blocks, added up as they come."""

    ROWS = 2_000_000  # that may wait to be added up

    def __init__(self, keys: dict[str, tuple[str, ...]]) -> None:
        self.keys = keys
        self.parts: dict[str, list[pa.Table]] = {name: [] for name in keys}

    def add(self, block: dict[str, pa.Table]) -> None:
        """Add a block's numbers."""
        for name, parts in self.parts.items():
            parts.append(block[name])
            if len(parts) > 1 and sum(part.num_rows for part in parts[1:]) > self.ROWS:
                self.parts[name] = [self._added(name)]

    def all(self) -> dict[str, pa.Table]:
        """Return the sums."""
        return {name: self._added(name) for name in self.keys}

    def _added(self, name: str) -> pa.Table:
        table, keys = pa.concat_tables(self.parts[name]), list(self.keys[name])
        numbers = [column for column in table.column_names if column not in keys]
        # One thread: floats add up in the blocks' order.
        found = table.group_by(keys, use_threads=False).aggregate([(column, "sum") for column in numbers])
        return found.rename_columns([*keys, *numbers]).select(table.column_names)


@dataclass
class FeatureFiles:
    """The files of one build, open while blocks come in."""

    folder: Path
    scratch: Path
    user_ids: pa.Array  # by position
    item_ids: pa.Array  # the same
    cutoffs: pa.Table  # week, state_at
    windows_days: tuple[float, ...]
    declared: pa.ListArray  # codes of each user's attributes, by position
    history_limit: int | None = columns.HISTORY_LIMIT  # items kept in a row, None for all
    writers: dict[str, pq.ParquetWriter] = field(default_factory=dict)
    sums: Sums = field(default_factory=lambda: Sums(SUMS))
    profile_codes: list[np.ndarray] = field(default_factory=list)  # of user_profile's rows, in the file's order
    target_codes: list[np.ndarray] = field(default_factory=list)  # of user_targets' rows
    digests: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)  # users, digests of their newest row

    def add(self, block: dict[str, pa.Table]) -> None:
        """Write a block's rows and keep its sums."""
        for part in (TRAINING, JUDGING, NEWEST):
            if f"{part}_profile" in block:
                self._user_rows(block, part)
        if "row_weights" in block:
            weights = block["row_weights"]
            ids = self.user_ids.take(weights["user_id"].combine_chunks())
            self._write(training_rows.WEIGHTS, weights.set_column(0, columns.USER_ID, ids))
        self.sums.add(block)
        for name in ("targets", "items", "shown"):
            if f"label_{name}" in block:
                labels = block[f"label_{name}"]
                ids = self.user_ids.take(labels["user_id"].combine_chunks())
                self._write(f"keyed_{name}.parquet", labels.set_column(0, columns.USER_ID, ids))

    def _user_rows(self, block: dict[str, pa.Table], part: str) -> None:
        profile = lists.whole(block[f"{part}_profile"])
        names = [*columns.profile_columns(self.windows_days)]
        profile = Rows(profile.codes, profile.cells.select(names))
        targets = lists.packed(block[f"{part}_targets"], TARGETS, KINDS)
        pairs = lists.in_order(block[f"{part}_recent"], ("cutoff", "user_id", columns.WEEK, "key"))
        recent = lists.packed(pairs, RECENT, KINDS).aligned(targets.codes)
        declared = self.declared.take(pa.array(targets.codes % CODE))
        cells = _beside(targets.cells, recent).append_column(columns.ATTRIBUTES, declared)
        targets = Rows(targets.codes, cells)
        history = lists.packed(block[f"{part}_history"], HISTORY, KINDS, limit=self.history_limit)
        self._write_rows("user_targets.parquet", targets)
        self._write_rows("user_history.parquet", history)
        views = [profile, targets, history]
        if f"{part}_received" in block:
            views.append(lists.packed(block[f"{part}_received"], RECEIVED, KINDS, limit=self.history_limit))
            self._write_rows(f"{views_of.RECEIVED}.parquet", views[-1])
        self._write_rows(PROFILE, profile, folder=self.scratch)
        self.profile_codes.append(profile.codes)
        self.target_codes.append(targets.codes)
        if part != NEWEST and f"{part}_memory" in block:
            self._write_rows(memories.FILE, memories.packed(block[f"{part}_memory"], self.item_ids))
        if part == NEWEST:
            daily = lists.whole(block["newest_session"])
            days = lists.packed(block["newest_days"], DAILY, KINDS).aligned(daily.codes)
            remembered = memories.aligned(memories.packed(block["newest_memory"], self.item_ids), daily.codes)
            daily = Rows(daily.codes, _beside(daily.cells, days).append_column(columns.MEMORY, remembered))
            self._write_rows("user_daily.parquet", daily)
            found = np.zeros(len(profile.codes), np.uint64)
            for rows in (*views, daily):
                found = row_digests.of_cells(rows.aligned(profile.codes), start=found)
            self.digests.append((profile.codes % CODE, found))

    def _write_rows(self, name: str, rows: Rows, *, folder: Path | None = None) -> None:
        """Write rows with their keys as Feast wants them: the instant twice, as a time and as epoch seconds."""
        week = rows.codes // CODE
        place = np.searchsorted(self.cutoffs[columns.WEEK].to_numpy(), week)
        at = self.cutoffs[columns.STATE_AT].combine_chunks().take(pa.array(place))
        keyed = rows.cells.add_column(0, columns.USER_ID, self.user_ids.take(pa.array(rows.codes % CODE)))
        keyed = keyed.append_column(columns.WEEK, pa.array(week)).append_column(columns.EVENT_TIMESTAMP, at)
        seconds = at.cast(pa.timestamp("s", tz="UTC"), safe=False).cast(pa.int64())
        self._write(name, keyed.append_column(columns.STATE_AT, seconds), folder=folder)

    def _write(self, name: str, table: pa.Table, *, folder: Path | None = None) -> None:
        if name not in self.writers:
            path = (folder or self.folder) / name
            self.writers[name] = pq.ParquetWriter(path, table.schema, compression="zstd")
        if table.num_rows:
            self.writers[name].write_table(table, row_group_size=1 << 16)

    def close_users(self) -> None:
        """Close the files of user rows."""
        for writer in self.writers.values():
            writer.close()

    def target_mixes(self) -> Iterator[tuple[np.ndarray, Ragged, Ragged]]:
        """Yield the (cutoff, user) codes, target ids and slow sums of user_targets, part by part."""
        codes, start = _joined(self.target_codes), 0
        file = pq.ParquetFile(self.folder / "user_targets.parquet")
        for batch in file.iter_batches(20_000, columns=["target_ids", "target_slow"]):
            ids, slow = (Ragged.from_arrow(batch[name], LIST_TYPES[name]) for name in batch.schema.names)
            yield codes[start : start + batch.num_rows], ids, slow
            start += batch.num_rows

    def recent(self) -> Iterator[tuple[Ragged, Ragged]]:
        """Yield the targets and the steps of what happened of late, part by part as `target_mixes`."""
        file = pq.ParquetFile(self.folder / "user_targets.parquet")
        for batch in file.iter_batches(20_000, columns=list(columns.RECENT_LISTS)):
            targets, weeks = (Ragged.from_arrow(batch[name], LIST_TYPES[name]) for name in columns.RECENT_LISTS)
            yield targets, weeks

    def finish_profile(self, codes: np.ndarray, segments: np.ndarray, vocabulary: str, *, none: int) -> None:
        """Write user_profile with each row's segment (`codes` and `segments` go together), and the rows' digests.

        A user who never did what an intent asks about has no row of targets, and segment `none`.
        """
        without = np.setdiff1d(_joined(self.profile_codes), codes)
        codes = np.concatenate([codes, without])
        segments = np.concatenate([segments, np.full(len(without), none, dtype=segments.dtype)])
        order = np.argsort(codes, kind="stable")
        rows = Rows(codes[order], pa.table({columns.SEGMENT: pa.array(segments[order], pa.int64())}))
        mine, start = _joined(self.profile_codes), 0
        file = pq.ParquetFile(self.scratch / PROFILE)
        schema = file.schema_arrow.append(pa.field(columns.SEGMENT, pa.int64()))
        schema = schema.append(pa.field(columns.VOCABULARY, pa.string()))
        with pq.ParquetWriter(self.folder / PROFILE, schema, compression="zstd") as writer:
            for group in range(file.num_row_groups):
                part = file.read_row_group(group)
                segment = rows.aligned(mine[start : start + part.num_rows])[columns.SEGMENT]
                part = part.append_column(columns.SEGMENT, segment)
                writer.write_table(part.append_column(columns.VOCABULARY, pa.array([vocabulary] * part.num_rows)))
                start += part.num_rows
        self._write_digests(rows, vocabulary)

    def _write_digests(self, segments: Rows, vocabulary: str) -> None:
        users, found = (_joined([pair[side] for pair in self.digests]) for side in (0, 1))
        newest = int(self.cutoffs[columns.WEEK][-1].as_py())
        mine = segments.aligned(newest * CODE + users)
        found = row_digests.of_cells(mine, start=found + row_digests.of_texts({columns.VOCABULARY: vocabulary}))
        table = {
            columns.USER_ID: self.user_ids.take(pa.array(users)),
            row_digests.COLUMN: pa.array(found.view(np.int64)),
        }
        pq.write_table(pa.table(table), self.folder / row_digests.FILE, compression="zstd")


def as_feature_rows(table: pa.Table) -> pa.Table:
    """Name the key columns as Feast wants them: `state_at` becomes event_timestamp and stays as epoch seconds."""
    at = table[columns.STATE_AT].cast(pa.timestamp("us", tz="UTC"))
    seconds = at.cast(pa.timestamp("s", tz="UTC"), safe=False).cast(pa.int64())
    rest = table.drop([columns.STATE_AT, "cutoff"])
    return (
        rest.append_column(columns.WEEK, table["cutoff"].cast(pa.int64()))
        .append_column(columns.EVENT_TIMESTAMP, at)
        .append_column(columns.STATE_AT, seconds)
    )


def _beside(left: pa.Table, right: pa.Table) -> pa.Table:
    for name in right.column_names:
        left = left.append_column(name, right[name])
    return left


def _joined(arrays: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(arrays) if arrays else np.empty(0, np.int64)
