"""`intentflow init`: a first spec for the user's own files, with comments, that runs as it is.

Columns are guessed (`components.data.guess`), then the files are read through that guess, as ingest will
do, and what they hold decides the rest: weeks the split, users and items the sizes. It writes nothing.
"""

import datetime as dt
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import yaml

from components.data import file_source
from components.data.database import database
from components.data.guess import Columns, guess_events, guess_items
from components.data.snapshot import Period, period
from components.data.source_spec import Files
from components.data.spec import Data
from components.intent.spec import Intent
from components.profiles.spec import Profiles
from components.ranking.spec import Ranking
from feature_repo import columns, files
from feature_repo.errors import DataError, SpecError
from pipelines.reference.schemas import SPEC_FILE as SCHEMA

LEAST_WEEKS = 4  # one each to warm up, train, validate and test
MAX_KINDS = 20  # kinds of event that a rule lists
SUPPORT = ((20, 5), (5, 3), (2, 2), (1, 1))  # sessions and users that an item needs, strictest first
ENOUGH_ITEMS = 50
INTENT_NAMES = {
    "purchase": "buy",
    "transaction": "buy",
    "order": "buy",
    "play": "listen",
    "rating": "rate",
    "event": "engage",
}
WANTED_KINDS = ("purchase", "buy", "order", "transaction", "checkout")


@dataclass(frozen=True)
class Facts:
    """What the files hold, read through the guess."""

    period: Period
    kinds: tuple[str, ...]  # most frequent first
    users: int
    levels: int  # distinct values of the level
    support: tuple[int, int]
    missing: dict[str, float]  # required column: share of rows without


def draft(
    events: Path,
    items: Path | None = None,
    *,
    name: str,
    mapping: Mapping[str, str] | None = None,
    folder: Path = Path("."),
) -> str:
    """Draft the spec `name` for files, as it would lie in `folder`; `mapping` overrules guesses.

    Keys of `mapping` are columns of ours: of events, or of items behind `items.` (`items.title`).
    """
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise SpecError(f"name: '{name}' must start with a letter and hold a-z, 0-9 and - only")
    for path in (events, items):
        if path and (not path.is_file() or path.stat().st_size == 0):
            raise DataError(f"{path}: {'is empty (0 bytes)' if path.is_file() else 'no such file'}")
    told = {key: value for key, value in (mapping or {}).items() if not key.startswith("items.")}
    told_items = {key.removeprefix("items."): v for key, v in (mapping or {}).items() if key.startswith("items.")}
    with database(Path(tempfile.gettempdir())) as db:
        of_events = guess_events(db, events, told)
        own = {columns.ITEM_ID: of_events.columns[columns.ITEM_ID]} if items is None else {}
        of_items = guess_items(db, items or events, own | told_items)
        source = _source(events, items, of_events, of_items, folder)
        facts = _facts(db, source, folder, of_items.level)
    return _written(_spec(name, source, facts, of_items.level), facts, folder)


def write(
    events: Path, items: Path | None, *, name: str, mapping: Mapping[str, str], output: Path | None, force: bool
) -> tuple[Path, str]:
    """Write the drafted spec beside the events, or to `output`; returns the file and its text."""
    name = name or re.sub(r"[^a-z0-9]+", "-", events.stem.lower()).strip("-") or "shop"
    target = output or events.parent / f"{name}.yaml"
    if target.exists() and not force:
        raise SpecError(f"{target}: is there already; give another --output, or --force to overwrite it")
    text = draft(events, items, name=name, mapping=mapping, folder=target.parent)
    with files.written(target) as aside:
        aside.write_text(text, encoding="utf-8")
    return target, text


