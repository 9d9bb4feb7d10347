"""The contract's findings by plain SQL instead of Great Expectations, which takes seconds to start and as long to ask.

For tests about what follows from findings; `test_plain_verdicts` compares these with what Great Expectations finds.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb

from components.data.checks import Check
from components.data.database import name
from components.data.expectations import ALL_NULL, SILENT, Finding
from components.data.measures import Measurement
from components.data.quarantine import bad_rows_sql
from components.data.row_rules import NotNull


@dataclass(frozen=True)
class Frame:
    """The rows of a checked table, in the database."""

    db: duckdb.DuckDBPyConnection
    table: str

    def __len__(self) -> int:
        return self.counts(["true"])[0]

    def counts(self, conditions: list[str]) -> list[int]:
        """Count the rows of which each condition holds."""
        flags = ", ".join(f"coalesce({condition}, false) AS c{n}" for n, condition in enumerate(conditions))
        sums = ", ".join(f"count_if(c{n})" for n in range(len(conditions)))
        found = self.db.execute(f"SELECT {sums} FROM (SELECT {flags} FROM checked_{self.table})").fetchone()
        return list(found or ())


def frame(db: duckdb.DuckDBPyConnection, table: str, checks: list[Check]) -> Frame:
    """Take the place of `contract.checked_frame`."""
    return Frame(db, table)


def evaluate(
    checks: list[Check], rows: Frame, *, table: str, measured: Mapping[str, Measurement] | None = None
) -> list[Finding]:
    """Take the place of `expectations.evaluate`; of rows that repeat only those after the first count."""
    blaming = [check for check in checks if check.blames]
    asked = ["true", *(sql for check in blaming for sql in (bad_rows_sql(rows.db, check), _missing(check)))]
    total, *counts = rows.counts(asked) if blaming else [len(rows)]
    broken = dict(zip((check.name for check in blaming), zip(counts[::2], counts[1::2], strict=True), strict=True))
    return [
        _measured(check, (measured or {})[check.name], total)
        if check.measured
        else _counted(check, total, *broken.get(check.name, (0, 0)))
        for check in checks
    ]


def _measured(check: Check, told: Measurement, rows: int) -> Finding:
    low, high = (check.meaning.kwargs.get(f"{end}_value") for end in ("min", "max"))
    holds = told.value is None or ((low is None or told.value >= low) and (high is None or told.value <= high))
    return Finding(check, holds, 0, rows, told.found, told.note, judged=told.judged)


def _counted(check: Check, rows: int, unexpected: int, missing: int) -> Finding:
    if not check.blames:
        least = check.meaning.kwargs["min_value"]
        return Finding(check, rows >= least, 0, rows, found=f"there are {rows:,}")
    if check.meaning.expectation in SILENT and rows and missing == rows:
        return Finding(check, check.derived, 0 if check.derived else rows, rows, note=ALL_NULL, judged=False)
    return Finding(check, unexpected <= (1 - check.mostly) * (rows - missing), unexpected, rows, judged=rows > 0)


def _missing(check: Check) -> str:
    """Return SQL of a row that a check is not about."""
    if check.repeats or isinstance(check.rule, NotNull):
        return "false"
    return " OR ".join(f"{name(column)} IS NULL" for column in sorted(check.columns))
