"""What `init` guesses of a file: names of columns as shops write them, formats of times, what intents are about."""

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.data import guess_times
from components.data.database import database
from components.data.guess import Columns, guess_events, guess_items
from feature_repo.errors import DataError, SpecError

NAMES = {
    "user_id": "user_id User customer_id customer household_id household member_id client_id visitor_id account_id "
    "buyer_id listener_id reader_id viewer_id reviewerID person_id uid member client account",
    "item_id": "item_id item ProductID product sku article_id article movieId track_id song_id video_id news_id "
    "book_id content_id StockCode asin isbn goods_id listing_id course_id show_id parent_asin iid",
    "timestamp": "timestamp event_time event_timestamp time datetime ts occurred_at transaction_timestamp purchased_at "
    "InvoiceDate order_date ordered_at transaction_date event_date t_dat date day created_at",
    "event": "event event_type event_name action action_type behavior behavior_type",
    "session_id": "session_id session user_session basket_id basket order_id InvoiceNo invoice transaction_id visit_id "
    "cart_id",
    "quantity": "quantity qty units count quantity_sold",
    "value": "value sales_value amount revenue spend total sales price unit_price",
    "discount": "discount discount_amount",
}
ITEM_NAMES = {
    "item_id": f"{NAMES['item_id']} id",
    "title": "title name product_name item_name prod_name description headline",
    "category": "category category_name product_category category_code main_category department section "
    "product_group_name category_id class",
    "brand": "brand brand_name manufacturer artist publisher",
    "price": "price unit_price list_price",
}
USUAL = {"user_id": "7", "item_id": "tea", "timestamp": "2024-01-01", "event": "view", "session_id": "s"}
NUMBERS = {"quantity": "1", "value": "2.5", "discount": "0"}


def events(folder: Path, columns: dict[str, Any], **mapping: str) -> Columns:
    """Guess a file of events with these columns, a value or a list of values each."""
    return _guessed(guess_events, folder, columns, mapping)


def items(folder: Path, columns: dict[str, Any], **mapping: str) -> Columns:
    return _guessed(guess_items, folder, columns, mapping)


def _guessed(guess: Any, folder: Path, columns: dict[str, Any], mapping: dict[str, str]) -> Columns:
    values = {name: given if isinstance(given, list) else [given] for name, given in columns.items()}
    longest = max(map(len, values.values()))
    lines = [",".join(column[n % len(column)] for column in values.values()) for n in range(longest)]
    path = folder / "log.csv"
    path.write_text("\n".join([",".join(values), *lines, ""]))
    with database(folder) as db:
        found = guess(db, path, mapping)
        assert isinstance(found, Columns)
        return found


CASES = [(own, name) for own, names in NAMES.items() for name in names.split()]


@pytest.mark.parametrize(("own", "name"), CASES, ids=[name for _, name in CASES])
def test_a_column_of_events_is_known_by_the_names_that_it_has_in_shops(tmp_path: Path, own: str, name: str) -> None:
    others = {column: value for column, value in USUAL.items() if column in ("user_id", "item_id", "timestamp")}
    others.pop(own, None)
    value = USUAL.get(own) or NUMBERS[own]
    if own == "user_id":
        others = {"item_id": "tea", "timestamp": "2024-01-01"}
    assert events(tmp_path, {**others, name: value}).columns[own] == name


ITEM_CASES = [(own, name) for own, names in ITEM_NAMES.items() for name in names.split()]


@pytest.mark.parametrize(("own", "name"), ITEM_CASES, ids=[f"{own}-{name}" for own, name in ITEM_CASES])
def test_a_column_of_items_is_known_by_the_names_that_it_has_in_shops(tmp_path: Path, own: str, name: str) -> None:
    key = {} if own == "item_id" else {"item_id": "tea"}
    assert items(tmp_path, {**key, name: "3"}).columns[own] == name


def test_the_first_name_of_the_list_wins_and_a_column_is_one_thing(tmp_path: Path) -> None:
    found = events(
        tmp_path, {"customer": "1", "user": "2", "sku": "a", "item": "b", "date": "2024-01-01", "price": "2"}
    )
    assert found.columns == {"user_id": "user", "item_id": "item", "timestamp": "date", "value": "price"}


def test_what_is_said_is_not_guessed(tmp_path: Path) -> None:
    log = {"User": "1", "other": "2", "sku": "a", "when": "2024-01-01", "note": "x"}
    found = events(tmp_path, log, user_id="OTHER", timestamp="when", quantity="note")
    assert found.columns == {"user_id": "other", "item_id": "sku", "timestamp": "when", "quantity": "note"}