def _source(events: Path, items: Path | None, of_events: Columns, of_items: Columns, folder: Path) -> dict[str, Any]:
    """Describe the files as the spec does. Without one of items, the events' file tells what it can of them."""
    kind = "parquet" if events.suffix == ".parquet" else "csv"
    table: dict[str, Any] = {"path": os.path.relpath(events, folder), "columns": of_events.columns}
    if of_events.timestamps != "iso":
        table["timestamps"] = of_events.timestamps
    source: dict[str, Any] = {"type": kind, "events": table}
    named = dict(of_items.columns)
    if items is None:
        named.pop(columns.PRICE, None)  # there it is what a user paid at that time
        if set(named) == {columns.ITEM_ID}:
            return source
    source["items"] = {"path": os.path.relpath(items or events, folder), "columns": named}
    if of_items.lists:
        source["items"]["lists"] = of_items.lists
    return source


def _facts(db: duckdb.DuckDBPyConnection, source: dict[str, Any], folder: Path, level: str | None) -> Facts:
    file_source.read(db, Files.model_validate(source), folder)
    data = Data.model_validate({"source": source})
    span = period(db, "source_events", data=data, now=dt.datetime.now(dt.UTC))
    if span.weeks < LEAST_WEEKS:
        raise DataError(f"{source['events']['path']}: {span.weeks} weeks of events; at least {LEAST_WEEKS} are needed")
    kinds = _rows(db, "SELECT event FROM source_events GROUP BY event ORDER BY count(*) DESC, event")
    shares = ", ".join(f"avg(CAST({column} IS NULL AS INTEGER))" for column in columns.EVENTS_REQUIRED)
    missing = zip(columns.EVENTS_REQUIRED, _rows(db, f"SELECT {shares} FROM source_events")[0], strict=True)
    return Facts(
        period=span,
        kinds=tuple(kind for (kind,) in kinds),
        users=_rows(db, "SELECT count(DISTINCT user_id) FROM source_events")[0][0],
        levels=_levels(db, level),
        support=_support(db),
        missing={column: float(share) for column, share in missing if share},
    )


def _levels(db: duckdb.DuckDBPyConnection, level: str | None) -> int:
    if level is None:
        return 0
    column = level.removeprefix("items.")
    kind = {row[0]: row[1] for row in _rows(db, "DESCRIBE source_items")}[column]
    value = f'unnest("{column}")' if kind.endswith("[]") else f'"{column}"'
    return int(_rows(db, f"SELECT count(DISTINCT v) FROM (SELECT {value} AS v FROM source_items)")[0][0])


