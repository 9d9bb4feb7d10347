"""Second step: what the data must satisfy, and what then goes on.

From `tables` it makes the `clean` folder: the same files without the rows that break a rule (they go to
quarantine/ with the reason) and without the events that the spec's clean section drops, plus the
verdict as contract.json and contract.html. A critical rule that fails refuses the data, after the
verdict is on file; then no tables are written. Nothing is repaired here.
"""

import datetime as dt
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow.parquet as pq

from components.data import afterwards, learnt_volume, page
from components.data.checks import ADDED, Check, compile_checks
from components.data.database import database, name, write_parquet
from components.data.expectations import Finding, evaluate
from components.data.measures import Activity, measure
from components.data.quarantine import Quarantine, create_checked, create_kept, set_aside
from components.data.row_rules import Compare
from components.data.rules import LearntVolume, TableName
from components.data.snapshot import Snapshot, around, period, require_weeks
from components.data.spec import Data
from components.verdicts import UNDECIDED, Word
from feature_repo import files
from feature_repo.errors import DataError, Refused

JUDGED: tuple[TableName, ...] = ("items", "users", "offers", "events")  # the last two by the good items and users
SHOWN: tuple[TableName, ...] = ("events", "items", "users", "offers")
OPTIONAL = ("offers",)
KNOWN_LATE = 0.99  # of the events: created_at is then no time at which they became known
DATA_END = "data_end"  # the clock that stands at the end of the data
TIMES = ("TIMESTAMP", "DATE")


@dataclass(frozen=True)
class RuleResult:
    """One rule's part of the verdict."""

    table: str
    rule: str
    asks: str
    severity: str
    mostly: float
    success: bool
    derived: bool  # it holds for every recommender, the spec does not say it
    unexpected: int  # rows that break it: of repeated rows all, the first included; 0 where no row is to blame
    checked: int
    quarantined: int
    found: str  # in words, where rows do not say it
    note: str
    samples: list[dict[str, Any]]  # of the rows that were set aside; users are pseudonyms
    word: Word  # undecided: nothing could be judged, as the note says, and the rule holds nothing back


@dataclass(frozen=True)
class Verdict:
    """What the contract said, and what became of the rows."""

    passed: bool
    checked_at: str  # ISO, UTC
    source: str
    first: str  # ISO, UTC, as ingested
    last: str
    rules: tuple[RuleResult, ...]
    rows: dict[str, int]  # by table, as ingested
    quarantined: dict[str, int]  # by table
    cleaned: dict[str, int]  # events dropped, by reason
    kept: dict[str, int]  # by table; empty where the data is refused
    weekly: list[int]  # events of weeks 1, 2 …, as ingested
    last_week_complete: bool

    @property
    def failures(self) -> tuple[RuleResult, ...]:
        """The rules that failed and stop the run."""
        return tuple(r for r in self.rules if r.severity == "critical" and not r.success)

    @property
    def warnings(self) -> tuple[RuleResult, ...]:
        """The rules that failed and do not stop it."""
        return tuple(r for r in self.rules if r.severity != "critical" and not r.success)

    @property
    def undecided(self) -> tuple[RuleResult, ...]:
        """The rules that had too little to judge."""
        return tuple(r for r in self.rules if r.word == UNDECIDED)


def validate(
    tables: Path,
    data: Data,
    destination: Path,
    *,
    now: dt.datetime | None = None,
    clock: str = DATA_END,
    home: Path | None = None,
    report: Callable[[float, str], None] = lambda share, note: None,
) -> Verdict:
    """Write the `clean` folder and return the verdict; Refused where a critical rule fails.

    Freshness is told by the environment's `clock`, `wall` or `data_end`; what lies in the future, always by wall time
    `now`. The verdict is kept under `home`/contract as well: Kubeflow may drop the outputs of a failed step.
    """
    now = now or dt.datetime.now(dt.UTC)
    with files.written_folder(destination) as folder:
        with database(folder) as db:
            verdict = _judge(db, tables, data, folder, now=now, clock=clock, home=home, report=report)
            if verdict.passed:
                verdict, snapshot = _let_through(db, tables, data, folder, verdict=verdict, now=now)
                snapshot.save(folder)
        _write_verdict(verdict, folder, home)
    if verdict.failures:
        raise Refused(_refusal(verdict, (home / "contract" if home else destination) / "contract.html"))
    return verdict