@pytest.mark.parametrize(("value", "kept"), [("1", True), ("2.5", True), ("", True), ("many", False)])
def test_numbers_are_columns_of_numbers(tmp_path: Path, value: str, kept: bool) -> None:
    log = {
        "user_id": "1",
        "item_id": "a",
        "timestamp": "2024-01-01",
        "quantity": value,
        "price": value,
        "discount": value,
    }
    assert ({"quantity", "value", "discount"} <= events(tmp_path, log).columns.keys()) is kept
    assert ("price" in items(tmp_path, {"item_id": "a", "price": value}).columns) is kept


SECONDS = 1_704_715_200


@pytest.mark.parametrize(
    ("times", "form"),
    [
        ("2024-01-08", "iso"),
        ("2024-01-08 12:00:00", "iso"),
        ("2024-01-08T12:00:00Z", "iso"),
        (str(SECONDS), "epoch_s"),
        (f"{SECONDS}.5", "epoch_s"),
        (str(SECONDS * 1000), "epoch_ms"),
        (str(10**8), "epoch_s"),
        (str(10**10 - 1), "epoch_s"),
        (str(10**10 * 1000 - 1), "epoch_ms"),
        ("20240108", "%Y%m%d"),
        ("20240108120000", "%Y%m%d%H%M%S"),
        ("25/12/2024 10:00:00", "%d/%m/%Y %H:%M:%S"),
        ("25/12/2024 10:00", "%d/%m/%Y %H:%M"),
        ("25/12/2024", "%d/%m/%Y"),
        ("12/25/2024 10:00:00", "%m/%d/%Y %H:%M:%S"),
        ("12/25/2024 10:00", "%m/%d/%Y %H:%M"),
        ("12/25/2024", "%m/%d/%Y"),
        ("25.12.2024 10:00:00", "%d.%m.%Y %H:%M:%S"),
        ("25.12.2024 10:00", "%d.%m.%Y %H:%M"),
        ("25.12.2024", "%d.%m.%Y"),
        ("25-12-2024 10:00:00", "%d-%m-%Y %H:%M:%S"),
        ("25-12-2024 10:00", "%d-%m-%Y %H:%M"),
        ("25-12-2024", "%d-%m-%Y"),
        (["01/02/2024", "25/02/2024"], "%d/%m/%Y"),
        (["01/02/2024", "02/25/2024"], "%m/%d/%Y"),
        (["01/02/2024", ""], "%d/%m/%Y"),
    ],
)
def test_the_format_of_times_is_the_first_that_reads_all(tmp_path: Path, times: str | list[str], form: str) -> None:
    assert events(tmp_path, {"user_id": "1", "item_id": "a", "timestamp": times}).timestamps == form


@pytest.mark.parametrize(
    "texts",
    [
        ["2024-01-01"], ["5 Jan 2024"], ["5 J\u00e4n. 2024"], ["Jan 5, 2024 3:04 PM"], ["2024\u5e741\u67085\u65e5"],
        ["20240105"], ["05/06/24 1:02 am"], ["10/Oct/2000:13:55:36 -0700"], ["Mon, 05 Jan 2024 10:00:00 +0000"],
        ["Mon Jan 05 10:00:00 2024"], ["\u00a01.2.2024 "], ["noon", "3-Jan-24"], ["\u00a0"], ["\uff11\uff12/01/2024"],
        [f"day {'x' * n}" for n in range(guess_times.MOST_SHAPES)] + ["2024-01-01"],
    ],
)  # fmt: skip
def test_forms_that_are_not_tried_on_a_column_could_read_none_of_it(tmp_path: Path, texts: list[str]) -> None:
    with database(tmp_path) as db:
        db.register("given", pa.table({"value": texts}))
        db.execute("CREATE TEMP TABLE unread AS SELECT value, 1 AS rows FROM given")
        able = {form for form in guess_times.FORMS if guess_times._reads(db, form)}
        tried = guess_times._likely(db)
    assert able <= set(tried)
    assert len(tried) < len(guess_times.FORMS) or "\u00a0" in texts or len(texts) > guess_times.MOST_SHAPES


def test_times_that_no_format_reads_are_told(tmp_path: Path) -> None:
    told = (
        "log.csv: no format reads all of column 'ts', such as 'noon' (1 rows) beside iso; name another column with "
        "--map timestamp=<column>, or mend the file"
    )
    with pytest.raises(DataError) as error:
        events(tmp_path, {"user_id": "1", "item_id": "a", "ts": ["noon", "2024-01-01"]})
    assert str(error.value) == told


def test_the_only_column_of_times_needs_no_name(tmp_path: Path) -> None:
    def guessed(**more: Any) -> Columns:
        at = pa.array([dt.datetime(2024, 1, 8)])
        pq.write_table(pa.table({"user_id": ["1"], "item_id": ["a"], "played": at, **more}), tmp_path / "log.parquet")
        with database(tmp_path) as db:
            return guess_events(db, tmp_path / "log.parquet", {})

    assert (guessed().columns["timestamp"], guessed().timestamps) == ("played", "iso")
    assert guessed(note=["x"], count=[3], on=[True]).columns["quantity"] == "count"
    told = (
        r"no column looks like timestamp; read as parquet: user_id, item_id, played, paused; .* --map timestamp=played"
    )
    with pytest.raises(SpecError, match=told):
        guessed(paused=pa.array([dt.date(2024, 1, 8)]))


