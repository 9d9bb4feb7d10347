"""Rules beyond one column of one table: pairs, patterns, times, kinds of events, freshness, volumes, offers."""

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.data.ingest import ingest
from tests.data.test_contract import KEY, NOW, UNKNOWN, judged, refused


def test_a_pair_of_columns_and_a_pattern_set_rows_aside_under_their_names(ingested, spec, rows):
    contract = {
        "events": [
            {"expect": "compare", "column": "discount", "op": "<=", "other": "value", "severity": "warning"},
            {"expect": "matches", "column": "session_id", "pattern": "s\\d", "severity": "warning"},
        ]
    }
    more = ("10,tea,purchase,2024-01-30T08:00:00Z,s6,1,2,2.5", "10,tea,purchase,2024-01-30T08:00:00Z,s77,1,2,0")
    verdict, clean = judged(ingested(*more), spec(contract=contract))
    bad = [(r["rule"], r["reason"]) for r in rows(clean / "quarantine" / "events.parquet")]
    assert bad == [
        ("compare(discount <= value)", "not so: discount is at most value"),
        ("matches(session_id)", "not so: session_id matches s\\d"),
    ]
    assert verdict.kept["events"] == 6


@pytest.mark.parametrize(
    "rule",
    [
        {"expect": "compare", "column": "discount", "op": "<=", "other": "value"},
        {"expect": "matches", "column": "session_id", "pattern": "s\\d"},
    ],
    ids=lambda rule: rule["expect"],
)
def test_pairs_and_patterns_tolerate_a_share_of_rows_too(ingested, spec, rule):
    tables = ingested("10,tea,purchase,2024-01-30T08:00:00Z,s77,1,2,2.5")  # 1 of 7 rows breaks either
    refused(tables, spec(contract={"events": [rule | {"mostly": 0.9}]}))
    verdict, _ = judged(tables, spec(contract={"events": [rule | {"mostly": 0.8}]}))
    assert (verdict.passed, verdict.quarantined["events"]) == (True, 1)


def test_a_row_that_became_known_before_it_happened_is_set_aside(ingested, spec, rows):
    tables = ingested()
    events = pq.read_table(tables / "events.parquet")
    early = [at - dt.timedelta(days=1) if n == 2 else at for n, at in enumerate(events["timestamp"].to_pylist())]
    place = events.column_names.index("created_at")
    pq.write_table(events.set_column(place, "created_at", pa.array(early, events.schema.field(place).type)),
                   tables / "events.parquet")  # fmt: skip
    verdict, clean = judged(tables, spec())
    assert [r.rule for r in verdict.warnings] == ["compare(created_at >= timestamp)"]
    assert len(rows(clean / "quarantine" / "events.parquet")) == 1


def test_the_spec_says_how_grave_an_unknown_item_is(ingested, spec):
    rule = {"expect": "known", "column": "item_id", "mostly": 0.9}
    message, *_ = refused(ingested(UNKNOWN), spec(contract={"events": [rule]}))
    assert "known(item_id) asks that item_id is among the good rows of items; 1 of 7 rows are not so" in message
    verdict, _ = judged(ingested(UNKNOWN), spec(contract={"events": [rule | {"severity": "info"}]}))
    assert (verdict.quarantined["events"], verdict.kept["events"]) == (0, 7)


def test_kinds_of_events_that_never_occur_are_refused_with_those_that_do(ingested, spec):
    rule = {"expect": "present", "values": ["purchase", "rate"]}
    message, *_ = refused(ingested(), spec(contract={"events": [rule]}))
    assert "present(event) asks that there are events of kind purchase, rate; no rate; have purchase, view" in message


def test_freshness_follows_the_environments_clock(ingested, spec):
    data = spec(contract={"events": [{"expect": "fresh", "days": 7}]})
    tables = ingested()
    verdict, _ = judged(tables, data, clock="data_end")
    (found,) = [r for r in verdict.rules if r.rule == "fresh"]
    assert (found.success, found.note) == (True, "the clock stands at the end of the data: trivially so")
    message, *_ = refused(tables, data, clock="wall")
    assert "fresh asks that the newest event is at most 7 days old; it is of 2024-01-29 08:00 UTC, 31.7" in message


