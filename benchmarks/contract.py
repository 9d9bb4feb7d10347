"""What does the data contract cost? The step `validate` on the grocery's rows, beside plain Great Expectations.

Each runs in a process of its own, so that peaks are its own, after the same import of Great Expectations, which is
counted apart. Ours reads the tables, judges all rules, sets bad rows aside, cleans and writes the tables that go on;
`judging` is its part until the last verdict. The peer is the book's way: the whole table of events in pandas, the same
rules of events in one suite (but volume, for which the book has no expectation), the verdict and nothing else.
"""

import argparse
import datetime as dt
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import script
from benchmarks.script import Document
from components.data.spec import Data
from feature_repo import columns, files
from feature_repo.errors import DataError
from pipelines import spec

KEY = "00" * 16
COSTS = ("seconds", "cpu_s", "peak_memory_gib")
QUICK = {"users": 50, "items": 40, "events": 4_000, "weeks": 16}


def measure(asked: argparse.Namespace) -> Document:
    """Run both on the same tables."""
    data = spec.load(asked.spec).judged_data()
    with tempfile.TemporaryDirectory(prefix="intentflow-benchmark-") as place:
        folder = Path(place)
        tables = asked.tables or folder / "tables"
        if asked.quick:
            data = _made(tables)
        elif not asked.tables:
            _ingest(data, tables, asked.spec.absolute().parent)
        ours, peer = (_alone(job, data.model_dump_json(), tables, folder) for job in (_ours, _peer))
    ratio = {"judging": script.ratios(ours["judging"], peer["judging"], COSTS),
             "whole_step": script.ratios(ours, peer["judging"], COSTS)}  # fmt: skip
    return {"intentflow": ours, "great_expectations": peer, "ratio": ratio}


def _alone(job: Callable[..., Document], data: str, tables: Path, folder: Path) -> Document:
    script.note(job.__name__.strip("_"))
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(job, data, tables, folder).result()


class _Meter:
    """Seconds, processor seconds and peak memory of this process since it was made."""

    def __init__(self) -> None:
        self._start, self._cpu = time.monotonic(), time.process_time()

    def read(self) -> dict[str, float]:
        """Return them."""
        used = (time.monotonic() - self._start, time.process_time() - self._cpu, _peak_gib())
        return {name: round(value, 3) for name, value in zip(COSTS, used, strict=True)}


def _ours(data: str, tables: Path, folder: Path) -> Document:
    from components.data.contract import validate

    imports, reached = _import(), {}
    meter = _Meter()

    def note(share: float, what: str) -> None:
        if what == "cleaning":
            reached.update(meter.read())

    verdict = validate(tables, Data.model_validate_json(data), folder / "clean", report=note)
    whole = meter.read()
    return {
        "rows": verdict.rows,
        "rules": {table: sum(r.table == table for r in verdict.rules) for table in verdict.rows},
        "quarantined": verdict.quarantined,
        "imports": imports,
        "judging": reached,
        **whole,
    }


def _peer(data: str, tables: Path, folder: Path) -> Document:
    import pandas as pd

    from components.data import expectations

    imports = _import()
    meter = _Meter()
    frame = pd.read_parquet(tables / "events.parquet")
    suite = _suite(Data.model_validate_json(data), tables)
    results = expectations.run(suite, frame, table="events")
    bad = sum(int(result.result.get("unexpected_count") or 0) for result in results)
    return {"rows": len(frame), "rules": len(suite), "unexpected": bad, "imports": imports, "judging": meter.read()}


def _suite(data: Data, tables: Path) -> list[dict[str, Any]]:
    """Write the rules of events as one would by hand, on the table as it is."""
    from components.data.checks import compile_checks
    from components.data.rules import Fresh, Known, NotInFuture, Present, Unique, Volume

    now, written = dt.datetime.now(dt.UTC), []
    for check in compile_checks(data, "events", pq.read_schema(tables / "events.parquet"), now=now):
        kind, kwargs, rule = check.meaning.expectation, check.meaning.kwargs, check.rule
        if isinstance(rule, Volume):
            continue
        if isinstance(rule, Known):
            ids = pq.read_table(tables / f"{rule.table}.parquet", columns=[rule.column])[rule.column].to_pylist()
            kwargs = {"column": rule.column, "value_set": ids}
        elif isinstance(rule, NotInFuture):
            kwargs = {"column": rule.column, "max_value": now}
        elif isinstance(rule, Fresh):
            kind, kwargs = (
                "expect_column_max_to_be_between",
                {"column": columns.TIMESTAMP, "min_value": dt.datetime(1970, 1, 1, tzinfo=dt.UTC)},
            )
        elif isinstance(rule, Present):
            kind = "expect_column_distinct_values_to_contain_set"
            kwargs = {"column": rule.column, "value_set": rule.values}
        elif isinstance(rule, Unique) and rule.whole:
            kind, kwargs = "expect_compound_columns_to_be_unique", {"column_list": rule.columns}
        written.append({"type": kind, "kwargs": kwargs, "meta": {"name": check.name}})
    return written


