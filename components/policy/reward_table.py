"""The rewards table: one row for each item that was shown, with how likely it was shown there and what it brought.

    <state folder>/rewards/rewards.parquet

Any tool that reads parquet can ask it, such as DuckDB: SELECT source, avg(reward) FROM 'rewards.parquet' GROUP BY 1.
It is made anew from the logs each time, as of now, so that what came late is counted; nothing is edited. Users are
pseudonyms; `forget` deletes their rows, `rotate` deletes the table, and backups leave it out, since it is made again.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from components.policy import record
from components.policy.rewards import Kpi, Rewarded, logged_s
from feature_repo import columns, files
from feature_repo.errors import DataError
from feature_repo.logs import parquet_files

FOLDER, FILE = "rewards", "rewards.parquet"
GROUP_ROWS = 65_536
REWARD = "reward"  # the sum over KPIs
DECLARED = "kpis"  # in the file's metadata: what its rewards are
SCHEMA = pa.schema(
    {
        columns.REQUEST_ID: pa.string(),
        "logged_at": pa.timestamp("us", tz="UTC"),
        "now": pa.int64(),  # epoch seconds by the data's clock
        columns.RELEASE: pa.string(),
        "policy": pa.string(),
        columns.USER_ID: pa.string(),
        "placement": pa.string(),  # null: none was named
        columns.ITEM_ID: pa.string(),
        "position": pa.int32(),  # from 1
        "score": pa.float64(),
        "source": pa.string(),
        "rung": pa.string(),
        "propensity": pa.float64(),  # of the item at its place, over all lists
        "given": pa.float64(),  # given the places above; the product over an answer is the list's
        "error": pa.float64(),  # standard error of `propensity`
        "share": pa.float64(),  # probability that the answer was drawn, after guard rails; 0: greedy
        "explored": pa.bool_(),  # the answer was drawn
        "sample": pa.float64(),  # probability that such an answer is logged
    }
)


def schema(kpis: Sequence[Kpi]) -> pa.Schema:
    """Return the columns: those of what was shown, one for each KPI, and their sum."""
    fields = [pa.field(kpi.name, pa.float64()) for kpi in kpis]
    return pa.schema([*SCHEMA, *fields, pa.field(REWARD, pa.float64())], {DECLARED: _declared(kpis)})


def _declared(kpis: Sequence[Kpi]) -> str:
    times = [{"within_s": float(kpi.within_s), "after_s": float(kpi.after_s)} for kpi in kpis]
    said = [asdict(kpi) | at | {"events": sorted(kpi.events)} for kpi, at in zip(kpis, times, strict=True)]
    return files.canonical(said)


@dataclass(frozen=True)
class Written:
    """What a new table differs by from the one before it."""

    rows: int
    corrected: int  # rows that both hold, whose reward was known before and is another now: something came late


def path(home: Path) -> Path:
    """Return where a state folder has the table."""
    return home / FOLDER / FILE


def write(home: Path, rewarded: Iterable[Rewarded], kpis: Sequence[Kpi]) -> Written:
    """Write the table, whole or not at all; raises DataError where a line's propensities cannot be true."""
    target, known = path(home), _known(home)
    rows = corrected = 0
    with files.written(target) as aside, parquet_files.writer(aside, schema(kpis), compression="zstd") as writer:
        for group in _groups(rewarded):
            for row in group:
                before = known.get((row[columns.REQUEST_ID], row["position"]))
                corrected += before is not None and row[REWARD] is not None and before != row[REWARD]
            writer.write_table(pa.Table.from_pylist(group, schema=schema(kpis)))
            rows += len(group)
    return Written(rows, corrected)


def read(home: Path, names: Sequence[str] | None = None) -> pa.Table:
    """Return the table, all columns or some."""
    with parquet_files.opened(path(home)) as file:
        return file.read(columns=None if names is None else list(names))


def require_made_by(home: Path, kpis: Sequence[Kpi]) -> None:
    """Refuse a table that is not there, or whose rewards are those of other KPIs than a spec declares now."""
    if not path(home).is_file():
        raise DataError(f"policy rewards: {path(home)}: no such file; make it with `intentflow rewards SPEC`")
    with parquet_files.opened(path(home)) as file:
        said = (file.schema_arrow.metadata or {}).get(DECLARED.encode(), b"").decode()
    if said != _declared(kpis):
        raise DataError(
            f"policy rewards: {path(home)}: was made by other KPIs than policy.rewards declares; make it anew with "
            "`intentflow rewards SPEC`"
        )


def _known(home: Path) -> dict[tuple[str, int], float]:
    """Return the rewards that the table before this one knew, by request and place."""
    if not path(home).is_file():
        return {}
    table = read(home, [columns.REQUEST_ID, "position", REWARD]).to_pydict()
    rows = zip(table[columns.REQUEST_ID], table["position"], table[REWARD], strict=True)
    return {(request, place): reward for request, place, reward in rows if reward is not None}


def _groups(rewarded: Iterable[Rewarded]) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    for one in rewarded:
        group += rows_of(one)
        if len(group) >= GROUP_ROWS:
            yield group
            group = []
    if group:
        yield group


def rows_of(one: Rewarded) -> list[dict[str, Any]]:
    """Return an answer's rows."""
    answer, asked = one.answer, one.answer.get("asked") or {}
    record.require_true(answer)
    choice = asked.get(record.CHOICE) or {}
    k = len(answer["items"])
    given, errors = choice.get("given") or [1.0] * k, choice.get("errors") or [0.0] * k
    common = {
        columns.REQUEST_ID: answer.get(columns.REQUEST_ID),
        "logged_at": dt.datetime.fromtimestamp(logged_s(answer), dt.UTC),
        "now": int(answer["now"]),
        columns.RELEASE: answer.get(columns.RELEASE),
        "policy": answer.get("policy"),
        columns.USER_ID: str(answer[columns.USER_ID]),
        "placement": asked.get("placement"),
        "rung": answer.get("rung"),
        "share": float(choice.get("share", 0.0)),
        "explored": bool(choice.get("explored", False)),
        "sample": float(answer.get("sample") or 1.0),
    }
    rows = []
    for place, item in enumerate(answer["items"]):
        values = {name: those[place] for name, those in one.rewards.items()}
        known = [value for value in values.values() if value is not None]
        rows.append(
            common
            | {
                columns.ITEM_ID: str(item[columns.ITEM_ID]),
                "position": place + 1,
                "score": item.get("score"),
                "source": item.get("source"),
                "propensity": float(item["propensity"]),
                "given": float(given[place]),
                "error": float(errors[place]),
                **values,
                REWARD: sum(known) if len(known) == len(values) else None,
            }
        )
    return rows
