"""`intentflow init`: a first spec for the user's own files, with comments, that runs as it is.

How the files are written is found (`components.data.sniff`), columns are guessed (`components.data.guess`), then the
files are read through that guess, as ingest will do, and what they hold (`pipelines.findings`) decides the rest: weeks
the split, users and rows the sizes. Nothing is taken without being said.
"""

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import yaml

from components.data import file_source
from components.data.database import database
from components.data.guess import Columns, guess_events, guess_items
from components.data.guess_kinds import Kinds, guess_kinds
from components.data.source_spec import Files
from components.data.spec import Data
from components.intent.spec import Intent, IntentModel
from components.profiles.spec import Profiles
from components.ranking.spec import Ranking
from components.registry.spec import Promotion
from feature_repo import columns, files
from feature_repo.clock import DAY, WEEK, Step
from feature_repo.errors import DataError, SpecError
from pipelines.draft_comments import commented
from pipelines.findings import JUDGED_STEPS, Facts, Sizes, facts, sizes, step_of
from pipelines.findings_text import lines
from pipelines.nearest_domain import nearest
from pipelines.reference.schemas import SPEC_FILE as SCHEMA
from pipelines.visits_found import Visits, visits_of

MAX_KINDS = 20  # kinds of event that a rule lists
NOTED_SHARE = 0.15  # of rows set aside: from here on the draft says how many the contract allows
MADE_WEEKS = 12  # that rows without times are spread over
SESSION_TOLERANCE = 0.02  # by which a drafted session model may be worse than the last event and Markov chains tell
INTENT_NAMES = {
    "purchase": "buy",
    "transaction": "buy",
    "order": "buy",
    "play": "listen",
    "rating": "rate",
    "event": "engage",
}
WANTED_KINDS = ("purchase", "buy", "order", "transaction", "checkout")
WANTED_WORDS = ("purchase", "payment_done", "paid", "buy", "order", "transaction", "checkout", "购买", "下单", "支付")


@dataclass(frozen=True)
class Draft:
    """A drafted spec, and what was seen on the way."""

    text: str
    said: tuple[str, ...]  # what the data holds and what will not work, a line each
    found: Facts


def draft(
    events: Path,
    items: Path | None = None,
    *,
    name: str,
    mapping: Mapping[str, str] | None = None,
    folder: Path = Path("."),
) -> Draft:
    """Draft the spec `name` for files, as it would lie in `folder`; `mapping` overrules guesses.

    Keys of `mapping` are columns of ours: of events, or of items behind `items.` (`items.title`).
    """
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,39}", name):
        raise SpecError(f"name: '{name}' must start with a letter and hold a-z, 0-9 and - only, at most 40")
    for path in (events, items):
        if path and (not path.is_file() or path.stat().st_size == 0):
            raise DataError(f"{path}: {_no_file(path)}")
    told = {key: value for key, value in (mapping or {}).items() if not key.startswith("items.")}
    told_items = {key.removeprefix("items."): v for key, v in (mapping or {}).items() if key.startswith("items.")}
    with database(Path(tempfile.gettempdir())) as db:
        of_events = guess_events(db, events, told)
        own = {columns.ITEM_ID: of_events.columns[columns.ITEM_ID]} if items is None else {}
        of_items = guess_items(db, items or events, own | told_items)
        source = _source(db, events, items, of_events, of_items, folder)
        file_source.read(db, Files.model_validate(source), folder)
        level = of_items.level or f"items.{columns.ITEM_ID}"
        data, label = Data.model_validate({"source": source}), str(source["events"]["path"])
        step = step_of(db, data)
        data = data if step == WEEK else Data.model_validate({"source": source, "step": step})
        found = facts(db, data, level, label=label, pair=of_events.pair)
        kinds, split = _kinds(found), _split(found.period.weeks, step)
        asked = _asked(found, kinds.weights)
        visits = visits_of(db, data, found, split=split, bought=_bought(asked), kinds=asked)
    of_users = bool(found.people) and "items" not in source
    if of_users:  # nobody is too new to be met
        source["items"] = {"from": "users"}
        found = replace(found, support=(1, 1), supported=found.items)
    size = sizes(found, split, kinds=kinds, strength=of_events.strength, of_users=of_users)
    told_of = [note for note in (*of_events.notes, *of_items.notes) if not (of_users and "from: users" in note)]
    if kinds and (stars := source["events"]["columns"].pop(columns.STRENGTH, None)):
        told_of = [note for note in told_of if f"'{stars}' is taken as strength" not in note]
        told_of.append(f"column '{stars}' is left out: models.ranking.kinds says how much an item is wanted")
    spec = _spec(name, source, found, level, split=split, size=size, visits=visits)
    told_of += [
        nearest(found, strength=of_events.strength).line,
        *_of_kinds(found, kinds),
        *(visits.lines if visits else ()),
    ]
    notes = tuple(" ".join(note.split()) for note in told_of)
    return Draft(_written(spec, found, size, notes, folder), (*lines(found, size, split), *notes), found)


