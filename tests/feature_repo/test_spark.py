"""Every feature expression gives the same cells on DuckDB and on Spark.

One slice of scattered events with ties, late rows and nulls goes through every public expression on both engines.
Integers and texts must be equal, floats within 1e-9; rows have no order.
"""

import datetime as dt
import inspect
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.profiles import steps
from components.profiles.build import engine, plan, states, training_rows
from feature_repo import columns, interest, intervals, last_events, offers, transforms
from feature_repo.calendar import Calendar
from feature_repo.errors import SpecError
from feature_repo.signs import Signs
from tests import worlds
from tests.spark import SETTINGS as SPARK_SETTINGS
from tests.spark import spark_or_skip

WEEKS = 9
WINDOWS = (7, 28)
SIGNS = Signs((("purchase", 2.0), ("view", 1.0)), undoes=(("view", "purchase"),))  # a view takes back a purchase
ZONE = "America/New_York"
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Slice:
    """The tables that expressions start from, on one engine."""

    dated: Any
    item_index: Any
    item_targets: Any
    cutoffs: Any
    items: Any  # keyed
    targets: Any  # keyed
    daily: Any
    firsts: Any
    items_weeks: Any
    active: Any
    sold: Any
    steps: Any
    offers: Any  # weekly


def world() -> worlds.World:
    """Scatter events, then add what engines could treat differently: ties, late rows, nulls."""
    found = worlds.scattered(3, users=10, weeks=WEEKS, timezone=ZONE)
    events = [dict(event) for event in found.events]
    for n, event in enumerate(events):
        at = event["timestamp"]
        assert isinstance(at, dt.datetime)
        if n % 11 == 0:
            event["created_at"] = at + dt.timedelta(days=9)  # late
        if n % 7 == 0:
            event |= {"value": None, "discount": None}
        if n % 13 == 0:
            event["quantity"] = 0.0
    ties = [event | {"item_id": "i7", "session_id": event["session_id"]} for event in events[::5]]
    return worlds.World(events + ties, found.items, found.users, WEEKS, ZONE)


def sliced(connection: Any, clean: Path) -> Slice:
    """Store the slice on an engine."""
    calendar = Calendar(worlds.FIRST_DAY, ZONE)
    weeks = plan.Weeks(train=(2, 3, 4, 5, 6), validate=(7,), test=(8, 9), last=10)
    pairs = [(f"i{n}", n % 4, "purchase" if n % 2 else "") for n in range(8)]

    def keep(name: str, table: Any) -> Any:
        return engine.stored(connection, name, table)

    events = connection.read_parquet(str(clean / "events.parquet"))
    dated = keep("dated", transforms.dated(events, keep("local_days", plan.days(calendar, WEEKS))))
    index = keep(
        "item_index",
        pa.table({"item_id": [f"i{n}" for n in range(6)], "item_index": pa.array(range(6), pa.int32())}),
    )
    by_item = keep(
        "item_targets",
        pa.table(
            {
                "item_id": [item for item, _t, _k in pairs],
                "target_id": pa.array([target for _i, target, _k in pairs], pa.int32()),
                "kind": [kind for _i, _t, kind in pairs],
            }
        ),
    )
    everywhere = keep("everywhere", pa.table({"target_id": pa.array([4], pa.int32()), "kind": [""]}))
    end = calendar.start(10) - dt.timedelta(hours=5)
    items = keep("keyed_items", transforms.of_items(dated, index))
    daily = keep("daily", transforms.daily(dated))
    items_weeks = keep("items_weeks", transforms.per_week(items))
    found = connection.read_parquet(str(clean / "offers.parquet"))
    spans = keep("offer_weeks", states.offer_weeks(calendar, weeks, data_end=end))
    return Slice(
        dated=dated,
        item_index=index,
        item_targets=by_item,
        cutoffs=keep("cutoffs", plan.cutoffs(calendar, weeks.cutoffs, data_end=end)),
        items=items,
        targets=keep("keyed_targets", transforms.of_targets(dated, by_item, everywhere)),
        daily=daily,
        firsts=keep("firsts", transforms.firsts(dated)),
        items_weeks=items_weeks,
        active=keep("active", transforms.active(daily)),
        sold=keep("sold", transforms.sold(dated, index)),
        steps=keep("steps", intervals.steps(items)),
        offers=keep("weekly_offers", offers.weekly(found, index, spans)),
    )


