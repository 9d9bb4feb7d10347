"""What rules say, when a spec may ask them, and their verdict on a row."""

import re
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from components.data.derived import contract_of, derived, rules_at_the_door, with_kinds
from components.data.row_rules import OneOf, RowRule
from components.data.rules import Present, Rule, label
from components.data.spec import Data

SOURCE = {"type": "csv", "events": {"path": "events.csv"}}


def rule(**given) -> Rule:
    return TypeAdapter(Rule).validate_python(given)


@pytest.mark.parametrize(
    ("asked", "name", "asks"),
    [
        ({"expect": "matches", "column": "item_id", "pattern": "[0-9]+"}, "matches(item_id)", "item_id matches [0-9]+"),
        (
            {"expect": "compare", "column": "discount", "op": "<=", "other": "value"},
            "compare(discount <= value)",
            "discount is at most value",
        ),
        ({"expect": "known", "column": "item_id"}, "known(item_id)", "item_id is among the good rows of items"),
        ({"expect": "fresh", "hours": 6}, "fresh", "the newest event is at most 6 hours old"),
        (
            {"expect": "volume", "period": "day", "event": "view", "weeks": 4},
            "volume(day, view)",
            "the last day's view events are within 50 % of the median of 4 such weekdays before",
        ),
        ({"expect": "present", "values": ["rate"]}, "present(event)", "there are events of kind rate"),
    ],
)
def test_a_rule_has_a_name_and_says_what_it_asks(asked, name, asks):
    assert (label(rule(**asked)), rule(**asked).asks) == (name, asks)


PAID = {"expect": "compare", "column": "discount", "op": "<=", "other": "value"}
SKU = {"expect": "matches", "column": "item_id", "pattern": "[A-Z]\\d+"}
FEW = {"expect": "one_of", "column": "quantity", "values": [1, 2.5]}


@pytest.mark.parametrize(
    ("asked", "row", "broken"),
    [
        (PAID, {"discount": 1.0, "value": 1.0}, False),
        (PAID, {"discount": 1.5, "value": 1.0}, True),
        (PAID, {"discount": 1.5, "value": None}, False),
        (PAID | {"op": "<"}, {"discount": 1.0, "value": 1.0}, True),
        (PAID | {"op": "=="}, {"discount": 1.0, "value": 1.0}, False),
        (SKU, {"item_id": "A12"}, False),
        (SKU, {"item_id": "xA12"}, True),
        (SKU, {"item_id": "A12\n"}, True),
        (SKU, {"item_id": "A٣"}, True),  # \d is 0 to 9
        (SKU, {"item_id": None}, False),
        (FEW, {"quantity": 2.5}, False),
        (FEW, {"quantity": 2.0}, True),
        ({"expect": "one_of", "column": "event", "values": [1]}, {"event": "1"}, False),
        ({"expect": "not_null", "column": "event"}, {"event": None}, True),
        ({"expect": "between", "column": "value", "max": 0}, {"value": 0.1}, True),
    ],
)
def test_a_row_keeps_to_a_rule_or_breaks_it(asked, row, broken):
    assert rule(**asked).broken_by(row) is broken


@pytest.mark.parametrize(
    ("table", "asked", "says"),
    [
        ("events", {"expect": "matches", "column": "item_id", "pattern": "[a-"}, "'[a-' is no regular expression:"),
        (
            "events",
            {"expect": "matches", "column": "quantity", "pattern": "1"},
            "matches(quantity): asks for texts and the column holds double; use between",
        ),
        (
            "events",
            {"expect": "matches", "column": "user_id", "pattern": "u.*"},
            "matches(user_id): user_id holds pseudonyms, not the source's ids; ask not_null, unique or known of it",
        ),
        (
            "events",
            {"expect": "compare", "column": "value", "op": "<", "other": "timestamp"},
            "'value' holds double and 'timestamp' holds timestamp[us, tz=UTC]; compare columns of one kind",
        ),
        (
            "events",
            {"expect": "compare", "column": "item_id", "op": "<", "other": "event"},
            "compare(item_id < event): texts can only be equal or not; use op: '==' or '!=', or other columns than",
        ),
        ("events", {"expect": "compare", "column": "value", "op": "<", "other": "value"}, "compared with itself"),
        ("events", {"expect": "compare", "column": "value", "op": "<", "other": "valeu"}, "did you mean 'value'?"),
        ("events", {"expect": "between", "column": "event", "min": 1}, "asks for numbers and the column holds string"),
        ("events", {"expect": "between", "column": "value", "min": float("inf")}, "finite number"),
        ("events", {"expect": "fresh"}, "give days, hours or both: how old the newest event may be"),
        ("items", {"expect": "fresh", "days": 1}, "items: fresh: is about events; move it there"),
        ("items", {"expect": "volume"}, "items: volume(week): is about events; move it there"),
        ("users", {"expect": "known", "column": "item_id"}, "known(item_id): is about events and offers"),
        ("offers", {"expect": "known", "column": "user_id"}, "of offers only item_id can be known"),
        ("offers", {"expect": "not_null", "column": "valid_form"}, "did you mean 'valid_from'?"),
        ("events", {"expect": "volume", "tolerance": 0}, "greater than 0"),
    ],
)
def test_a_rule_that_cannot_be_asked_is_refused_when_the_spec_is_loaded(table, asked, says):
    with pytest.raises(ValidationError, match=re.escape(says)):
        Data.model_validate({"source": SOURCE, "contract": {table: [asked]}})


