"""What each kind of bad input gets: docs/bad-input.md is written from these cases, and compared with them."""

import csv
import datetime as dt
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from components.data.contract import validate
from components.data.derived import with_people
from components.data.ingest import ingest
from components.data.spec import Data
from feature_repo.errors import Refused, ServerError, UserError
from feature_repo.privacy.pseudonyms import matching, ring
from feature_repo.privacy.sealing import keys_of
from feature_repo.privacy.tombstones import Tombstones
from pipelines import environment, init, spec
from pipelines.privacy import forget, rotate_key

pytestmark = pytest.mark.world

DOCS = Path("docs/bad-input.md")
KEY = "5eed" * 8
NOW = dt.datetime(2024, 6, 1, tzinfo=dt.UTC)
HEAD = """# Bad input

What each mistake gets. Every line below is what the product says: this page is written from the tests
(`make golden`) and a difference fails them. Exit code 2 means that you can mend it, 3 that the contract said no, 1
that a server did not answer; nothing is ever half-written, and a re-run goes on from the last finished step.

| mistake | exit | message |
| --- | --- | --- |
"""
COLUMNS = {"user_id": "customer", "item_id": "sku", "timestamp": "bought_at"}


def _rows() -> list[dict[str, str]]:
    start = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)
    return [
        {
            "customer": f"u{u}",
            "sku": f"i{(u + w) % 5}",
            "bought_at": (start + dt.timedelta(weeks=w, hours=u)).isoformat(),
        }
        for w in range(12)
        for u in range(6)
    ]


Edit = Callable[[list[dict[str, str]]], list[dict[str, str]]]
ROWS: dict[str, Edit] = {
    "a column that is not there": lambda rows: [
        {("costumer" if k == "customer" else k): v for k, v in r.items()} for r in rows
    ],
    "text where a time should be": lambda rows: [*rows[:3], rows[3] | {"bought_at": "yesterday"}, *rows[4:]],
    "text where a number should be": lambda rows: [
        r | {"pieces": "two" if n == 4 else "1"} for n, r in enumerate(rows)
    ],
    "no rows, only a header": lambda rows: rows[:0],
    "too few weeks for the split": lambda rows: rows[:12],
    "events in the future": lambda rows: [
        r | {"bought_at": "2031-01-01T00:00:00Z"} if n < 9 else r for n, r in enumerate(rows)
    ],
    "a column that is empty throughout": lambda rows: [r | {"sku": ""} for r in rows],
    "the same event twice": lambda rows: rows + rows[:6],
}
IN_STEPS = {"split": {"warmup_steps": 3, "validate_steps": 1, "test_steps": 2}}
# Mistakes that are some under another clock or another catalogue.
UNDER: dict[str, tuple[Edit, dict[str, object]]] = {
    "a step finer than the data's clock": (
        lambda rows: [r | {"bought_at": r["bought_at"][:10]} for r in rows],
        IN_STEPS | {"step": "hour"},
    ),
    "days where all times are of one day of the week": (lambda rows: rows, IN_STEPS | {"step": "day"}),
    "a follow of oneself": (
        lambda rows: [r | {"sku": r["customer"] if n == 7 else f"u{(n + 1) % 6}"} for n, r in enumerate(rows)],
        {"items": {"from": "users"}},
    ),
    "an item id twice in the table of items, of which the first row counts": (
        lambda rows: rows,
        {"items": {"path": "items.csv"}},
    ),
}


# Mistakes that a rule of the spec names.
RULES: dict[str, tuple[Edit, dict[str, object]]] = {
    "a kind of event that models need and that never comes": (
        lambda rows: rows,
        {"expect": "present", "values": ["purchase"]},
    ),
    "a feed that has stopped": (lambda rows: rows, {"expect": "fresh", "days": 7}),
    "a last week with a fifth of its events": (
        lambda rows: [
            r | {"bought_at": r["bought_at"][:14] + f"{n:02}:00+00:00"}
            for r in rows
            for n in range(5 if r["bought_at"] < "2024-03-15" else 1)
        ],
        {"expect": "volume", "tolerance": 0.5},
    ),
    "item ids of another form": (
        lambda rows: [r | {"sku": "i1/b" if n == 7 else r["sku"]} for n, r in enumerate(rows)],
        {"expect": "matches", "column": "item_id", "pattern": "i\\d", "severity": "warning"},
    ),
}