@pytest.mark.parametrize("kind", ["int8", "int16", "int32", "int64", "uint32", "float", "double", "decimal"])
def test_a_column_of_numbers_is_one_whatever_its_type(tmp_path: Path, kind: str) -> None:
    table = pa.table(
        {"user_id": ["1"], "item_id": ["a"], "day": [dt.date(2024, 1, 8)], "price": ["2"], "units": [True]}
    )
    number = pa.decimal128(21, 2) if kind == "decimal" else pa.type_for_alias(kind)
    price = table["price"].cast(pa.int64()).cast(number)
    pq.write_table(table.set_column(3, "price", price), tmp_path / "log.parquet")
    with database(tmp_path) as db:
        found = guess_events(db, tmp_path / "log.parquet", {})
    assert found.columns["value"] == "price"
    assert "quantity" not in found.columns


@pytest.mark.parametrize(
    ("columns", "mapping", "told"),
    [
        (
            {"a": "x", "b": "2024-01-01"},
            {},
            "log.csv: no column looks like user_id or item_id; read as fields split by ',', a header, utf-8: a, b; it "
            "starts: a,b / x,2024-01-01; say which is which, such as: intentflow init log.csv --map "
            "user_id=a,item_id=<column>",
        ),
        ({"a": "1"}, {"usr_id": "a"}, "--map usr_id=a: 'usr_id' is no column of events; have user_id, item_id, event, "
         "timestamp, created_at, session_id, quantity, value, discount, strength; did you mean 'user_id'?"),
        ({"abc": "1", "b": "2"}, {"user_id": "abd"}, "--map user_id=abd: no column 'abd' in log.csv; have abc, b; "
         "did you mean 'abc'?"),
    ],
)  # fmt: skip
def test_what_cannot_be_guessed_is_told(
    tmp_path: Path, columns: dict[str, Any], mapping: dict[str, str], told: str
) -> None:
    with pytest.raises(SpecError) as error:
        events(tmp_path, columns, **mapping)
    assert str(error.value) == told


def test_items_without_a_key_are_told(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as error:
        items(tmp_path, {"title": "Tea", "size": "1"})
    assert str(error.value) == (
        "log.csv: no column looks like items.item_id; read as fields split by ',', a header, utf-8: title, size; it "
        "starts: title,size / Tea,1; say which is which, such as: intentflow init EVENTS --items log.csv --map "
        "items.item_id=title"
    )


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    path.write_text("no parquet")
    for guess in (guess_events, guess_items):
        with database(tmp_path) as db, pytest.raises(DataError) as error:
            guess(db, path, {})
        assert str(error.value).startswith(f"{path}: log.parquet cannot be read: ")


KEY = [f"i{n}" for n in range(20)]


@pytest.mark.parametrize(
    ("columns", "level", "lists"),
    [
        ({"category": ["a", "b"]}, "category", {}),
        ({"category": ["a"], "brand": ["x", "y"]}, "items.brand", {}),  # one value tells nothing
        ({"category": ["a"]}, None, {}),
        ({"genres": ["rock|pop", "jazz"]}, "items.genres", {"genres": "|"}),
        ({"genres": ["rock;pop", "jazz"]}, "items.genres", {"genres": ";"}),
        ({"tags": ["hot|a", *["b"] * 9]}, "items.tags", {"tags": "|"}),  # every tenth has several
        ({"tags": ["hot|a", *["b"] * 19]}, "items.tags", {}),
        ({"Sub Category": ["a", "b"]}, "items.sub_category", {}),
        ({"type": ["a", "b"], "genre": ["c", "d"]}, "items.genre", {}),
        ({"tags": [""], "type": ["a", "b"]}, "items.type", {}),
    ],
)
def test_intents_are_about_the_first_column_with_some_values(
    tmp_path: Path, columns: dict[str, Any], level: str | None, lists: dict[str, str]
) -> None:
    found = items(tmp_path, {"item_id": KEY, **columns})
    assert (found.level, found.lists) == (level, lists)
    if level and level != "category":
        assert level.removeprefix("items.") in found.columns


def test_a_column_with_a_value_for_almost_every_item_is_no_level(tmp_path: Path) -> None:
    many = [f"c{n}" for n in range(1001)]
    assert items(tmp_path, {"item_id": many, "category": many}).level is None
    assert items(tmp_path, {"item_id": many, "category": [*many[:1000]]}).level == "category"
