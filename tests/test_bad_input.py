"""What each kind of bad input gets: docs/bad-input.md is written from these cases, and compared with them."""

import csv
import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from components.data.contract import validate
from components.data.ingest import ingest
from components.data.spec import Data
from feature_repo.errors import Refused, UserError
from pipelines import init, spec

DOCS = Path("docs/bad-input.md")
KEY = "5eed" * 8
NOW = dt.datetime(2024, 6, 1, tzinfo=dt.UTC)
HEAD = """# Bad input

What each mistake gets. Every line below is what the product says: this page is written from the tests
(`make golden`) and a difference fails them. Exit code 2 means that you can mend it, 3 that the contract said no; in
both cases nothing is half-written, and a re-run goes on from the last finished step.

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


def _ingest(folder: Path, edit: Edit) -> str:
    """Return what ingest and the contract say of edited rows."""
    rows = edit(_rows())
    with (folder / "orders.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list((rows or _rows())[0]))
        writer.writeheader()
        writer.writerows(rows)
    columns = COLUMNS | ({"quantity": "pieces"} if rows and "pieces" in rows[0] else {})
    data = Data.model_validate(
        {
            "source": {"type": "csv", "events": {"path": "orders.csv", "columns": columns}},
            "split": {"warmup_weeks": 3, "validate_weeks": 1, "test_weeks": 2},
        }
    )
    try:
        ingest(data, folder / "tables", key=KEY, base=folder, now=NOW)
        verdict = validate(folder / "tables", data, folder / "clean", now=NOW)
    except (UserError, Refused) as error:
        assert not list(folder.rglob("*.part"))
        return f"{error.exit_code} | {_shown(str(error), folder)}"
    warned = "; ".join(f"{w.table}: {w.rule}, {w.unexpected} rows" for w in verdict.warnings)
    return f"0 | goes on without these rows: {verdict.quarantined['events']} quarantined ({warned})"


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


SPECS: dict[str, dict[str, object]] = {
    "an unknown key": {"modles": {}},
    "an architecture that is none": {"models": {"intent": {"architecture": "transfomer"}}},
    "a wrong level of an intent": {"intents": [{"name": "buy", "level": "categry"}]},
    "k = 0": {"serving": {"k": 0}},
    "a time zone that is none": {"data": {"source": {"type": "completejourney"}, "timezone": "Europe/Berln"}},
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


def test_the_page_of_bad_input_is_what_the_product_says(tmp_path: Path, golden: Callable[[Path, str], None]) -> None:
    rows = [f"| {name} | {_spec(change)} |" for name, change in SPECS.items()]
    special = {"no such file": _missing_file, "an empty file": _empty_file, "`init` on unknown columns": _unguessable}
    for number, (name, case) in enumerate(special.items()):
        folder = tmp_path / f"special-{number}"
        folder.mkdir()
        rows.append(f"| {name} | {case(folder)} |")
    for number, (name, edit) in enumerate(ROWS.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        rows.append(f"| {name} | {_ingest(folder, edit)} |")
    golden(DOCS, HEAD + "\n".join(rows) + "\n")