def test_a_rule_of_the_spec_takes_the_place_of_the_derived_one_about_the_same_thing():
    declared = {
        "events": [
            rule(expect="known", column="item_id", severity="info", mostly=0.9),
            rule(expect="compare", column="timestamp", op="<=", other="created_at", severity="critical"),
            rule(expect="volume", event="view"),
            rule(expect="fresh", days=1),
        ]
    }
    found = {asked.name: asked for asked in contract_of(declared, "events")}
    assert (found["known(item_id)"].rule.mostly, found["known(item_id)"].derived) == (0.9, False)
    assert "compare(created_at >= timestamp)" not in found
    assert found["fresh"].rule.days == 1
    assert [name for name in found if name.startswith("volume")] == ["volume(week, view)", "volume(week)"]


def test_kinds_of_events_that_models_are_about_must_occur_unless_the_spec_says_which():
    spelled, added = with_kinds({}, ["purchase", "rate"])["events"]
    assert (spelled.expect, spelled.values, spelled.severity) == ("spelled", ["purchase", "rate"], "warning")
    assert (added.expect, added.values, added.severity) == ("present", ["purchase", "rate"], "critical")
    kinds = OneOf(expect="one_of", column="event", values=["view"])
    mine = {"events": [Present(expect="present", values=["view"], severity="info"), kinds]}
    assert with_kinds(mine, ["purchase"]) == mine


def test_every_derived_rule_can_be_asked_of_its_table():
    for table in ("events", "items", "users", "offers"):
        rules = [one.model_dump(mode="json") for one in derived(table)]
        Data.model_validate({"source": SOURCE, "contract": {table: rules}})


def test_at_the_door_a_rule_is_asked_that_one_event_can_be_judged_by():
    declared = {
        "events": [
            rule(**PAID),
            rule(expect="matches", column="session_id", pattern="s.*"),
            rule(expect="not_null", column="session_id"),  # the door fills it in
            rule(expect="compare", column="timestamp", op="<=", other="created_at"),
            rule(expect="unique", columns=["session_id", "item_id"]),
            rule(expect="volume"),
        ]
    }
    found = rules_at_the_door(declared)
    assert [label(one) for one in found] == [
        "compare(discount <= value)",
        "matches(session_id)",
        "not_null(item_id)",
        "not_null(event)",
        "between(quantity)",
        "between(value)",
        "between(discount)",
        "finite(quantity)",
        "finite(value)",
        "finite(discount)",
    ]
    stored = [one.model_dump(mode="json") for one in found]
    assert TypeAdapter(list[RowRule]).validate_python(stored) == found


def test_the_docs_list_what_is_always_asked_and_every_kind_of_rule():
    page = Path("docs/contract.md").read_text()
    for table in ("events", "items", "users", "offers"):
        for one in derived(table):
            assert f"| {table} | `{label(one)}` | {one.severity} | {one.asks} |" in page
    tags = TypeAdapter(Rule).json_schema()["discriminator"]["mapping"]
    assert [tag for tag in tags if f"| `{tag}` `" not in page] == []


def test_a_learnt_volume_shows_its_kind_and_its_groups() -> None:
    from components.data.rules import LearntVolume

    rule = LearntVolume.model_validate({"expect": "learnt_volume", "event": "purchase", "by": ["users.store"]})
    assert rule.shown == ["purchase", "users.store"]
