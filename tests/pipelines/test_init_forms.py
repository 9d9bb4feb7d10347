"""`init` on the forms that files have: each drafts, and the drafted spec reads every row."""

import datetime as dt
import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.data.contract import validate
from components.data.ingest import ingest
from components.data.spec import Data
from feature_repo.errors import DataError
from pipelines.init import Draft, draft

ROWS = 400


def moments(days: int = 70) -> list[dt.datetime]:
    dice = random.Random(0)
    start = dt.datetime(2024, 1, 1)
    return sorted(start + dt.timedelta(minutes=dice.randrange(days * 24 * 60)) for _ in range(ROWS))


TRIPLES = [(f"u{n * 7 % 31}", f"item {n % 12}", at) for n, at in enumerate(moments())]
Triple = tuple[str, str, dt.datetime]


def lines(row: str, header: str | None = None) -> str:
    """Write the rows by a template of user, item and time."""
    rows = [
        row.format(user=user, item=item, at=at, n=n, s=int(at.timestamp()))
        for n, (user, item, at) in enumerate(TRIPLES)
    ]
    return "\n".join([*([header] if header else []), *rows, ""])


def drafted(path: Path, items: Path | None = None, **mapping: str) -> tuple[dict[str, Any], Draft]:
    made = draft(path, items, name="x", folder=path.parent, mapping=mapping)
    return yaml.safe_load(made.text), made


def read(spec: dict[str, Any], folder: Path) -> int:
    """Read the source as a draft says; return its events."""
    data = Data.model_validate(spec["data"])
    return ingest(data, folder / "out" / "tables", key="00" * 16, base=folder).rows["events"]


def kept(spec: dict[str, Any], folder: Path) -> int:
    """Run the data steps; return the events that go on."""
    data = Data.model_validate(spec["data"])
    ingest(data, folder / "out" / "tables", key="00" * 16, base=folder)
    return validate(folder / "out" / "tables", data, folder / "out" / "clean").kept["events"]