def _no_file(path: Path) -> str:
    """Say why a path is no file to look at, and of several files what to do."""
    if path.is_file():
        return "is empty (0 bytes)"
    held = sorted(path.iterdir()) if path.is_dir() else sorted(path.parent.glob(path.name)) if path.name else []
    if not held:
        return "is an empty folder" if path.is_dir() else "no such file"
    several = path / f"*{held[0].suffix}" if path.is_dir() else path
    what = "is a folder" if path.is_dir() else f"is a pattern, of {len(held)} files"
    return f"{what}; give init one file of it, such as {held[0]}, then write `path: {several}` in the spec"


def write(
    events: Path, items: Path | None, *, name: str, mapping: Mapping[str, str], output: Path | None, force: bool
) -> tuple[Path, Draft]:
    """Write the drafted spec beside the events, or to `output`; returns the file and the draft."""
    name = name or _name(events)
    target = output or events.parent / f"{name}.yaml"
    if target.exists() and not force:
        raise SpecError(f"{target}: is there already; give another --output, or --force to overwrite it")
    made = draft(events, items, name=name, mapping=mapping, folder=target.parent)
    with files.written(target) as aside:
        aside.write_text(made.text, encoding="utf-8")
    return target, made


def pairs(texts: tuple[str, ...]) -> dict[str, str]:
    """Read what `--map` said: one pair, or several with commas between them.

    >>> pairs(("user_id=who,item_id=what", "timestamp=Date, local"))
    {'user_id': 'who', 'item_id': 'what', 'timestamp': 'Date, local'}
    """
    found = {}
    for pair in (part for text in texts for part in re.split(r",(?=[\w.]+=)", text)):
        key, mark, column = pair.partition("=")
        if not mark or not key or not column:
            raise SpecError(f"--map: '{pair}' is no CANONICAL=COLUMN, such as user_id=customer")
        found[key] = column
    return found


def _name(events: Path) -> str:
    """Make a recommender's name of a file's.

    >>> _name(Path("2019-Nov.csv.gz"))
    'nov'
    """
    stem = events.name.partition(".")[0].lower()
    return re.sub(r"[^a-z0-9]+", "-", stem).lstrip("0123456789-").rstrip("-")[:40].rstrip("-") or "shop"


def _source(
    db: duckdb.DuckDBPyConnection,
    events: Path,
    items: Path | None,
    of_events: Columns,
    of_items: Columns,
    folder: Path,
) -> dict[str, Any]:
    """Describe the files as the spec does. Without one of items, the events' file tells what it can of them."""
    table: dict[str, Any] = {"path": os.path.relpath(events, folder), "columns": of_events.columns, **of_events.options}
    source: dict[str, Any] = {"type": of_events.kind, "events": table}
    if not of_events.timed:
        source["made_times"] = {"order": _order(db, of_events), "weeks": MADE_WEEKS}
    elif of_events.timestamps != "iso":
        table["timestamps"] = of_events.timestamps
    named = dict(of_items.columns)
    if items is None:
        named.pop(columns.PRICE, None)  # there it is what a user paid at that time
        if set(named) == {columns.ITEM_ID}:
            return source
    source["items"] = {"path": os.path.relpath(items or events, folder), "columns": named, **of_items.options}
    if items is None:
        source["items"] |= {option: value for option, value in of_events.options.items() if option == "nulls"}
    if of_items.lists:
        source["items"]["lists"] = of_items.lists
    return source


