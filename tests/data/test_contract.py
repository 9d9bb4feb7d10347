import datetime as dt
import json
import re
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from components.data import expectations
from components.data.contract import validate
from feature_repo.errors import DataError, Refused, SpecError
from feature_repo.privacy.pseudonyms import pseudonym

pytestmark = pytest.mark.world  # Great Expectations takes seconds to start, and half a second for each contract

KEY = "00" * 16
NOW = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)
UNKNOWN = "10,coffee,view,2024-01-30T08:00:00Z,s6,1,0,0"
AGAIN = "10,bread,purchase,2024-01-29T08:00:00Z,s5,3,6,0"  # the shop's last row
LATER = "10,tea,view,2030-01-01T08:00:00Z,s9,1,0,0"
RETURNED = "10,tea,purchase,2024-01-30T09:00:00Z,s8,-1,3.5,0"


def judged(tables: Path, data, **more):
    """Validate with the shop's clock; return the verdict and the clean folder."""
    clean = tables.parent / "clean"
    return validate(tables, data, clean, now=NOW, **more), clean


def refused(tables: Path, data, **more) -> tuple[str, dict, Path]:
    """Validate data that must be refused; return the message, contract.json and the folder."""
    clean = tables.parent / "clean"
    with pytest.raises(Refused) as caught:
        validate(tables, data, clean, now=NOW, **more)
    return str(caught.value), json.loads((clean / "contract.json").read_text()), clean


def test_good_data_goes_on_unchanged(ingested, spec, rows):
    tables = ingested()
    verdict, clean = judged(tables, spec())
    assert verdict.passed
    assert verdict.failures == verdict.warnings == ()
    assert verdict.kept == verdict.rows == {"events": 6, "items": 3, "users": 3}
    for table in ("events", "items", "users"):
        assert rows(clean / f"{table}.parquet") == rows(tables / f"{table}.parquet")
    assert json.loads((clean / "snapshot.json").read_text())["items_undated"] == 3
    assert not (clean / "quarantine").exists()


def test_what_always_must_hold_is_asked_without_being_written(ingested, spec):
    verdict, _ = judged(ingested(), spec())
    assert [f"{r.table}.{r.rule}" for r in verdict.rules] == [
        "events.rows",
        "events.not_null(user_id)",
        "events.not_null(item_id)",
        "events.not_null(timestamp)",
        "events.not_null(user_id) #2",
        "events.not_null(item_id) #2",
        "events.not_null(event)",
        "events.unique(row)",
        "events.between(quantity)",
        "events.between(value)",
        "events.between(discount)",
        "events.finite(quantity)",
        "events.finite(value)",
        "events.finite(discount)",
        "events.compare(created_at >= timestamp)",
        "events.not_in_future(timestamp)",
        "events.known(item_id)",
        "events.known(user_id)",
        "events.described",
        "events.near(timestamp)",
        "events.share_of_one_user",
        "events.fresh",
        "events.volume(week)",
        "events.set_aside",
        "events.steady",
        "items.rows",
        "items.not_null(item_id)",
        "items.unique(item_id)",
        "items.between(price)",
        "items.finite(price)",
        "users.rows",
        "users.not_null(user_id)",
        "users.unique(user_id)",
    ]


def test_a_rule_of_the_spec_takes_the_place_of_the_one_for_everybody(ingested, spec):
    rule = {"expect": "between", "column": "quantity", "min": -5, "max": 2}
    verdict, _ = judged(ingested(), spec(contract={"events": [rule | {"severity": "warning"}]}))
    (found,) = [r for r in verdict.rules if r.rule == "between(quantity)"]
    assert (found.asks, found.unexpected) == ("quantity is at least -5 and at most 2", 1)


@pytest.mark.parametrize(
    ("line", "rule", "reason"),
    [
        (UNKNOWN, "known(item_id)", "not so: item_id is among the good rows of items"),
        (AGAIN, "unique(row)", "not so: no row occurs twice"),
        (RETURNED, "between(quantity)", "not so: quantity is at least 0"),
    ],
)
def test_a_bad_row_is_set_aside_with_rule_and_reason_and_the_others_go_on(ingested, spec, rows, line, rule, reason):
    verdict, clean = judged(ingested(line), spec())
    assert verdict.passed
    assert [r.rule for r in verdict.warnings] == [rule]
    (bad,) = rows(clean / "quarantine" / "events.parquet")
    assert (bad["rule"], bad["reason"]) == (rule, reason)
    assert (bad["user_id"], bad["item_id"]) == (pseudonym("10", KEY), line.split(",")[1])
    assert verdict.quarantined == {"events": 1, "items": 0, "users": 0}
    assert verdict.kept["events"] == len(rows(clean / "events.parquet")) == 6