def _judge(
    db: duckdb.DuckDBPyConnection,
    tables: Path,
    data: Data,
    folder: Path,
    *,
    now: dt.datetime,
    clock: str,
    home: Path | None,
    report: Callable[[float, str], None],
) -> Verdict:
    """Check each table, set its bad rows aside, and draw the verdict."""
    ingested = Snapshot.load(tables)
    paths = {table: tables / f"{table}.parquet" for table in JUDGED}
    present = [table for table in JUDGED if table not in OPTIONAL or paths[table].is_file()]
    shown: list[str] = [table for table in SHOWN if table in present]
    results: list[RuleResult] = []
    aside: dict[str, Quarantine] = {}
    shares: afterwards.Shares = {}
    for done, table in enumerate(present):
        report(0.05 + 0.1 * done, f"checking {table}")
        create_checked(db, table, paths[table])
        near = around(db, "checked_events", now=now) if table == "events" else None
        checks = compile_checks(data, table, pq.read_schema(paths[table]), now=now, around=near)
        later = [check for check in checks if check.afterwards]
        checks = [check for check in checks if not check.afterwards]
        measured = {}
        if table == "events":
            activity = Activity.read(db, ingested)
            measured = measure(checks, activity, now=None if clock == DATA_END else now)
            measured |= {
                check.name: learnt_volume.measure(db, check.rule, activity, called=check.name)
                for check in checks
                if isinstance(check.rule, LearntVolume)
            }
        findings = evaluate(checks, checked_frame(db, table, checks), table=table, measured=measured)
        findings = [afterwards.with_both_forms(db, finding) for finding in findings]
        aside[table] = set_aside(db, table, findings, folder=folder / "quarantine")
        shares |= afterwards.shares_of(findings)
        if table == "events":
            week = afterwards.newest_week(activity)
            findings = afterwards.judge_newest(db, findings, week)
            before = afterwards.verdicts_before(home, ingested.digest)
            found = afterwards.measure_afterwards(db, later, findings, aside[table], week, shares=shares, before=before)
            findings += evaluate(later, pd.DataFrame(index=range(aside[table].checked)), table=table, measured=found)
        results += [_result(finding, aside[table]) for finding in findings]
    if home:
        afterwards.remember(home, ingested.digest, shares, at=now.astimezone(dt.UTC).isoformat(timespec="seconds"))
    report(0.8, "cleaning")
    return Verdict(
        passed=all(r.success for r in results if r.severity == "critical"),
        checked_at=now.astimezone(dt.UTC).isoformat(timespec="seconds"),
        source=ingested.source,
        first=ingested.first,
        last=ingested.last,
        rules=tuple(sorted(results, key=lambda r: shown.index(r.table))),
        rows={table: aside[table].checked for table in shown},
        quarantined={table: aside[table].rows for table in shown},
        cleaned=create_kept(db, data.clean, bare=data.without_item),
        kept={},
        weekly=activity.weekly(),
        last_week_complete=activity.last_week_complete,
    )


def _let_through(
    db: duckdb.DuckDBPyConnection, tables: Path, data: Data, folder: Path, *, verdict: Verdict, now: dt.datetime
) -> tuple[Verdict, Snapshot]:
    """Write what is left, and describe it. Cleaning does not move the calendar: the valid events made it."""
    kept = _write_kept(db, folder, verdict.rows)
    if not kept["events"]:
        bad, dropped = verdict.quarantined["events"], sum(verdict.cleaned.values())
        raise DataError(
            f"data.clean: no event is left of {verdict.rows['events']:,}; the contract set {bad:,} aside and clean "
            f"dropped {dropped:,}; {_most(verdict)}"
        )
    _require_known_in_time(db)
    span = period(db, "good_events", data=data, now=now)
    require_weeks(span.weeks, data)
    ingested = Snapshot.load(tables)
    rules = data.model_dump(mode="json", include={"contract", "clean"})
    digest = files.digest({"tables": ingested.digest, "rules": rules, "rows": kept})
    snapshot = Snapshot.of(span, source=ingested.source, digest=digest, rows=kept, key=ingested.key)
    return replace(verdict, kept=kept), replace(snapshot, items_undated=ingested.items_undated)


