"""The metrics of an evaluation under resamples of its users, as a file: what gates make intervals of.

It holds no row of anybody: a line is a metric of the model or of a baseline, of all rows or of one cohort, and its
value under each resample. `WITHIN` are draws that model and baselines of one evaluation share; `ACROSS` are draws that
every evaluation makes alike for a user, so that two releases compare on the users that both have.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.verdicts import Sample
from feature_repo import files

FILE = "resamples.parquet"
MODEL = "model"
WITHIN, ACROSS = "within", "across"
ALL = ""  # the cohort of all rows
ROWS_DIGEST = b"intentflow.rows"
SCHEMA = pa.schema(
    {
        "cohort": pa.string(),
        "side": pa.string(),  # MODEL, or a baseline's name
        "draws": pa.string(),
        "metric": pa.string(),
        "rows": pa.int64(),
        "users": pa.int64(),
        "resampled": pa.list_(pa.float32()),
    }
)


@dataclass(frozen=True)
class Line:
    """One metric of one side under resamples of users."""

    metric: str
    resampled: np.ndarray = field(repr=False)  # [R]
    rows: int
    users: int
    side: str = MODEL
    cohort: str = ALL
    draws: str = WITHIN


@dataclass(frozen=True)
class Resamples:
    """The lines of an evaluation, and a digest of which users and weeks they are about."""

    lines: Mapping[tuple[str, str, str, str], Line] = field(default_factory=dict)  # cohort, side, draws, metric
    rows_digest: str = ""

    def sample(
        self, value: float | None, metric: str, *, side: str = MODEL, cohort: str = ALL, draws: str = WITHIN
    ) -> Sample:
        """Return a measured value with its resamples, as far as there are any."""
        line = self.lines.get((cohort, side, draws, metric))
        behind = line or self.lines.get((cohort, MODEL, WITHIN, metric))
        if behind is None:
            return Sample(value)
        return Sample(value, None if line is None else line.resampled, behind.rows, behind.users)


def digest(user_id: np.ndarray, week: np.ndarray, *, rule: str = "") -> str:
    """Return the digest of which users and weeks were judged, in whatever order, and by what rule beside them."""
    rows = sorted(f"{user} {when}" for user, when in zip(user_id, week, strict=True))
    return files.digest([*rows, rule] if rule else rows)


def write(folder: Path, lines: list[Line], *, rows_digest: str) -> None:
    """Write the file into an evaluation folder."""
    table = pa.table(
        {name: [getattr(line, name) for line in lines] for name in SCHEMA.names},
        schema=SCHEMA.with_metadata({ROWS_DIGEST: rows_digest.encode()}),
    )
    pq.write_table(table, folder / FILE, compression="zstd")


def read(folder: Path) -> Resamples:
    """Read the file of an evaluation folder; empty where the evaluation was written before there was one."""
    path = folder / FILE
    if not path.is_file():
        return Resamples()
    table = pq.read_table(path)
    lines = [
        Line(
            **{name: row[name] for name in SCHEMA.names if name != "resampled"},
            resampled=np.asarray(row["resampled"], dtype=np.float64),
        )
        for row in table.to_pylist()
    ]
    found = {(line.cohort, line.side, line.draws, line.metric): line for line in lines}
    return Resamples(found, (table.schema.metadata or {}).get(ROWS_DIGEST, b"").decode())