def test_of_repeated_rows_the_first_stays(ingested, spec, rows):
    data = spec(
        contract={"events": [{"expect": "unique", "columns": ["session_id", "item_id"], "severity": "warning"}]}
    )
    verdict, clean = judged(ingested("10,bread,purchase,2024-01-29T09:00:00Z,s5,7,6,0", data=data), data)
    (found,) = [r for r in verdict.rules if r.rule == "unique(session_id, item_id)"]
    assert (found.success, found.unexpected, found.quarantined) == (False, 2, 1)
    assert [r["quantity"] for r in rows(clean / "events.parquet") if r["session_id"] == "s5"] == [3.0]


def test_events_of_items_that_were_set_aside_go_too(ingested, spec, rows):
    rule = {"expect": "not_null", "column": "category", "severity": "warning"}
    data = spec(contract={"items": [rule]})
    line = "10,pen,purchase,2024-01-29T09:00:00Z,s6,1,2,0"
    verdict, clean = judged(ingested(line, data=data, items="pen,Pen,,2,\n"), data)
    assert verdict.quarantined == {"events": 1, "items": 1, "users": 0}
    assert [r["item_id"] for r in rows(clean / "items.parquet")] == ["tea", "milk", "bread"]


def test_a_few_timestamps_in_the_future_are_set_aside_and_do_not_move_the_calendar(ingested, spec, shop, rows):
    many = [f"2,milk,view,2024-01-{1 + i % 28:02}T{i % 24:02}:00:00Z,x{i},1,0,0" for i in range(1200)]
    verdict, clean = judged(ingested(*many, LATER), spec())
    assert verdict.passed
    assert [r["item_id"] for r in rows(clean / "quarantine" / "events.parquet")] == ["tea"]
    snapshot = json.loads((clean / "snapshot.json").read_text())
    assert (snapshot["last"], snapshot["weeks"]) == ("2024-01-29T08:00:00+00:00", 5)


def test_many_timestamps_in_the_future_are_refused(ingested, spec):
    message, told, clean = refused(ingested(LATER), spec())
    assert message == (
        "data.contract.events: not_in_future(timestamp) asks that timestamp is not after 2024-03-01 00:00 UTC, when "
        f"this was checked; 1 of 7 rows are not so; see {clean}/contract.html"
    )
    assert told["passed"] is False


def test_refused_data_leaves_the_verdict_and_no_tables(ingested, spec, tmp_path):
    home = tmp_path / "home"
    rule = {"expect": "one_of", "column": "event", "values": ["purchase"]}
    message, told, clean = refused(ingested(), spec(contract={"events": [rule]}), home=home)
    assert message.endswith(f"1 of 6 rows are not so; see {home}/contract/contract.html")
    assert sorted(path.name for path in clean.iterdir()) == ["contract.html", "contract.json", "quarantine"]
    assert json.loads((home / "contract" / "contract.json").read_text()) == told
    assert told["kept"] == {}


def test_a_critical_rule_that_tolerates_some_rows_sets_them_aside(ingested, spec):
    rule = {"expect": "one_of", "column": "event", "values": ["purchase"], "mostly": 0.8}
    verdict, _ = judged(ingested(), spec(contract={"events": [rule]}))
    assert verdict.passed
    assert (verdict.quarantined["events"], verdict.kept["events"]) == (1, 5)


def test_a_rule_of_severity_info_only_counts(ingested, spec):
    rule = {"expect": "one_of", "column": "event", "values": ["purchase"], "severity": "info"}
    verdict, _ = judged(ingested(), spec(contract={"events": [rule]}))
    (found,) = verdict.warnings
    assert (found.unexpected, found.quarantined, verdict.kept["events"]) == (1, 0, 6)


def test_missing_users_are_refused(ingested, spec):
    message, told, _ = refused(ingested(",tea,view,2024-01-30T08:00:00Z,s6,1,0,0"), spec())
    assert message.startswith("data.contract.events: not_null(user_id) asks that user_id is given; 1 of 7 rows")
    (sample,) = next(r for r in told["rules"] if r["rule"] == "not_null(user_id)")["samples"]
    assert (sample["user_id"], sample["item_id"]) == (None, "tea")


def test_a_column_of_nulls_does_not_pass_a_rule_about_values(ingested, spec):
    rule = {"expect": "one_of", "column": "brand", "values": ["Acme"]}
    message, *_ = refused(ingested(), spec(contract={"items": [rule]}))
    assert (
        "items: one_of(brand) asks that brand is one of Acme; 3 of 3 rows are not so (the column holds only nulls)"
        in message
    )


def test_too_few_rows_are_refused(ingested, spec):
    message, *_ = refused(ingested(), spec(contract={"events": [{"expect": "rows", "min": 1000}]}))
    assert "events: rows asks that there are at least 1,000 rows; there are 6; see" in message


def test_clean_drops_and_counts_behaviour_not_to_learn_from(ingested, spec, rows):
    clean = {"require": ["brand"], "min_quantity": 0, "exclude": {}}
    with pytest.raises(DataError, match="no event is left of 6; the contract set 0 aside and clean dropped 6"):
        judged(ingested(), spec(clean=clean))
    clean = {"require": ["price"], "min_quantity": 2, "exclude": {"category": ["BAKERY"]}}
    verdict, folder = judged(ingested(), spec(clean=clean))
    assert verdict.cleaned == {"quantity is below 2": 4, "category is excluded": 1}
    assert [(r["item_id"], r["quantity"]) for r in rows(folder / "events.parquet")] == [("milk", 2.0)]
    assert len(rows(folder / "items.parquet")) == 3
    assert json.loads((folder / "snapshot.json").read_text())["weeks"] == 5