def some_offers() -> pa.Table:
    """Return offers of every kind: over weeks' ends, overlapping, known too late, with nulls."""
    calendar, hours = Calendar(worlds.FIRST_DAY, ZONE), dt.timedelta(hours=1)
    instant = pa.timestamp("us", tz="UTC")
    rows = []
    for n in range(40):
        start = calendar.start(1 + n % WEEKS) + 24 * (n % 3) * hours
        kind = (*columns.OFFER_KINDS, "banner", None)[n % 5]
        rows.append((f"i{n % 7}", kind, start, start + (100 + 24 * n) * hours, None if n % 9 == 0 else n / 40, start))
        if n % 4 == 0:
            rows.append((f"i{n % 7}", kind, start, start + 200 * hours, 1.0, start + 300 * hours))
    item, kinds, since, until, share, created = zip(*rows, strict=True)
    return pa.table(
        {
            "item_id": item,
            "kind": pa.array(kinds, pa.string()),
            "valid_from": pa.array(since, instant),
            "valid_to": pa.array(until, instant),
            "share": pa.array(share, pa.float64()),
            "created_at": pa.array(created, instant),
        }
    )


def _shares(s: Slice) -> Any:
    return transforms.shares(s.items_weeks, s.active, s.cutoffs)


def _profile(s: Slice) -> Any:
    return transforms.profile(s.daily, s.firsts, s.cutoffs, windows_days=WINDOWS)


def _of_targets(s: Slice) -> Any:
    return offers.of_targets(offers.of_items(s.offers, s.cutoffs), _shares(s), s.item_index, s.item_targets)


def _numbered(table: Any) -> Any:
    """Give users numbers, as blocks do."""
    return table.mutate(user_id=table.user_id.substr(1).cast("int32"))


def _last_events(s: Slice) -> Any:
    return last_events.last_events(s.dated, s.item_index.select("item_id", place="item_index"), s.cutoffs)


def _chosen(s: Slice) -> Any:
    return training_rows.chosen(_numbered(s.dated), s.cutoffs, one_in=5)


# What the profiles step runs where training rows are thinned.
THINNED: dict[str, Callable[[Slice], Any]] = {
    "training_rows.chosen": _chosen,
    "training_rows.counted": lambda s: training_rows.counted(_numbered(s.dated), s.cutoffs, one_in=5),
    "transforms.state of chosen cutoffs": lambda s: transforms.state(_numbered(s.items), _chosen(s)),
}
# Every public expression, by module; a test asks that none is left out.
EXPRESSIONS: dict[str, Callable[[Slice], Any]] = {
    "transforms.dated": lambda s: s.dated,
    "transforms.of_items": lambda s: s.items,
    "transforms.of_targets": lambda s: s.targets,
    "interest.of_records": lambda s: interest.of_records(s.dated, s.item_index, SIGNS),
    "interest.wanted": lambda s: interest.wanted(s.dated, s.item_index, SIGNS),
    "interest.labels": lambda s: interest.labels(interest.wanted(s.dated, s.item_index, SIGNS)),
    "transforms.state": lambda s: transforms.state(s.items, s.cutoffs),
    "transforms.recent": lambda s: transforms.recent(s.targets, s.cutoffs, weeks=3),
    "transforms.daily": lambda s: s.daily,
    "transforms.firsts": lambda s: s.firsts,
    "transforms.recent_days": lambda s: transforms.recent_days(s.daily, s.cutoffs, windows_days=WINDOWS),
    "transforms.last_session": lambda s: transforms.last_session(s.dated, s.cutoffs),
    "transforms.profile": _profile,
    "transforms.per_week": lambda s: s.items_weeks,
    "transforms.active": lambda s: s.active,
    "transforms.sold": lambda s: s.sold,
    "transforms.shares": _shares,
    "transforms.item_numbers": lambda s: transforms.item_numbers(s.items_weeks, s.sold, s.cutoffs),
    "intervals.steps": lambda s: s.steps,
    "intervals.gaps": lambda s: intervals.gaps(s.steps, s.cutoffs),
    "last_events.last_events": _last_events,
    "offers.weekly": lambda s: s.offers,
    "offers.of_items": lambda s: offers.of_items(s.offers, s.cutoffs),
    "offers.of_targets": _of_targets,
}


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Slice, Slice]]:
    """Return the slice on DuckDB and on Spark."""
    spark = spark_or_skip()
    clean = world().write(tmp_path_factory.mktemp("slice") / "clean")
    pq.write_table(some_offers(), clean / "offers.parquet")
    duckdb = engine.duckdb("1GB")
    yield sliced(duckdb, clean), sliced(spark, clean)
    duckdb.disconnect()