def _import() -> dict[str, float]:
    """Import Great Expectations; return what that costs."""
    meter = _Meter()
    import great_expectations  # noqa: F401

    return meter.read()


def _peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _ingest(data: Data, tables: Path, base: Path) -> None:
    from components.data.ingest import ingest

    script.note("ingest")
    ingest(data, tables, key=KEY, base=base)


def _made(tables: Path) -> Data:
    """Write small tables of scattered purchases; return their data slice."""
    rng, n, weeks = np.random.default_rng(0), QUICK["events"], QUICK["weeks"]
    start = int(dt.datetime(2024, 1, 1, tzinfo=dt.UTC).timestamp())
    at = pa.array(np.sort(start + rng.integers(0, 7 * 86_400 * weeks, n)) * 1_000_000, pa.timestamp("us", tz="UTC"))
    users, items = (pa.array([f"{name[0]}{i}" for i in range(QUICK[name])]) for name in ("users", "items"))
    events = {
        columns.USER_ID: users.take(rng.integers(0, len(users), n)),
        columns.ITEM_ID: items.take(rng.integers(0, len(items), n)),
        columns.EVENT: pa.array(["purchase"] * n),
        columns.TIMESTAMP: at,
        columns.CREATED_AT: at,
        columns.SESSION_ID: pa.array([f"s{i // 4}" for i in range(n)]),
        columns.QUANTITY: pa.array(rng.integers(0, 9, n).astype(float)),
        columns.VALUE: pa.array(rng.random(n) * 9),
        columns.DISCOUNT: pa.array(np.zeros(n)),
    }
    tables.mkdir(parents=True)
    pq.write_table(pa.table(events), tables / "events.parquet")
    pq.write_table(pa.table({columns.ITEM_ID: items, columns.PRICE: rng.random(len(items))}), tables / "items.parquet")
    pq.write_table(pa.table({columns.USER_ID: users}), tables / "users.parquet")
    ends = [at[place].as_py().isoformat() for place in (0, -1)]
    snapshot = {
        "source": "made",
        "digest": files.digest(QUICK),
        "rows": {"events": n, "items": len(items), "users": len(users)},
        "first": ends[0],
        "last": ends[1],
        "calendar": {"first_day": "2024-01-01", "timezone": "UTC"},
        "weeks": weeks,
        "last_week_complete": True,
    }
    files.write_json(tables / "snapshot.json", snapshot)
    rules = [{"expect": "between", "column": "quantity", "min": 1, "mostly": 0.5, "severity": "warning"}]
    source = {"type": "parquet", "events": {"path": "events.parquet"}}
    return Data.model_validate({"source": source, "contract": {"events": rules}})


def text(document: Document) -> str:
    """Write the table."""
    ours, peer = document["intentflow"], document["great_expectations"]
    lines = [
        [name, rules, *(cost[c] for c in COSTS)]
        for name, rules, cost in (
            ("import of Great Expectations", None, ours["imports"]),
            ("ours: judging", sum(ours["rules"].values()), ours["judging"]),
            ("ours: the whole step", sum(ours["rules"].values()), ours),
            ("plain Great Expectations, events only", peer["rules"], peer["judging"]),
        )
    ]
    told = ", ".join(f"{rows:,} {table}" for table, rows in ours["rows"].items())
    return script.table(["", "rules", *COSTS], lines) + f"\n\n{told}; ratio of judging: {document['ratio']['judging']}"


def _existing(value: str) -> Path:
    path = Path(value)
    if not (path / "snapshot.json").is_file():
        raise argparse.ArgumentTypeError(str(DataError(f"{path}: holds no snapshot.json; name a folder of ingest's")))
    return path


if __name__ == "__main__":
    switches = script.parser(__doc__, trained=False)
    switches.add_argument("--spec", type=Path, default=script.GROCERY, help="whose contract and data are taken")
    switches.add_argument("--tables", type=_existing, help="a finished ingest's folder; left out: ingest first")
    script.main(switches, measure, text)