def test_a_smallest_quantity_of_one_drops_what_is_below(ingested, spec):
    verdict, _ = judged(ingested("10,tea,view,2024-01-30T08:00:00Z,s6,0.5,1,0"), spec(clean={"min_quantity": 1}))
    assert verdict.cleaned == {"quantity is below 1": 1}


def test_clean_excludes_by_any_of_several_values(ingested, spec, rows):
    _, folder = judged(ingested(), spec(clean={"exclude": {"tags": ["hot"]}}))
    assert {r["item_id"] for r in rows(folder / "events.parquet")} == {"milk", "bread"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"contract": {"items": [{"expect": "not_null", "column": "titel"}]}},
            r"data.contract.items: not_null\(titel\): no column 'titel'; have .*; did you mean 'title'\?",
        ),
        (
            {"contract": {"items": [{"expect": "between", "column": "title", "min": 0}]}},
            "between\\(title\\): asks for numbers and the column holds string; use one_of or not_null",
        ),
        (
            {"contract": {"items": [{"expect": "unique", "columns": ["tags"]}]}},
            "'tags' holds lists, of which only not_null can be asked",
        ),
        (
            {"contract": {"items": [{"expect": "one_of", "column": "price", "values": ["cheap"]}]}},
            "the column holds double; give numbers, not \\['cheap'\\]",
        ),
        ({"clean": {"require": ["catgory"]}}, "data.clean.require: no column 'catgory' .*; did you mean 'category'?"),
        ({"clean": {"exclude": {"dept": ["x"]}}}, "data.clean.exclude: no column 'dept' in the items table; have"),
    ],
)
def test_a_rule_about_a_column_that_is_not_there_names_the_nearest(ingested, spec, changes, says):
    with pytest.raises(SpecError, match=says):
        judged(ingested(), spec(**changes))


def test_lists_can_be_asked_for(ingested, spec, rows):
    rule = {"expect": "not_null", "column": "tags", "severity": "warning"}
    verdict, clean = judged(ingested(), spec(contract={"items": [rule]}))
    assert verdict.quarantined == {"events": 2, "items": 1, "users": 0}
    assert rows(clean / "quarantine" / "items.parquet")[0]["title"] == "Rye bread"


def test_the_clean_digest_follows_the_rules_and_not_the_key(ingested, spec):
    def digest(**changes):
        _, clean = judged(ingested(), spec(**changes))
        return json.loads((clean / "snapshot.json").read_text())["digest"]

    assert digest() == digest()
    assert digest() != digest(clean={"min_quantity": 2})


def test_the_page_stands_alone_and_shows_pseudonyms_only(ingested, spec):
    _, clean = judged(ingested(UNKNOWN, items="chips,<b>Chips & dip</b>,SNACKS,1,\n"), spec())
    html = (clean / "contract.html").read_text()
    assert "passed" in html
    assert "item_id is among the good rows of items" in html
    assert pseudonym("10", KEY) in html
    assert not re.search(r"https?://|<script|<link|@import|url\(", html)


# What Great Expectations lets pass in silence ---------------------------------------------------------------

NOT_NULL = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "a"}, "meta": {"position": 0}}


@pytest.mark.parametrize(
    "wrong", [{"type": "expect_column_values_to_be_fine", "kwargs": {"column": "a"}}, NOT_NULL | {"severity": "grave"}]
)
def test_an_expectation_that_great_expectations_drops_is_an_error(wrong):
    with pytest.raises(RuntimeError, match="dropped 1 of 2 expectations of events"):
        expectations.run([NOT_NULL, wrong], pd.DataFrame({"a": [1]}), table="events")


def test_an_empty_suite_is_an_error():
    with pytest.raises(RuntimeError, match="the contract of events is empty: it would pass anything"):
        expectations.run([], pd.DataFrame({"a": [1]}), table="events")


def test_an_expectation_without_a_result_is_an_error(ingested, spec):
    from components.data.checks import Check, Meaning
    from components.data.row_rules import NotNull

    rule = NotNull(expect="not_null", column="b", severity="warning")
    check = Check("not_null(b)", "events", rule, rule.asks, Meaning(NOT_NULL["type"], {"column": "b"}))
    with pytest.raises(RuntimeError, match=r"events.not_null\(b\) could not be checked: .*b"):
        expectations.evaluate([check], pd.DataFrame({"a": [1]}), table="events")


def test_an_empty_table_is_refused(shop, ingested, spec):
    tables = ingested()
    items = pq.read_table(tables / "items.parquet")
    pq.write_table(items.slice(0, 0), tables / "items.parquet")
    message, *_ = refused(tables, spec())
    assert message.startswith("data.contract.items: rows asks that there is a row; there are 0")
