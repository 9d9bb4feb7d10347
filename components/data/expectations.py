"""Great Expectations, in the only module that knows it: checks in, findings out.

Great Expectations passes in silence where it should not (measured with 1.24): it drops an expectation of
an unknown type, an empty suite or an empty frame succeeds, so does a value check on a column of nulls,
and an expectation that raised has an empty result. Each of these is an error or a failed check here.
Severity does not change its success, so the verdict is drawn by `contract` from the findings.
"""

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from components.data.checks import APART, BETWEEN, IN_SET, REGEX, Check
from components.data.measures import Measurement
from components.verdicts import PASSED, REFUSED, UNDECIDED, Word

SILENT = (BETWEEN, IN_SET, REGEX)  # about nulls
PAIRS = ("expect_column_pair_values_to_be_equal", "expect_column_pair_values_a_to_be_greater_than_b", APART)
WITH_MOSTLY = ("expect_column_values_to_not_be_null", *SILENT, *PAIRS)
ALL_NULL = "the column holds only nulls"


@dataclass(frozen=True)
class Finding:
    """What a check found in a table."""

    check: Check
    success: bool
    unexpected: int  # rows that break it: of repeated rows all, the first included; 0 where no row is to blame
    checked: int  # rows
    found: str = ""  # in words, where rows do not say it
    note: str = ""
    judged: bool = True  # False: nothing could be, such as a column of nulls; it holds nothing back

    @property
    def word(self) -> Word:
        """Say it in the words of every verdict."""
        return REFUSED if not self.success else PASSED if self.judged else UNDECIDED


def evaluate(
    checks: list[Check], frame: pd.DataFrame, *, table: str, measured: Mapping[str, Measurement] | None = None
) -> list[Finding]:
    """Check a frame, whose times are epoch seconds, and what was measured; findings in the order of `checks`."""
    measured = measured or {}
    of_rows = [check for check in checks if not check.measured]
    asked = [check for check in checks if check.measured]
    found = {f.check.name: f for f in _evaluate(of_rows, frame, table=table)} if of_rows or not asked else {}
    if asked:
        numbers = pd.DataFrame({check.name: [measured[check.name].value] for check in asked}, dtype="float64")
        for finding in _evaluate(asked, numbers, table=f"{table}_measured"):
            told = measured[finding.check.name]
            found[finding.check.name] = replace(
                finding, unexpected=0, checked=len(frame), found=told.found, note=told.note, judged=told.judged
            )
    return [found[check.name] for check in checks]


def _evaluate(checks: list[Check], frame: pd.DataFrame, *, table: str) -> list[Finding]:
    wanted = [_expectation(check, position) for position, check in enumerate(checks)]
    results = {int(r.expectation_config.meta["position"]): r for r in run(wanted, frame, table=table)}
    if sorted(results) != list(range(len(checks))):
        raise RuntimeError(f"great_expectations gave {len(results)} results for {len(checks)} checks of {table}")
    return [_finding(check, results[position], len(frame)) for position, check in enumerate(checks)]


def run(
    expectations: list[dict[str, Any]], frame: pd.DataFrame, *, table: str, result_format: str = "SUMMARY"
) -> list[Any]:
    """Build a suite, make sure that it is whole, and validate a frame with it."""
    import great_expectations as gx

    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", "This pattern is interpreted as a regular expression", UserWarning)
    suite = gx.ExpectationSuite(name=table, expectations=expectations)
    if not expectations:
        raise RuntimeError(f"the contract of {table} is empty: it would pass anything")
    if lost := len(expectations) - len(suite.expectations):
        raise RuntimeError(f"great_expectations dropped {lost} of {len(expectations)} expectations of {table}")
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    # The batch itself is validated: definitions, suites and results in the context's stores take a third longer.
    batch = context.data_sources.pandas_default.read_dataframe(frame, asset_name=table)
    result = batch.validate(suite, result_format={"result_format": result_format, "partial_unexpected_count": 0})
    return list(result.results)


def _expectation(check: Check, position: int) -> dict[str, Any]:
    kwargs = dict(check.meaning.kwargs)
    if check.meaning.expectation in WITH_MOSTLY:
        kwargs["mostly"] = check.mostly
    meta = {"name": check.name, "position": position}
    return {"type": check.meaning.expectation, "kwargs": kwargs, "severity": check.severity, "meta": meta}


def _finding(check: Check, result: Any, rows: int) -> Finding:
    found = result.result
    if not found:
        raise RuntimeError(f"{check.table}.{check.name} could not be checked: {_cause(result.exception_info)}")
    if "unexpected_count" not in found:
        return Finding(check, bool(result.success), 0, rows, found=f"there are {int(found['observed_value']):,}")
    unexpected, success = int(found["unexpected_count"]), bool(result.success)
    if check.repeats:  # compound uniqueness knows no `mostly`
        success = unexpected <= (1 - check.mostly) * rows
    missing = int(found.get("missing_count") or 0)
    if check.meaning.expectation in SILENT and rows and missing == rows and not check.measured:
        # A derived rule is about columns that a source may leave open.
        return Finding(check, check.derived, 0 if check.derived else rows, rows, note=ALL_NULL, judged=False)
    return Finding(check, success, unexpected, rows, judged=rows > 0)


def _cause(information: dict[str, Any]) -> str:
    """Find the message in exception_info, which is keyed by metric where several could have failed."""
    for entry in (information, *information.values()):
        if isinstance(entry, dict) and entry.get("exception_message"):
            return str(entry["exception_message"]).splitlines()[0]
    return "no result and no exception"