def _ingest(
    folder: Path,
    edit: Edit,
    *rules: dict[str, object],
    clock: str = "data_end",
    under: dict[str, object] | None = None,
) -> str:
    """Return what ingest and the contract, with rules of the spec's own, say of edited rows."""
    rows = edit(_rows())
    with (folder / "orders.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list((rows or _rows())[0]))
        writer.writeheader()
        writer.writerows(rows)
    columns = COLUMNS | ({"quantity": "pieces"} if rows and "pieces" in rows[0] else {})
    (folder / "items.csv").write_text("item_id,title\n" + "".join(f"i{n % 5},Thing {n}\n" for n in range(6)))
    more = dict(under or {})
    items = {"items": more.pop("items")} if "items" in more else {}
    data = Data.model_validate(
        {
            "source": {"type": "csv", "events": {"path": "orders.csv", "columns": columns}} | items,
            "split": {"warmup_weeks": 3, "validate_weeks": 1, "test_weeks": 2},
            "contract": {"events": list(rules)},
        }
        | more
    )
    if data.items_are_users:
        data = data.model_copy(update={"contract": with_people(data.contract)})
    try:
        ingest(data, folder / "tables", key=KEY, base=folder, now=NOW)
        verdict = validate(folder / "tables", data, folder / "clean", now=NOW, clock=clock)
    except (UserError, Refused) as error:
        assert not list(folder.rglob("*.part"))
        return f"{error.exit_code} | {_shown(str(error), folder)}"
    warned = "; ".join(f"{w.table}: {w.rule}, {w.unexpected} rows" for w in verdict.warnings)
    return f"0 | goes on without these rows: {sum(verdict.quarantined.values())} quarantined ({warned})"


def _shown(message: str, folder: Path) -> str:
    assert "\n" not in message
    return "`" + message.replace(str(folder), "DATA").replace("|", "\\|") + "`"


def _spec(change: dict[str, object]) -> str:
    document = {
        "apiVersion": "intentflow/v1",
        "kind": "Recommender",
        "name": "shop",
        "data": {"source": {"type": "csv", "events": {"path": "orders.csv"}}},
        "intents": [{"name": "buy", "level": "category"}],
    }
    try:
        spec.parse(document | change, place="shop.yaml")
    except UserError as error:
        return f"{error.exit_code} | {_shown(str(error), Path('nowhere'))}"
    raise AssertionError("the spec was taken")


def _rule(**rule: object) -> dict[str, object]:
    source = {"type": "csv", "events": {"path": "orders.csv"}}
    return {"data": {"source": source, "contract": {"events": [rule]}}}


def _people(**change: object) -> dict[str, object]:
    return {"data": {"source": CSV | {"events": {"path": "o.csv"}, "items": {"from": "users"}}}} | change


CSV: dict[str, object] = {"type": "csv"}
SPECS: dict[str, dict[str, object]] = {
    "an unknown key": {"modles": {}},
    "an architecture that is none": {"models": {"intent": {"architecture": "transfomer"}}},
    "a setting of another policy": {"policy": {"name": "softmax", "epsilon": 0.1}},
    "a protected placement that is not declared": {
        "placements": {"home": {}, "checkout": {}},
        "policy": {"name": "softmax", "guard": {"placements": ["chekout"]}},
    },
    "a reward that can never come": {"policy": {"rewards": [{"name": "back", "kind": "return", "within": "24h"}]}},
    "a wrong level of an intent": {"intents": [{"name": "buy", "level": "categry"}]},
    "an intent of a kind that is not declared": {
        "models": {"ranking": {"kinds": {"view": 1, "purchase": 5}}},
        "intents": [{"name": "buy", "event": "purchse"}],
    },
    "an intent to not want something": {
        "models": {"ranking": {"kinds": {"view": 1, "skip": -1}}},
        "intents": [{"name": "leave", "event": "skip"}],
    },
    "a repeat of a kind that is not declared": {
        "models": {"ranking": {"kinds": {"view": 1, "purchase": 5}, "repeat": {"buy": "forbid"}}}
    },
    "a kind without an item that says it was wanted": {
        "data": {"source": {"type": "completejourney"}, "without_item": ["view"]},
        "models": {"ranking": {"kinds": {"view": 1, "purchase": 5}}},
    },
    "an impression that counts as wanted": {
        "models": {"ranking": {"kinds": {"click": 1, "shown": 1}, "impression": "shown"}}
    },
    "k = 0": {"serving": {"k": 0}},
    "a horizon below the step": {"intents": [{"name": "buy", "level": "category", "horizon": "24h"}]},
    "a horizon of no whole steps": {"intents": [{"name": "buy", "level": "category", "horizon": "10d"}]},
    "a horizon of the ranker below the step": {"models": {"ranking": {"horizon": "3d"}}},
    "windows of hours where days are counted": {"profiles": {"windows_days": ["6h", 7]}},
    "a split in weeks whose steps are days": {
        "data": {"source": CSV | {"events": {"path": "o.csv"}}, "step": "day", "split": {"test_weeks": 2}}
    },
    "a time zone that is none": {"data": {"source": {"type": "completejourney"}, "timezone": "Europe/Berln"}},
    "a unit of what is no number": {"data": {"source": CSV | {"events": {"path": "o.csv", "units": {"valeu": 0.01}}}}},
    "a password in the spec": {"data": {"source": {"type": "sql", "url": "postgresql://ann:x@db/shop", "events": {}}}},
    "a table and a query": {
        "data": {"source": {"type": "sql", "url_env": "SHOP", "events": {"table": "a", "query": "SELECT 1"}}}
    },
    "a drift after the last week": {"data": {"source": {"type": "synthetic", "weeks": 20, "drift_week": 30}}},
    "a rule about a column that is not there": _rule(expect="not_null", column="user"),
    "a rule that its column cannot be asked": _rule(expect="between", column="event", min=0),
    "a rule about ids that are pseudonyms": _rule(expect="matches", column="user_id", pattern="u.*"),
    "a pattern that is none": _rule(expect="matches", column="item_id", pattern="[a-"),
    "money compared with a time": _rule(expect="compare", column="value", op="<", other="timestamp"),
    "freshness without its limit": _rule(expect="fresh"),
    "items from what is no user": {
        "data": {"source": CSV | {"events": {"path": "o.csv"}, "items": {"from": "clients"}}}
    },
    "people who may be shown to themselves": _people(models={"ranking": {"exclude_self": False}}),
    "a question for each person": _people(intents=[{"name": "follow", "level": "items.item_id"}]),
    "offers of people": {
        "data": {"source": CSV | {"events": {"path": "o.csv"}, "items": {"from": "users"}, "offers": {"path": "p.csv"}}}
    },
    "a gate without its limit": {"promotion": {"gates": [{"metric": "intent.ece", "against": "value"}]}},
}


def _missing_file(folder: Path) -> str:
    data = Data.model_validate({"source": {"type": "csv", "events": {"path": "ordres.csv", "columns": COLUMNS}}})
    with pytest.raises(UserError) as error:
        ingest(data, folder / "tables", key=KEY, base=folder)
    return f"{error.value.exit_code} | {_shown(str(error.value), folder)}"


def _empty_file(folder: Path) -> str:
    (folder / "orders.csv").touch()
    data = Data.model_validate({"source": {"type": "csv", "events": {"path": "orders.csv", "columns": COLUMNS}}})
    with pytest.raises(UserError) as error:
        ingest(data, folder / "tables", key=KEY, base=folder)
    return f"{error.value.exit_code} | {_shown(str(error.value), folder)}"


def _unguessable(folder: Path) -> str:
    (folder / "orders.csv").write_text("a,b,c\n1,2,3\n")
    with pytest.raises(UserError) as error:
        init.draft(folder / "orders.csv", name="shop")
    return f"{error.value.exit_code} | {_shown(str(error.value), folder)}"


SERVER = "postgresql://ann:secret@127.0.0.1:9/shop"
DATABASES: dict[str, tuple[str | None, dict[str, object]]] = {  # the URL, and how the events are declared
    "a database whose variable is not set": (None, {"table": "orders"}),
    "a database URL that is none": ("shop", {"table": "orders"}),
    "a database that is away": (SERVER, {"table": "orders"}),
    "a table that is not there": ("sqlite:///{}/shop.db", {"table": "ordres"}),
    "a column that the table has not": ("sqlite:///{}/shop.db", {"table": "orders", "columns": {"user_id": "client"}}),
}


def _database(folder: Path, url: str | None, events: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> str:
    with sqlite3.connect(folder / "shop.db") as connection:
        connection.execute("CREATE TABLE orders (customer TEXT, item_id TEXT, timestamp TEXT)")
    monkeypatch.delenv("SHOP_DATABASE_URL", raising=False)
    if url:
        monkeypatch.setenv("SHOP_DATABASE_URL", url.format(folder))
    data = Data.model_validate({"source": {"type": "sql", "url_env": "SHOP_DATABASE_URL", "events": events}})
    with pytest.raises((UserError, ServerError)) as error:
        ingest(data, folder / "tables", key=KEY, base=folder)
    assert "secret" not in str(error.value)
    return f"{error.value.exit_code} | {_shown(str(error.value), folder)}"


def _no_wheel(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError) as error:
        ingest(Data.model_validate({"source": {"type": "movielens"}}), folder / "tables", key=KEY, base=folder)
    return f"{error.value.exit_code} | {_shown(str(error.value), folder)}"


PRIVACY: dict[str, Callable[[Path], object]] = {
    "a key that is no key": lambda _: ring({"INTENTFLOW_PSEUDONYM_KEY": "secret"}),
    "a service with another key than its release": lambda _: matching((KEY,), "0123456789ab", what="release 1f2e3d4c"),
    "a key that forgotten people are not marked under": lambda folder: (
        Tombstones(folder, ("0a" * 16,)).write("ann", {}),
        Tombstones(folder, (KEY,)),
    ),
    "a key of encryption at rest that is no key": lambda _: keys_of("secret"),
    "a log under another key": lambda folder: keys_of("0a" * 32).open(
        keys_of("0b" * 32).seal(b"{}"), what=f"{folder}/events/2024-06-01.00000.jsonl: a line"
    ),
    "nobody to forget": lambda _: forget.forget(_place(), []),
    "a rotation without a previous key": lambda folder: rotate_key.rotate(_place(folder)),
}


def _place(folder: Path = Path("nowhere")) -> environment.Installation:
    return environment.place(Path("pipelines/specs/grocery.yaml"), "local", variables={"INTENTFLOW_STATE": str(folder)})


def _refusal(case: Callable[[Path], object], folder: Path) -> str:
    with pytest.raises(UserError) as error:
        case(folder)
    return f"{error.value.exit_code} | {_shown(str(error.value), folder)}"


def test_the_page_of_bad_input_is_what_the_product_says(
    tmp_path: Path, golden: Callable[[Path, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"| {name} | {_spec(change)} |" for name, change in SPECS.items()]
    special = {"no such file": _missing_file, "an empty file": _empty_file, "`init` on unknown columns": _unguessable}
    for number, (name, case) in enumerate(special.items()):
        folder = tmp_path / f"special-{number}"
        folder.mkdir()
        rows.append(f"| {name} | {case(folder)} |")
    rows += [f"| {name} | {_refusal(case, tmp_path)} |" for name, case in PRIVACY.items()]
    for number, (name, edit) in enumerate(ROWS.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        rows.append(f"| {name} | {_ingest(folder, edit)} |")
    for number, (name, (edit, rule)) in enumerate(RULES.items()):
        folder, clock = tmp_path / f"rule-{number}", "wall" if rule["expect"] == "fresh" else "data_end"
        folder.mkdir()
        rows.append(f"| {name} | {_ingest(folder, edit, rule, clock=clock)} |")
    for number, (name, (edit, under)) in enumerate(UNDER.items()):
        folder = tmp_path / f"under-{number}"
        folder.mkdir()
        rows.append(f"| {name} | {_ingest(folder, edit, under=under)} |")
    for number, (name, (url, events)) in enumerate(DATABASES.items()):
        folder = tmp_path / f"database-{number}"
        folder.mkdir()
        rows.append(f"| {name} | {_database(folder, url, events, monkeypatch)} |")
    with monkeypatch.context() as without:
        rows.append(f"| MovieLens without its package | {_no_wheel(tmp_path, without)} |")
    golden(DOCS, HEAD + "\n".join(rows) + "\n")