def _support(db: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """Choose the strictest support that leaves items enough to recommend."""
    session = "coalesce(session_id, concat(user_id, CAST(timestamp AS DATE)))"
    counted = f"SELECT count(DISTINCT {session}) AS s, count(DISTINCT user_id) AS u FROM source_events GROUP BY item_id"
    for sessions, users in SUPPORT:
        wide, held = _rows(db, f"SELECT count(*), count_if(s >= {sessions} AND u >= {users}) FROM ({counted})")[0]
        if held >= min(ENOUGH_ITEMS, (wide + 1) // 2):
            return sessions, users
    return SUPPORT[-1]


def _spec(name: str, source: dict[str, Any], facts: Facts, level: str | None) -> dict[str, Any]:
    """Compose the spec; every slice is checked by its model, so that the draft is one that loads."""
    data = {"source": source, "timezone": "UTC", "week_start": "monday", "contract": _contract(facts)}
    data["split"] = _split(facts.period.weeks)
    Data.model_validate(data)
    profiles = {"segments": {"method": "kmeans", "k": max(2, min(8, facts.users // 20))}, "ttl_days": 120}
    Profiles.model_validate(profiles)
    intents = _intents(facts, level)
    for intent in intents:
        Intent.model_validate(intent)
    sessions, users = facts.support
    ranking = {"min_item_sessions": sessions, "min_item_users": users}
    Ranking.model_validate(ranking)
    models = {"intent": {"architecture": "transformer"}, "ranking": ranking}
    head = {"apiVersion": "intentflow/v1", "kind": "Recommender", "name": name}
    return head | {
        "data": data,
        "profiles": profiles,
        "intents": intents,
        "models": models,
        "promotion": {"mode": "auto"},
    }


def _contract(facts: Facts) -> dict[str, list[dict[str, Any]]]:
    """Ask for what holds today; what always must hold is asked for without being written here."""
    rules: list[dict[str, Any]] = []
    for column in columns.EVENTS_REQUIRED:
        rule: dict[str, Any] = {"expect": "not_null", "column": column}
        if column in facts.missing:
            rule["mostly"] = max(0.01, int(100 * (1 - facts.missing[column])) / 100 - 0.01)
        rules.append(rule)
    if 1 < len(facts.kinds) <= MAX_KINDS:
        rules.append({"expect": "one_of", "column": columns.EVENT, "values": list(facts.kinds)})
    rules.append({"expect": "between", "column": columns.QUANTITY, "min": 0, "severity": "warning"})
    return {"events": rules}


def _split(weeks: int) -> dict[str, int]:
    """Share weeks out: some 15 % to test, half of that to validate, a fifth to warm up.

    >>> _split(53)
    {'warmup_weeks': 10, 'validate_weeks': 4, 'test_weeks': 8}
    """
    test = max(1, min(8, round(weeks * 0.15)))
    return {
        "warmup_weeks": max(1, min(11, weeks // 5)),
        "validate_weeks": max(1, min(4, test // 2)),
        "test_weeks": test,
    }


def _intents(facts: Facts, level: str | None) -> list[dict[str, Any]]:
    """Ask for the strongest kind of event, by the level's values where there is a level; and for any event."""
    kind = next((k for wanted in WANTED_KINDS for k in facts.kinds if k.lower() == wanted), facts.kinds[0])
    slug = re.sub(r"\W+", "_", kind.lower()).strip("_")
    intent: dict[str, Any] = {"name": INTENT_NAMES.get(slug, slug if slug[:1].isalpha() else f"do_{slug}")[:40]}
    if len(facts.kinds) > 1:
        intent["event"] = kind
    if level:
        intent |= {"level": level, "top": min(100, facts.levels)}
    visit = {"name": "visit", "horizon_days": 7}
    return [intent | {"horizon_days": 7}, visit] if level or len(facts.kinds) > 1 else [visit]


COMMENTS = {
    "data:": "paths start at this file's folder; columns are `ours: yours`",
    "  timezone:": "local time of your weeks, such as Europe/Berlin",
    "  contract:": "rules that the data must keep; a critical one stops the run, severity: warning does not",
    "  split:": "whole weeks; the data has {weeks} ({first} to {last})",
    "profiles:": "what is known of a user: windows, groups of alike users, how long it may be used",
    "intents:": "what a user may do within 7 days; with a level, one question for each of its top values",
    "  ranking:": "items need this many sessions and users to be recommended",
    "promotion:": "auto: a release that passes the gates goes live; manual and dry_run do not",
}


def _written(spec: dict[str, Any], facts: Facts, folder: Path) -> str:
    """Dump the spec, leaves on one line each, with a comment where a section starts."""
    held = {"weeks": facts.period.weeks, "first": facts.period.first.date(), "last": facts.period.last.date()}
    schema = os.path.relpath(SCHEMA, folder)
    lines = [
        f"# yaml-language-server: $schema={schema}",
        f"# {spec['name']}: drafted by `intentflow init` from your files; read it, mend it, run it",
    ]
    for line in yaml.safe_dump(
        spec, sort_keys=False, width=110, allow_unicode=True, default_flow_style=None
    ).splitlines():
        key = re.match(r" *[a-zA-Z_]+:", line)
        comment = COMMENTS.get(key[0]) if key else None
        lines.append(f"{line}  # {comment.format(**held)}" if comment else line)
    return "\n".join(lines) + "\n"


def _rows(db: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in db.execute(query).fetchall()]