FORMS: dict[str, tuple[str, str, dict[str, Any], dict[str, str]]] = {
    "double colons without a header, as MovieLens has": (
        lines("{user}::{item}::5::{s}"),
        "utf-8",
        {"delimiter": "::", "header": "none", "timestamps": "epoch_s"},
        {"user_id": "c1", "item_id": "c2", "timestamp": "c4"},
    ),
    "blanks between names of nodes": (
        lines("{user} i{n} {s}", "FROM_NODE TO_NODE TIMESTAMP"),
        "utf-8",
        {"delimiter": "whitespace", "timestamps": "epoch_s"},
        {"user_id": "FROM_NODE", "item_id": "TO_NODE", "timestamp": "TIMESTAMP"},
    ),
    "tabs": (
        lines("{user}\t{item}\t{at:%Y-%m-%d %H:%M}", "uid\tiid\ttime"),
        "utf-8",
        {"delimiter": "\t"},
        {"user_id": "uid", "item_id": "iid", "timestamp": "time"},
    ),
    "Latin-1": (
        lines("{user};café {item};{at:%d.%m.%Y %H:%M}", "Kundennr;Artikel;Datum"),
        "latin-1",
        {"delimiter": ";", "encoding": "cp1252", "timestamps": "%d.%m.%Y %H:%M"},
        {"user_id": "Kundennr", "item_id": "Artikel", "timestamp": "Datum"},
    ),
    "UTF-16": (
        lines("{user},{item},{at:%m/%d/%Y}", "visitorid,itemid,date"),
        "utf-16",
        {"encoding": "utf-16", "timestamps": "%m/%d/%Y"},
        {"user_id": "visitorid", "item_id": "itemid", "timestamp": "date"},
    ),
    "Chinese in GB18030": (
        lines("{user},绿茶{item},{at:%Y-%m-%d %H:%M:%S}", "用户ID,商品,时间"),
        "gb18030",
        {"encoding": "gb18030"},
        {"user_id": "用户ID", "item_id": "商品", "timestamp": "时间"},
    ),
    "Chinese dates": (
        lines("{user},{item},{at:%Y年%m月%d日}", "会员编号,商品名称,购买日期"),
        "utf-8",
        {"timestamps": "%Y年%m月%d日"},
        {"user_id": "会员编号", "item_id": "商品名称", "timestamp": "购买日期"},
    ),
    "milliseconds": (
        lines("{user},{item},{s}000", "userId,movieId,timestamp"),
        "utf-8",
        {"timestamps": "epoch_ms"},
        {"user_id": "userId", "item_id": "movieId", "timestamp": "timestamp"},
    ),
    "hours with AM and PM": (
        lines("{user},{item},{at:%m/%d/%Y %I:%M %p}", "member_id,track_id,played at"),
        "utf-8",
        {"timestamps": "%m/%d/%Y %I:%M %p"},
        {"user_id": "member_id", "item_id": "track_id", "timestamp": "played at"},
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_found_written_as_options_and_read_whole(tmp_path: Path, form: str) -> None:
    text, encoding, options, columns = FORMS[form]
    (tmp_path / "log.csv").write_bytes(text.encode(encoding))
    spec, _ = drafted(tmp_path / "log.csv")
    events = spec["data"]["source"]["events"]
    assert events == {"path": "log.csv", "columns": columns, **options}
    assert read(spec, tmp_path) == ROWS


def test_json_lines_packed(tmp_path: Path) -> None:
    rows = [{"user": u, "product": i, "ts": int(at.timestamp()), "kind": "x"} for u, i, at in TRIPLES]
    (tmp_path / "log.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    spec, _ = drafted(tmp_path / "log.jsonl.gz")
    source = spec["data"]["source"]
    assert source["type"] == "jsonl"
    assert source["events"]["columns"] == {"user_id": "user", "item_id": "product", "timestamp": "ts"}
    assert read(spec, tmp_path) == ROWS


def test_mixed_forms_of_dates_become_a_list_with_one_order_of_day_and_month(tmp_path: Path) -> None:
    text = "\n".join(
        f"{u},{i},{f'{at:%d-%m-%Y}' if at.day > 12 else f'{at.day}/{at.month}/{at.year}'}" for u, i, at in TRIPLES
    )
    (tmp_path / "log.csv").write_text(f"Member_number,itemDescription,Date\n{text}\n")
    spec, _ = drafted(tmp_path / "log.csv")
    assert spec["data"]["source"]["events"]["timestamps"] == ["%d-%m-%Y", "%d/%m/%Y"]
    assert read(spec, tmp_path) == ROWS


def test_days_that_may_be_months_are_said(tmp_path: Path) -> None:
    text = "\n".join(f"{u},{i},{at.day % 12 + 1:02}/{at.month:02}/2024" for u, i, at in TRIPLES)
    (tmp_path / "log.csv").write_text(f"user,item,date\n{text}\n")
    _, made = drafted(tmp_path / "log.csv")
    said = "no day of column 'date' is over 12, so %d/%m/%Y is a guess"
    assert said in made.text
    assert any(said in line for line in made.said)


def test_day_first_and_month_first_in_one_column_are_refused(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user,item,date\n" + "1,2,25/01/2024\n1,2,01/25/2024\n" * 9)
    with pytest.raises(DataError, match="has the day first in some rows and the month first in others"):
        drafted(tmp_path / "log.csv")


def test_blank_rows_are_counted_and_their_rule_says_so(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(lines("{user},{item},{at:%Y-%m-%d %H:%M}\n,,", "user,item,time"))
    spec, made = drafted(tmp_path / "log.csv")
    rule = spec["data"]["contract"]["events"][0]
    assert rule == {"expect": "not_null", "column": "user_id", "mostly": 0.49}
    assert "mostly: 0.49}  # 400 of 800 rows lack it today and are set aside; a larger share stops the run" in made.text
    assert "- {expect: set_aside, max: 0.68}  # LAX: 400 of 800 rows are set aside today" in made.text
    assert "400 of 800 rows (50.0 %) are blank: the contract sets them aside and says so" in made.said
    assert kept(spec, tmp_path) == len(set(TRIPLES))


def test_words_for_nothing_are_listed(tmp_path: Path) -> None:
    text = lines("{user},{item},{at:%Y-%m-%d %H:%M},2", "user,item,time,qty")
    (tmp_path / "log.csv").write_text(text + "NA,item 1,2024-02-01,2\nu1,item 1,2024-02-02,?\nu1,item 1,0000-00-00,1\n")
    spec, _ = drafted(tmp_path / "log.csv")
    events = spec["data"]["source"]["events"]
    assert events["nulls"] == ["0000-00-00", "?", "NA"]
    assert events["columns"]["quantity"] == "qty"
    assert kept(spec, tmp_path) == len(set(TRIPLES)) + 1


def test_counts_are_a_quantity_and_stars_a_strength_and_both_are_said(tmp_path: Path) -> None:
    text = lines("{user},{item},{at:%Y-%m-%d %H:%M},4.5,17", "userID,artistID,time,rating,weight")
    (tmp_path / "log.csv").write_text(text)
    spec, made = drafted(tmp_path / "log.csv")
    assert spec["data"]["source"]["events"]["columns"] == {
        "user_id": "userID",
        "item_id": "artistID",
        "timestamp": "time",
        "quantity": "weight",
        "strength": "rating",
    }
    assert spec["models"]["ranking"]["weight"] == {"of": "strength", "scale": "rank"}
    assert "'weight' is taken as quantity: how often, a strength of the row, and no money" in made.said
    assert "# - 'rating' is taken as strength: how much a user liked it, and no money" in made.text
    assert "what had more strength is wanted more; left out: every row counts alike" in made.text


@pytest.mark.parametrize(("column", "weight"), [("plays", {"of": "quantity", "scale": "log"}), ("qty", None)])
def test_how_often_weighs_labels_and_how_many_pieces_does_not(
    tmp_path: Path, column: str, weight: dict[str, str] | None
) -> None:
    (tmp_path / "log.csv").write_text(lines("{user},{item},{at:%Y-%m-%d %H:%M},17", f"user,artist,time,{column}"))
    spec, _ = drafted(tmp_path / "log.csv")
    assert spec["models"]["ranking"].get("weight") == weight


def test_stars_in_words_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(lines("{user},{item},{at:%Y-%m-%d %H:%M},good", "user,movie_id,time,rating"))
    spec, made = drafted(tmp_path / "log.csv")
    assert "strength" not in spec["data"]["source"]["events"]["columns"]
    assert "weight" not in spec["models"]["ranking"]
    assert "column 'rating' is left out of strength: it holds texts that are no numbers" in made.said


def test_a_price_of_one_piece_is_multiplied(tmp_path: Path) -> None:
    text = lines(
        "A{n},{item},3,{at:%Y-%m-%d %H:%M},2.5,{user}", "InvoiceNo,StockCode,Quantity,InvoiceDate,UnitPrice,CustomerID"
    )
    (tmp_path / "log.csv").write_text(text)
    spec, made = drafted(tmp_path / "log.csv")
    events = spec["data"]["source"]["events"]
    assert events["times"] == {"value": "Quantity"}
    assert events["columns"]["value"] == "UnitPrice"
    assert any(line.startswith("value is 'unitprice' times 'quantity'") for line in made.said)


def test_decimal_commas_are_left_out_and_said_where_they_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(lines("{user};{item};{at:%Y-%m-%d %H:%M};2,50", "user;item;time;price"))
    spec, made = drafted(tmp_path / "log.csv")
    mapped = "value" in spec["data"]["source"]["events"]["columns"]
    assert mapped or any("decimal comma" in line for line in made.said)
    assert read(spec, tmp_path) == ROWS


def test_events_without_times_are_ordered_and_declared_so(tmp_path: Path) -> None:
    text = "\n".join(f"u{n % 20}\t{n // 20}\t{1000 - n}" for n in range(400))
    (tmp_path / "plays.dat").write_text(f"userID\tartistID\tplays\n{text}\n")
    spec, made = drafted(tmp_path / "plays.dat")
    source = spec["data"]["source"]
    assert source["made_times"] == {"order": "random", "weeks": 12}  # the file is sorted by item and by plays
    assert "NO TIMES in the data: made by order, not measured" in made.text
    assert "leave-one-out by order" in made.text
    assert [intent["name"] for intent in spec["intents"]] == ["engage"]  # when somebody comes was not measured
    assert any("12 weeks made by order, not measured" in line for line in made.said)
    assert read(spec, tmp_path) == ROWS


def test_rows_as_they_happened_keep_the_files_order(tmp_path: Path) -> None:
    dice = random.Random(1)
    text = "\n".join(f"u{n % 20},{dice.randrange(30)}" for n in range(400))
    (tmp_path / "log.csv").write_text(f"user,item\n{text}\n")
    spec, _ = drafted(tmp_path / "log.csv")
    assert spec["data"]["source"]["made_times"] == {"order": "rows", "weeks": 12}


def test_a_funnel_without_items_recommends_its_steps(tmp_path: Path) -> None:
    steps = ("main", "catalog", "cart", "payment_done")
    text = "\n".join(f"{u},{steps[n % 4]},{at:%Y-%m-%d %H:%M:%S}" for n, (u, _, at) in enumerate(TRIPLES))
    (tmp_path / "funnel.csv").write_text(f"user_id,event,timestamp\n{text}\n")
    spec, made = drafted(tmp_path / "funnel.csv")
    assert spec["data"]["source"]["events"]["columns"]["item_id"] == "event"
    assert spec["intents"][0] == {"name": "next", "level": "items.item_id", "top": 4, "horizon_days": 7}
    assert any("the 4 kinds of 'event' stand for them" in line for line in made.said)


def test_movies_without_a_header_have_titles_and_kinds(tmp_path: Path) -> None:
    (tmp_path / "ratings.dat").write_text(lines("{user}::{n}::5::{s}").replace("::item ", "::"))
    titles = [f"{n}::Café {n} (1995)::{('Comedy|Drama', 'Crime')[n % 2]}" for n in range(ROWS)]
    (tmp_path / "movies.dat").write_bytes("\n".join(titles).encode("latin-1"))
    spec, _ = drafted(tmp_path / "ratings.dat", tmp_path / "movies.dat")
    assert spec["data"]["source"]["items"] == {
        "path": "movies.dat",
        "columns": {"item_id": "c1", "title": "c2", "tags": "c3"},
        "delimiter": "::",
        "header": "none",
        "encoding": "cp1252",
        "lists": {"tags": "|"},
    }
    assert spec["intents"][0]["level"] == "items.tags"
    assert spec["intents"][0]["top"] == 3
    assert read(spec, tmp_path) == ROWS


def test_nobody_who_comes_back_is_said_before_anything_is_trained(tmp_path: Path) -> None:
    text = "\n".join(f"u{n},{i},{at:%Y-%m-%d %H:%M}" for n, (_, i, at) in enumerate(TRIPLES))
    (tmp_path / "log.csv").write_text(f"user,item,time\n{text}\n")
    _, made = drafted(tmp_path / "log.csv")
    assert any(line.startswith("WILL NOT WORK: no user comes back in another week") for line in made.said)


def test_what_the_data_holds_is_said_in_numbers(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(lines("{user},{item},{at:%Y-%m-%d %H:%M}", "user,item,time"))
    _, made = drafted(tmp_path / "log.csv")
    assert made.said[0] == "400 rows of 31 users and 12 items, 10 weeks (2024-01-01 to 2024-03-10)"
    assert made.said[1].startswith("1.3 events a user a week; ")
    assert made.said[2].startswith("31 of 31 users (100.0 %) come back in another week; ")
    assert "training rows and 2 minutes for a first run (an estimate: " in made.said[4]
    assert "small for about" in made.text


def test_a_fault_names_the_file_once(tmp_path: Path) -> None:
    lines = [f"u{n % 20},i{n % 7},2024-0{1 + n % 6}-10" for n in range(400)]
    (tmp_path / "log.csv").write_text("\n".join(["user_id,item_id,timestamp", *lines, "(400 rows)"]) + "\n")
    with pytest.raises(DataError) as caught:
        draft(tmp_path / "log.csv", name="log", folder=tmp_path)
    assert str(caught.value).count("log.csv") == 1
    assert "line 402 has 1 fields" in str(caught.value)
