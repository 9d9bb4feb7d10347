"""Intents of all users at once, by the very scorers that serve: rows in groups in, probabilities in groups out.

Runs between `newest_rows` and the ranking's `recommend`. A user on a lower rung of the ladder gets the segment's rates,
as at the door. Forecasts, where the release has some, stand in a file of their own. Nothing here reads a store or the
clock: `now` is in the rows.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.intent.spec import UPLIFT
from feature_repo import columns, files
from feature_repo.errors import DataError
from feature_repo.fallback import RUNG, Fallback
from feature_repo.release_folder import ReleaseFolder
from feature_repo.rows import UserRows

if TYPE_CHECKING:
    from components.intent.forecasts.score import ForecastScorer
    from components.intent.score import IntentScorer

ROWS = "rows.parquet"
FILE = "intents.parquet"
FORECASTS = "forecasts.parquet"  # one line a user and intent of kind regression or multiclass
NAMES = "intents.json"  # of the probabilities, in their order
PROBABILITIES = "probabilities"
GROUP = "group"
SCHEMA = pa.schema(
    {
        columns.USER_ID: pa.string(),
        columns.STATE_AT: pa.timestamp("s", tz="UTC"),
        RUNG: pa.string(),
        columns.RELEASE: pa.string(),
        "name": pa.string(),
        "kind": pa.string(),
        "basis": pa.string(),
        "value": pa.float64(),
        "unit": pa.string(),
        "low": pa.float64(),
        "high": pa.float64(),
        "probabilities": pa.map_(pa.string(), pa.float64()),
        "other": pa.float64(),
        "none": pa.float64(),
    }
)  # of FORECASTS
OF_UPLIFT = (("group", pa.int64()), ("groups", pa.int64()), ("believed", pa.bool_()), ("warning", pa.string()))


def write(rows: Path, release: Path, destination: Path, *, at: Callable[[float], None]) -> int:
    """Write intents.parquet: user, time of the row, rung, release and probabilities; return how many users.

    Where the release has forecasts, forecasts.parquet has a line for each user and intent of theirs.
    """
    from components.intent.forecasts.score import ForecastScorer
    from components.intent.score import IntentScorer

    released = ReleaseFolder.read(release)
    scorer, fallback = IntentScorer.served(released.intent), Fallback.load(released.ranking)
    source = pq.ParquetFile(rows / ROWS)
    files.write_json(destination / NAMES, scorer.names)
    others, further = ForecastScorer.served(released.intent), None
    users, writer = 0, None
    for table in groups(source):
        found = _table(table, probabilities(table, scorer, fallback), released.id)
        writer = writer or pq.ParquetWriter(destination / FILE, found.schema, compression="zstd")
        writer.write_table(found, row_group_size=found.num_rows)
        if others is not None:
            told = _forecasts(table, others, released.id)
            further = further or pq.ParquetWriter(destination / FORECASTS, told.schema, compression="zstd")
            further.write_table(told)
        users += found.num_rows
        at(users / source.metadata.num_rows)
    for one in (writer, further):
        if one is not None:
            one.close()
    return users


def groups(source: pq.ParquetFile) -> Iterator[pa.Table]:
    """Yield a file's row groups, one at a time."""
    for group in range(source.num_row_groups):
        yield source.read_row_group(group)


def probabilities(table: pa.Table, scorer: "IntentScorer", fallback: Fallback) -> np.ndarray:
    """Return the probability of each target for each row of a group, float32 [B, C]."""
    found = np.array(fallback.rates[table[GROUP].to_numpy()], dtype=np.float32)  # [B, C]
    modelled = np.flatnonzero(np.isin(table[RUNG].to_pylist(), columns.MODELLED))
    if len(modelled):
        rows = UserRows.from_arrow(table.drop([GROUP, RUNG]))
        found[modelled] = scorer.predict(rows.take(modelled))
        if len(spoilt := np.flatnonzero(~np.isfinite(found).all(axis=1))):
            raise DataError(
                f"{ROWS}: {len(spoilt)} of {table.num_rows} users have probabilities that are no numbers, such as "
                f"{table[columns.USER_ID][int(spoilt[0])]}: their profiles or the model are spoilt; build the profiles "
                "again, or roll back"
            )
    return found


def _forecasts(table: pa.Table, scorer: "ForecastScorer", release_id: str) -> pa.Table:
    """Return what is said of a group's users, as the door words it; of those whom no model answers, what is usual."""
    modelled = np.isin(table[RUNG].to_pylist(), columns.MODELLED)
    whole = scorer.spoken(UserRows.from_arrow(table.drop([GROUP, RUNG])), modelled=modelled)
    about = {name: table[name].to_pylist() for name in (columns.USER_ID, RUNG)}
    state_at = table[columns.STATE_AT].cast(pa.timestamp("s", tz="UTC")).to_pylist()
    lines = [
        {
            columns.USER_ID: about[columns.USER_ID][row],
            columns.STATE_AT: state_at[row],
            RUNG: about[RUNG][row],
            columns.RELEASE: release_id,
            **one,
            "probabilities": list(one.get("probabilities", {}).items()),
        }
        for row, said in enumerate(whole)
        for one in said
    ]
    schema = SCHEMA
    if any(one.head.intent.kind == UPLIFT for one in scorer.fitted):
        schema = pa.schema([*SCHEMA, *(pa.field(*field) for field in OF_UPLIFT)])
    return pa.Table.from_pylist(lines, schema=schema)


def _table(table: pa.Table, found: np.ndarray, release_id: str) -> pa.Table:
    B, C = found.shape
    flat = pa.array(found.ravel(), pa.float32())
    lists = pa.ListArray.from_arrays(pa.array(np.arange(B + 1) * C, pa.int32()), flat)
    return pa.table(
        {
            columns.USER_ID: table[columns.USER_ID],
            columns.STATE_AT: table[columns.STATE_AT].cast(pa.timestamp("s", tz="UTC")),
            RUNG: table[RUNG],
            columns.RELEASE: pa.array([release_id] * B, pa.string()),
            PROBABILITIES: lists,
        }
    )