def _most(verdict: Verdict) -> str:
    """Say which rule set most events aside, or what else to loosen."""
    rules = [rule for rule in verdict.rules if rule.table == "events" and rule.quarantined]
    if not rules:
        return "loosen require, min_quantity, exclude or the rules"
    most = max(rules, key=lambda rule: rule.quarantined)
    return f"most of all {most.rule}, which asks that {most.asks}" + (f": {most.found}" if most.found else "")


def _require_known_in_time(db: duckdb.DuckDBPyConnection) -> None:
    """Refuse events nearly all of which became known after the last one happened: no week could learn of any."""
    ((last, earliest, late, events),) = db.execute("""
        SELECT last, min(created_at), count_if(created_at > last), count(*)
        FROM kept_events, (SELECT max(timestamp) AS last FROM kept_events) GROUP BY last""").fetchall()
    if late >= KNOWN_LATE * events:
        first, end = (f"{at.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC" for at in (earliest, last))
        raise DataError(
            f"data.source.events: {late:,} of {events:,} events have a created_at (the earliest {first}) after the "
            f"data's end, {end}: every row became known after all had happened, as a time of loading says; map "
            "created_at to when a row became known, or leave the column out"
        )


def checked_frame(db: duckdb.DuckDBPyConnection, table: str, checks: list[Check]) -> pd.DataFrame:
    """Read the columns that the checks ask about; times become epoch seconds, which pandas compares at once."""
    relation = db.sql(f"FROM checked_{table}")
    kinds = dict(zip(relation.columns, map(str, relation.types), strict=True))
    asked = sorted(set().union(*(check.columns for check in checks if not check.measured)))
    told = [
        f"epoch({name(column)}) AS {name(column)}" if kinds[column].startswith(TIMES) else name(column)
        for column in asked
    ]
    # Great Expectations copies, hashes and sorts out its frame again and again; codes are a tenth of texts. Texts that
    # are compared with each other stay texts: pandas does not compare codes of two columns.
    paired = set().union(*(check.columns for check in checks if isinstance(check.rule, Compare)))
    coded = [column for column in asked if kinds[column] == "VARCHAR" and column not in paired]
    read = relation.project(", ".join(told)).to_arrow_table()
    frame: pd.DataFrame = read.to_pandas(categories=coded, self_destruct=True)
    return frame


def _write_kept(db: duckdb.DuckDBPyConnection, folder: Path, tables: Iterable[str]) -> dict[str, int]:
    kept = {}
    for table in tables:
        added = ", ".join((*ADDED.get(table, ()), "source_row"))
        relation = "kept_events" if table == "events" else f"good_{table}"
        query = f"SELECT * EXCLUDE ({added}) FROM {relation} ORDER BY source_row"
        kept[table] = write_parquet(db, query, folder / f"{table}.parquet")
    return kept


def _result(finding: Finding, aside: Quarantine) -> RuleResult:
    check = finding.check
    return RuleResult(
        table=check.table,
        rule=check.name,
        asks=check.asks,
        severity=check.severity,
        mostly=check.mostly,
        success=finding.success,
        derived=check.derived,
        unexpected=finding.unexpected,
        checked=finding.checked,
        quarantined=aside.by_rule.get(check.name, 0),
        found=finding.found,
        note=finding.note,
        samples=aside.samples.get(check.name, []),
        word=finding.word,
    )


def _write_verdict(verdict: Verdict, folder: Path, home: Path | None) -> None:
    told = asdict(verdict)
    files.write_json(folder / "contract.json", told)
    (folder / "contract.html").write_text(page.render(told), encoding="utf-8")
    if home:
        for file in ("contract.json", "contract.html"):
            with files.written(home / "contract" / file) as aside:
                shutil.copyfile(folder / file, aside)


def _refusal(verdict: Verdict, html: Path) -> str:
    first, others = verdict.failures[0], len(verdict.failures) - 1
    rows = f"{first.unexpected:,} of {first.checked:,} rows"
    found = first.found or f"{rows} are not so"
    note = f" ({first.note})" if first.note else ""
    more = f"; {others} more critical rule{'s' * (others > 1)} failed" if others else ""
    return f"data.contract.{first.table}: {first.rule} asks that {first.asks}; {found}{note}{more}; see {html}"
