"""`intentflow rules`: what its words stand for, what is refused in one line, and what a person reads."""

import json
from pathlib import Path
from typing import Any

import pytest

from feature_repo.errors import DataError, SpecError
from pipelines import rules

NO_BEER = {"kind": "filter", "name": "no beer", "where": "category = 'BEER'"}


def test_words_stand_for_the_request_of_the_service(tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    file.write_text(json.dumps([NO_BEER]))
    put = rules.asked("put", [str(file)], change_id="c1")
    assert ([one.root.name for one in put.rules], put.change_id) == (["no beer"], "c1")
    assert rules.asked("preview", [str(file)]).rules == put.rules
    assert rules.asked("remove", ["no beer", "two each"]).remove == ["no beer", "two each"]
    assert rules.asked("undo", ["7"]).undo == 7


@pytest.mark.parametrize(
    ("action", "what", "said"),
    [
        ("put", [], "rules put: nothing is not allowed; give FILE"),
        ("undo", ["x"], "rules undo: x is not allowed; give VERSION"),
        ("remove", [], "give NAME ..."),
        ("put", ["no/file.json"], "rules put: no/file.json: no such file"),
    ],
)
def test_a_wrong_command_is_one_line(action: str, what: list[str], said: str) -> None:
    with pytest.raises(SpecError) as refused:
        rules.asked(action, what)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("{}", DataError, "dict; allowed: a JSON list of rules"),
        ("[", DataError, "no JSON"),
        (json.dumps([NO_BEER | {"where": "category ="}]), SpecError, "rules[0].filter.where"),
        (json.dumps([NO_BEER | {"kind": "hide"}]), SpecError, "rules[0]"),
    ],
)
def test_a_file_that_holds_no_rules_is_one_line(tmp_path: Path, text: str, kind: type[Exception], said: str) -> None:
    file = tmp_path / "rules.json"
    file.write_text(text)
    with pytest.raises(kind) as refused:
        rules.asked("put", [str(file)])
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_person_reads_the_change_the_list_and_the_cost() -> None:
    change = {"version": 3, "repeated": False, "rules": [{"name": "no beer", "outcome": "added", "items": 12}]}
    assert rules.text(change) == "version 3; every door keeps to it within 5 s\n  no beer: added, about 12 items"
    change["rules"] = [{"name": "no beer", "outcome": "added", "items": 0}]
    assert "no beer: added; it is about no item now, so it does nothing" in rules.text(change)
    row: dict[str, Any] = {"version": 3, "at": "2026-11-30T10:00:00+00:00", "who": "ann", "undoes": None}
    listed = {
        "catalogue_version": 3,
        "rules": [NO_BEER | {"version": 3}],
        "changes": [row | {"id": "no beer", "document": NO_BEER}],
    }
    lines = rules.text(listed).splitlines()
    assert lines[0] == "catalogue version 3: 1 rules"
    assert lines[1].startswith("  no beer (version 3): ")
    assert lines[2].startswith("  3  2026-11-30T10:00:00+00:00  ann: no beer {")
    cost = {"before": {"coverage": 0.5}, "after": {"coverage": 0.25}, "rows": 40, "short": 0.1,
            "ndcg_change": [-0.01, -0.02, 0.0]}  # fmt: skip
    assert rules.text(cost).splitlines() == [
        "on 40 user-weeks of the test, nothing written:",
        "  coverage         0.5000 -> 0.2500",
        "  NDCG@10 changes by -0.0100 (95 % over users: -0.0200 to +0.0000)",
        "  10.0% of lists have fewer than 10 items",
    ]