@pytest.mark.parametrize(("events", "holds"), [(30, True), (15, False), (47, False)])
def test_a_week_far_from_the_weeks_before_is_named(ingested, spec, events, holds):
    # Weeks 2 to 6 have 30 events on their Tuesdays, week 7 so many, week 8 has just begun.
    tuesdays = [dt.date(2024, 1, 9) + dt.timedelta(weeks=n) for n in range(6)]
    many = [
        f"2,milk,purchase,{day}T{hour // 60:02}:{hour % 60:02}:00Z,v{day}{hour},1,1,0"
        for day, count in zip(tuesdays, [30] * 5 + [events], strict=True)
        for hour in range(count)
    ]
    data = spec(contract={"events": [{"expect": "volume", "tolerance": 0.5, "severity": "warning"}]})
    verdict, clean = judged(ingested(*many, "2,milk,view,2024-02-20T08:00:00Z,last,1,0,0", data=data), data)
    (found,) = [r for r in verdict.rules if r.rule == "volume(week)"]
    assert (found.success, found.found) == (holds, f"week 7 has {events}, the median of the 5 before is 31")
    assert verdict.passed
    assert "<svg" in (clean / "contract.html").read_text()


def test_offers_of_unknown_items_or_without_a_time_are_set_aside(ingested, spec, rows):
    tables = ingested()
    start = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    offer = {"item_id": "tea", "kind": "flyer", "valid_from": start, "valid_to": start + dt.timedelta(days=7),
             "share": 0.5, "campaign": None, "created_at": start}  # fmt: skip
    wrong = [{"item_id": "coffee"}, {"valid_to": start}, {"share": 1.5}, {"item_id": None}]
    times = pa.timestamp("us", tz="UTC")
    kinds = [pa.string(), pa.string(), times, times, pa.float64(), pa.string(), times]
    schema = pa.schema(list(zip(offer, kinds, strict=True)))
    pq.write_table(pa.Table.from_pylist([offer, *(offer | change for change in wrong)], schema),
                   tables / "offers.parquet")  # fmt: skip
    verdict, clean = judged(tables, spec())
    assert verdict.passed
    assert rows(clean / "offers.parquet") == [offer]
    assert [r["rule"] for r in rows(clean / "quarantine" / "offers.parquet")] == [
        "known(item_id)",
        "compare(valid_from < valid_to)",
        "between(share)",
        "not_null(item_id)",
    ]
    assert (verdict.rows["offers"], verdict.quarantined["offers"], verdict.kept["offers"]) == (5, 4, 1)


def test_a_derived_rule_lets_an_open_column_pass_and_says_so(ingested, spec):
    items = "item_id,title,category,price,tags\ntea,Tea,DRINKS,,\nmilk,Milk,DRINKS,,\nbread,Bread,BAKERY,,\n"
    tables = ingested()
    (tables.parent / "items.csv").write_text(items)
    ingest(spec(), tables.parent / "open", key=KEY, base=tables.parent, now=NOW)
    verdict, _ = judged(tables.parent / "open", spec())
    (found,) = [r for r in verdict.rules if r.rule == "between(price)"]
    assert (found.success, found.derived, found.note) == (True, True, "the column holds only nulls")


def test_a_category_that_is_gone_stops_the_run_by_its_learnt_volume(ingested, spec):
    """Sixty users buy a thing a week, a third of them bread; in the ninth week nobody does."""
    lines = [
        f"{user},{'bread' if user % 3 == 0 else 'milk'},purchase,2024-{day:%m-%d}T08:00:00Z,s{user},1,3.5,0"
        for week in range(9)
        for day in [dt.date(2024, 1, 1) + dt.timedelta(days=7 * week)]
        for user in range(60)
        if week < 8 or user % 3
    ]
    data = spec(contract={"events": [{"expect": "learnt_volume", "by": ["items.category"]}]})
    message, document, _ = refused(ingested(*lines, data=data), data)
    assert "items.category BAKERY has 0, 20 are usual" in message
    (rule,) = [rule for rule in document["rules"] if rule["rule"].startswith("learnt_volume")]
    assert (rule["rule"], rule["severity"], rule["word"]) == ("learnt_volume(items.category)", "critical", "refused")
