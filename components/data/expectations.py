"""Great Expectations, in the only module that knows it: checks in, findings out.

Great Expectations passes in silence where it should not (measured with 1.24): it drops an expectation of
an unknown type, an empty suite or an empty frame succeeds, so does a value check on a column of nulls,
and an expectation that raised has an empty result. Each of these is an error or a failed check here.
Severity does not change its success, so the verdict is drawn by `contract` from the findings.
"""

import logging
from dataclasses import dataclass
from typing import Any

import pandas as pd

from components.data.checks import Check

VALUES = ("expect_column_values_to_be_between", "expect_column_values_to_be_in_set")  # silent about nulls
WITH_MOSTLY = ("expect_column_values_to_not_be_null", *VALUES)


@dataclass(frozen=True)
class Finding:
    """What a check found in a table."""

    check: Check
    success: bool
    unexpected: int  # rows that break it: of repeated rows all, the first included; for a row count, the rows
    checked: int  # rows
    note: str = ""


def evaluate(checks: list[Check], frame: pd.DataFrame, *, table: str) -> list[Finding]:
    """Check a frame, in the order of `checks`; times in it are epoch seconds."""
    wanted = [_expectation(check, position) for position, check in enumerate(checks)]
    results = {int(r.expectation_config.meta["position"]): r for r in run(wanted, frame, table=table)}
    if sorted(results) != list(range(len(checks))):
        raise RuntimeError(f"great_expectations gave {len(results)} results for {len(checks)} checks of {table}")
    return [_finding(check, results[position], len(frame)) for position, check in enumerate(checks)]


def run(expectations: list[dict[str, Any]], frame: pd.DataFrame, *, table: str) -> list[Any]:
    """Build a suite, make sure that it is whole, and validate a frame with it."""
    import great_expectations as gx

    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    suite = gx.ExpectationSuite(name=table, expectations=expectations)
    if not expectations:
        raise RuntimeError(f"the contract of {table} is empty: it would pass anything")
    if lost := len(expectations) - len(suite.expectations):
        raise RuntimeError(f"great_expectations dropped {lost} of {len(expectations)} expectations of {table}")
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset(table)
    definition = gx.ValidationDefinition(
        name=table, data=asset.add_batch_definition_whole_dataframe("all"), suite=context.suites.add(suite)
    )
    result = context.validation_definitions.add(definition).run(
        batch_parameters={"dataframe": frame},
        result_format={"result_format": "SUMMARY", "partial_unexpected_count": 0},
    )
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
        return Finding(check, bool(result.success), int(found["observed_value"]), rows)
    unexpected, success = int(found["unexpected_count"]), bool(result.success)
    if check.repeats:  # compound uniqueness knows no `mostly`
        success = unexpected <= (1 - check.mostly) * rows
    missing = int(found.get("missing_count") or 0)
    if check.meaning.expectation in VALUES and rows and missing == rows:
        return Finding(check, success=False, unexpected=rows, checked=rows, note="the column holds only nulls")
    return Finding(check, success, unexpected, rows)


def _cause(information: dict[str, Any]) -> str:
    """Find the message in exception_info, which is keyed by metric where several could have failed."""
    for entry in (information, *information.values()):
        if isinstance(entry, dict) and entry.get("exception_message"):
            return str(entry["exception_message"]).splitlines()[0]
    return "no result and no exception"