KEYS = ("user_id", "cutoff", "key", "day", "week", "known", "item_id", "item_index", "target_id", "at")


def rows(expression: Any) -> list[dict[str, Any]]:
    """Run an expression."""
    return ordered(expression.to_pyarrow())


def ordered(table: pa.Table) -> list[dict[str, Any]]:
    """List rows in an order of their own: by their keys, then by the whole row."""
    keys = [name for name in table.column_names if name in KEYS]
    return sorted(table.to_pylist(), key=lambda row: (*(str(row[k]) for k in keys), str(sorted(row.items(), key=str))))


def differences(left: Any, right: Any, place: str = "") -> list[str]:
    """Name the cells that differ."""
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        return [d for n, pair in enumerate(zip(left, right, strict=True)) for d in differences(*pair, f"{place}[{n}]")]
    if isinstance(left, dict) and isinstance(right, dict) and left.keys() == right.keys():
        return [d for name in left for d in differences(left[name], right[name], f"{place}.{name}")]
    if isinstance(left, float) and isinstance(right, float):
        same = math.isclose(left, right, rel_tol=TOLERANCE, abs_tol=TOLERANCE) or (
            math.isnan(left) and math.isnan(right)
        )
    elif isinstance(left, dt.datetime) and isinstance(right, dt.datetime):
        same = left.replace(tzinfo=dt.UTC) == right.replace(tzinfo=dt.UTC)  # both speak UTC; Spark does not say so
    else:
        same = type(left) is type(right) and left == right
    return [] if same else [f"{place}: {left!r} on DuckDB, {right!r} on Spark"]


def test_every_public_expression_is_compared() -> None:
    public = {
        f"{module.__name__.rpartition('.')[2]}.{name}"
        for module in (transforms, interest, intervals, last_events, offers)
        for name, member in inspect.getmembers(module, inspect.isfunction)
        if member.__module__ == module.__name__ and not name.startswith("_")
    }
    assert public == set(EXPRESSIONS)


@pytest.mark.slow  # two minutes of Spark; CI runs them
@pytest.mark.parametrize("name", list(EXPRESSIONS | THINNED))
def test_an_expression_gives_the_same_cells_on_both_engines(slices: tuple[Slice, Slice], name: str) -> None:
    duckdb, spark = (rows((EXPRESSIONS | THINNED)[name](s)) for s in slices)
    assert duckdb, "the slice gives rows"
    assert not differences(duckdb, spark)[:5]


@pytest.mark.slow  # a minute on two busy cores
def test_the_profiles_step_writes_the_same_files_on_spark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spark_or_skip()
    clean = world().write(tmp_path / "clean")
    pq.write_table(some_offers(), clean / "offers.parquet")
    split = json.dumps({"warmup_weeks": 3, "validate_weeks": 1, "test_weeks": 1})
    spec = json.dumps({"windows_days": [7], "segments": {"k": 2}})
    for name in engine.ENGINES:
        monkeypatch.setenv(engine.ENGINE, name)
        monkeypatch.setenv(engine.SPARK, json.dumps(SPARK_SETTINGS))
        steps.run_profiles(spec, split, json.dumps(worlds.VOCABULARY), clean=clean, destination=tmp_path / name)
    duckdb, spark = tmp_path / "duckdb", tmp_path / "spark"
    found = sorted(str(p.relative_to(duckdb)) for p in duckdb.rglob("*.*"))
    assert found == sorted(str(p.relative_to(spark)) for p in spark.rglob("*.*"))
    for file in found:
        if file.endswith(".parquet"):
            left, right = (pq.read_table(folder / file) for folder in (duckdb, spark))
            assert [f.name for f in left.schema] == [f.name for f in right.schema], file
            assert not differences(ordered(left), ordered(right), file)[:5]
        else:
            assert (duckdb / file).read_bytes() == (spark / file).read_bytes(), file


def test_an_engine_that_is_none_is_refused() -> None:
    with pytest.raises(SpecError, match="'sparc' is no engine; have duckdb, spark; did you mean 'spark'"):
        engine.chosen({engine.ENGINE: "sparc"})