def _order(db: duckdb.DuckDBPyConnection, of_events: Columns) -> str:
    """Say in what order rows without times are taken: the file's, unless it is sorted by something else."""
    user = f'"{of_events.columns[columns.USER_ID]}"'
    for own in (columns.ITEM_ID, columns.QUANTITY):
        if own not in of_events.columns:
            continue
        number = f'TRY_CAST("{of_events.columns[own]}" AS DOUBLE)'
        row = db.execute(f"""
            SELECT avg(CAST(up AS INTEGER)), avg(CAST(down AS INTEGER)) FROM (
                SELECT {number} >= lag({number}) OVER w AS up, {number} <= lag({number}) OVER w AS down
                FROM guessed_events WINDOW w AS (PARTITION BY {user} ORDER BY source_row))""").fetchone()
        if row and max(row[0] or 0, row[1] or 0) > 0.95:
            return "random"
    return "rows"


def _spec(
    name: str,
    source: dict[str, Any],
    found: Facts,
    level: str,
    *,
    split: dict[str, int],
    size: Sizes,
    visits: Visits | None,
) -> dict[str, Any]:
    """Compose the spec; every slice is checked by its model, so that the draft is one that loads."""
    data: dict[str, Any] = {"source": source, "timezone": "UTC", "week_start": "monday", "contract": _contract(found)}
    data |= {"without_item": list(found.bare)} if found.bare else {}
    within = visits.intents() if visits else []
    data |= {"session_gap": visits.gap} if visits and within and visits.gap else {}
    data |= {"split": split} if found.step == WEEK else {"step": found.step, "split": split}
    Data.model_validate(data)
    profiles: dict[str, Any] = {
        "segments": {"method": "kmeans", "k": max(2, min(8, found.users // 20))},
        "ttl_days": 120,
    }
    profiles |= {"train_users": size.train_users} if size.train_users else {}
    Profiles.model_validate(profiles)
    of_users = source.get("items") == {"from": "users"}
    intents = _intents(found, None if of_users else level, size.ranking.get("kinds", {}))
    intents += [intent for intent in within if intent["name"] not in {other["name"] for other in intents}]
    for intent in intents:
        Intent.model_validate(intent)
    IntentModel.model_validate(size.intent)
    sessions, users = found.support
    ranking = {"min_item_sessions": sessions, "min_item_users": users, **size.ranking}
    Ranking.model_validate(ranking)
    models = {"intent": size.intent, "ranking": ranking}
    head = {"apiVersion": "intentflow/v1", "kind": "Recommender", "name": name}
    return head | {
        "data": data,
        "profiles": profiles,
        "intents": intents,
        "models": models,
        "promotion": {"mode": "auto", "refit": True} | ({"gates": _gates()} if within else {}),
    }


def _gates() -> list[dict[str, Any]]:
    """Return the gates that a spec has by itself, and one of the session model: what answers must be judged."""
    usual = [gate.model_dump(exclude_unset=True) for gate in Promotion().gates]
    return [*usual, {"metric": "session.auroc", "against": "baseline", "tolerance": SESSION_TOLERANCE}]


def _kinds(found: Facts) -> Kinds:
    """Weigh the kinds of events that have items, unless they are the items, or too many to list."""
    if found.kinds_are_items or not 1 < len(found.kinds) <= MAX_KINDS:
        return Kinds()
    return guess_kinds({kind: rows for kind, rows in found.kinds.items() if kind not in found.bare})


def _of_kinds(found: Facts, kinds: Kinds) -> list[str]:
    """Say what was drafted of kinds, and what was not."""
    told = []
    if found.bare:
        told.append(f"events of {', '.join(found.bare)} have no item: `data.without_item` counts them as activity")
    if kinds.unknown:
        told.append(
            f"kinds of no known word: {', '.join(kinds.unknown)}; their weight is 0, which says nothing of an item: "
            "give each its own in models.ranking.kinds"
        )
    elif not kinds and 1 < len(found.kinds) <= MAX_KINDS and not found.kinds_are_items:
        told.append(
            f"the kinds {', '.join(found.kinds)} have no known words, so each event counts alike; "
            "`models.ranking.kinds` weighs them, such as {view: 1, cart: 3, purchase: 5, skip: -1}"
        )
    return told


def _contract(found: Facts) -> dict[str, list[dict[str, Any]]]:
    """Ask for what holds today; what always must hold is asked for without being written here."""
    rules: list[dict[str, Any]] = []
    for column in columns.EVENTS_REQUIRED:
        rule: dict[str, Any] = {"expect": "not_null", "column": column}
        if column in found.missing:
            rule["mostly"] = max(0.01, int(100 * (1 - found.missing[column] / found.rows)) / 100 - 0.01)
        rules.append(rule)
    share = max(found.missing.values(), default=0) / found.rows
    if share > NOTED_SHARE:  # the default rule would stop the run; a week may lack more than all of them together
        rules.append({"expect": "set_aside", "max": min(0.99, round(1.25 * share + 0.05, 2))})
    if 1 < len(found.kinds) <= MAX_KINDS:
        rules.append({"expect": "one_of", "column": columns.EVENT, "values": list(found.kinds)})
    rules.append({"expect": "between", "column": columns.QUANTITY, "min": 0, "severity": "warning"})
    return {"events": rules}


def _split(weeks: int, step: Step = WEEK) -> dict[str, int]:
    """Share the clock's steps out: some 15 % to test, half of that to validate, a fifth to warm up.

    >>> _split(53)
    {'warmup_weeks': 10, 'validate_weeks': 4, 'test_weeks': 8}
    >>> _split(90, "day")
    {'warmup_steps': 18, 'validate_steps': 7, 'test_steps': 14}
    """
    most = JUDGED_STEPS[step]
    test = max(1, min(most, round(weeks * 0.15)))
    lengths = {
        "warmup": max(1, min(most * 11 // 8, weeks // 5)),
        "validate": max(1, min(most // 2, test // 2)),
        "test": test,
    }
    return {f"{part}_{'weeks' if step == WEEK else 'steps'}": n for part, n in lengths.items()}


def _horizon(found: Facts) -> dict[str, Any]:
    """Ask as far ahead as the data's length allows, under a split that labels take three horizons of.

    A week's question by days and a day's by hours, where that is at most a fifth of the data; else a step's.
    """
    if found.step == WEEK:
        return {"horizon_days": 7}
    steps, longer, one = (7, "7d", "24h") if found.step == DAY else (24, "24h", "1h")
    return {"horizon": longer if 3 * steps <= found.period.weeks // 5 else one}


def _asked(found: Facts, weights: Mapping[str, int]) -> list[str]:
    """List the kinds that an intent may be of: those that were wanted, and have items."""
    return [k for k in found.kinds if weights.get(k, 0 if weights else 1) > 0 and k not in found.bare]


def _bought(kinds: Sequence[str]) -> str | None:
    """Return the kind that says best that something was bought, if one does."""
    whole = next((k for wanted in WANTED_KINDS for k in kinds if k.lower() == wanted), None)
    return whole or next((k for word in WANTED_WORDS for k in kinds if word in k.lower()), None)


def _intents(found: Facts, level: str | None, weights: Mapping[str, int]) -> list[dict[str, Any]]:
    """Ask for the strongest kind of event, by the level's values; and for any event, where its time was measured.

    Without a level, as where items are people, it is one question for each kind.
    """
    item_level = level == f"items.{columns.ITEM_ID}"
    asked = _asked(found, weights)
    kind = _bought(asked) or asked[0]
    slug = re.sub(r"[^a-z0-9_]+", "_", kind.lower()).strip("_") or "act"
    intent: dict[str, Any] = {"name": INTENT_NAMES.get(slug, slug if slug[:1].isalpha() else f"do_{slug}")[:40]}
    if item_level and found.kinds_are_items:
        intent["name"] = "next"
    elif len(found.kinds) > 1:
        intent["event"] = kind
    if level is None:
        several = len(found.kinds) > 1
        return [intent | {"horizon_days": 7}] + ([{"name": "visit", "horizon_days": 7}] if several else [])
    most = 50 if item_level else 100
    intent |= {"level": level, "top": max(1, min(most, found.levels))} | _horizon(found)
    return [intent] if found.made else [intent, {"name": "visit"} | _horizon(found)]


def _written(spec: dict[str, Any], found: Facts, size: Sizes, notes: tuple[str, ...], folder: Path) -> str:
    """Dump the spec, leaves on one line each, with a comment where a section starts."""
    schema = os.path.relpath(SCHEMA, folder)
    head = [
        f"# yaml-language-server: $schema={schema}",
        f"# {spec['name']}: drafted by `intentflow init` from your files; read it, mend it, run it (docs/your-data.md)",
        *(f"# - {note}" for note in notes),
    ]
    dumped = yaml.safe_dump(spec, sort_keys=False, width=110, allow_unicode=True, default_flow_style=None)
    return "\n".join([*head, *commented(dumped.splitlines(), found, size)]) + "\n"
