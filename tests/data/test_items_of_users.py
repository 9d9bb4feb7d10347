"""Items that are people: one pseudonym at both ends, nobody with themselves, nothing raw in what is written."""

import datetime as dt
import json
import logging
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from components.data.contract import validate
from components.data.derived import rules_at_the_door, with_people
from components.data.ingest import everyone, ingest
from components.data.spec import Data
from feature_repo.errors import DataError
from feature_repo.privacy.pseudonyms import pseudonym
from feature_repo.privacy.tombstones import Tombstones

KEY = "0a" * 16
NOW = dt.datetime(2024, 6, 1, tzinfo=dt.UTC)
SPLIT = {"warmup_weeks": 1, "validate_weeks": 1, "test_weeks": 1}
PEOPLE = ("anna-0001", "bert-0002", "carl-0003", "dora-0004")
WROTE = [(0, 1), (1, 0), (0, 2), (2, 3), (1, 2)]  # dora never writes


def hidden(place: int) -> str:
    return pseudonym(PEOPLE[place], KEY)


def written(folder: Path, *more: str, users: str = "") -> Data:
    """Write messages of six weeks, and the spec's slice that reads them."""
    start = dt.datetime(2024, 1, 1, 9, tzinfo=dt.UTC)
    lines = [
        f"{PEOPLE[one]},{PEOPLE[other]},{start + dt.timedelta(weeks=week, hours=n):%Y-%m-%dT%H:%M:%SZ}"
        for week in range(6)
        for n, (one, other) in enumerate(WROTE)
    ]
    (folder / "messages.csv").write_text("\n".join(["src,dst,time", *lines, *more]) + "\n")
    columns = {"user_id": "src", "item_id": "dst", "timestamp": "time"}
    source: dict[str, Any] = {"type": "csv", "events": {"path": "messages.csv", "columns": columns}}
    if users:
        (folder / "users.csv").write_text(users)
        source["users"] = {"path": "users.csv", "columns": {"user_id": "id", "title": "name", "town": "town"}}
    return Data.model_validate({"source": source | {"items": {"from": "users"}}, "split": SPLIT})


def tables(folder: Path, data: Data, **more: Any) -> dict[str, list[dict[str, Any]]]:
    ingest(data, folder / "tables", key=KEY, base=folder, now=NOW, **more)
    return {
        name: pq.read_table(folder / "tables" / f"{name}.parquet").to_pylist() for name in ("events", "items", "users")
    }


def test_both_ends_of_an_event_have_the_pseudonym_of_the_person(tmp_path: Path) -> None:
    found = tables(tmp_path, written(tmp_path))
    pairs = {(row["user_id"], row["item_id"]) for row in found["events"]}
    assert pairs == {(hidden(one), hidden(other)) for one, other in WROTE}
    everybody = {hidden(place) for place in range(4)}
    assert {row["item_id"] for row in found["items"]} == everybody
    assert {row["user_id"] for row in found["users"]} == everybody  # also who only receives


def test_no_file_holds_a_raw_id_at_either_end(tmp_path: Path) -> None:
    home = tmp_path / "home"
    tables(tmp_path, written(tmp_path), home=home)
    for path in (path for root in (tmp_path / "tables", home) for path in root.rglob("*") if path.is_file()):
        text = path.read_bytes().decode("latin1")
        if path.suffix == ".parquet":
            text += json.dumps(pq.read_table(path).to_pylist(), default=str)
        assert not any(raw in text for raw in PEOPLE), path


def test_what_the_table_of_users_says_is_known_of_the_item(tmp_path: Path) -> None:
    found = tables(tmp_path, written(tmp_path, users=f"id,name,town\n{PEOPLE[1]},Bert,Rome\nerik-0005,Erik,Oslo\n"))
    items = {row["item_id"]: (row["title"], row["town"]) for row in found["items"]}
    assert items[hidden(1)] == ("Bert", "Rome")
    assert items[hidden(0)] == (None, None)
    assert items[pseudonym("erik-0005", KEY)] == ("Erik", "Oslo")  # whom nobody met yet
    assert found["items"][0]["first_seen"] is not None or found["items"][1]["first_seen"] is not None


def test_a_message_to_oneself_is_set_aside_with_the_rules_name(tmp_path: Path) -> None:
    data = written(tmp_path, f"{PEOPLE[0]},{PEOPLE[0]},2024-01-03T09:00:00Z")
    tables(tmp_path, data)
    data = data.model_copy(update={"contract": with_people(data.contract)})
    verdict = validate(tmp_path / "tables", data, tmp_path / "clean", now=NOW)
    (rule,) = (rule for rule in verdict.rules if rule.asks == "user_id is other than item_id")
    assert (rule.unexpected, rule.quarantined, rule.severity, rule.success) == (1, 1, "warning", False)
    clean = pq.read_table(tmp_path / "clean" / "events.parquet").to_pylist()
    assert not [row for row in clean if row["user_id"] == row["item_id"]]
    (at_the_door,) = (rule for rule in rules_at_the_door(data.contract) if rule.expect == "compare")
    assert at_the_door.broken_by({"user_id": "ann", "item_id": "ann"})
    assert not at_the_door.broken_by({"user_id": "ann", "item_id": "bob"})


def test_a_forgotten_person_is_left_out_at_both_ends(tmp_path: Path) -> None:
    data = written(tmp_path)
    for place, left in ((1, {(0, 2), (2, 3)}), (3, {(0, 1), (1, 0), (0, 2), (1, 2)})):  # dora is an item only
        home = tmp_path / str(place)
        tombstones = Tombstones(home, (KEY,))
        tombstones.write(PEOPLE[place], {})
        found = tables(tmp_path, data, tombstones=tombstones)
        assert {(row["user_id"], row["item_id"]) for row in found["events"]} == {
            (hidden(a), hidden(b)) for a, b in left
        }
        assert hidden(place) not in {row["item_id"] for row in found["items"]}
        assert hidden(place) not in {row["user_id"] for row in found["users"]}


def test_a_change_of_keys_knows_who_only_receives(tmp_path: Path) -> None:
    assert everyone(written(tmp_path), tmp_path) == list(PEOPLE)


def test_items_of_which_none_is_a_user_are_refused(tmp_path: Path) -> None:
    data = written(tmp_path)
    text = (tmp_path / "messages.csv").read_text()
    lines = [line.split(",") for line in text.splitlines()]
    (tmp_path / "messages.csv").write_text(
        "\n".join(f"{a},page-{b},{at}" for a, b, at in lines).replace("page-dst", "dst")
    )
    said = r"none of the 4 item ids \(such as 'page-anna-0001'\) is the id of a user \(such as 'anna-0001'\)"
    with pytest.raises(DataError, match=rf"data.source.items: from: users, but {said}; map item_id to"):
        tables(tmp_path, data)


def test_items_that_are_mostly_no_users_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pages = [f"{PEOPLE[0]},page{n},2024-01-0{n}T09:00:00Z" for n in range(1, 8)]
    with caplog.at_level(logging.WARNING):
        tables(tmp_path, written(tmp_path, *pages))
    assert "8 of 11 people whom events act on never act themselves" in caplog.text


def test_one_person_in_two_forms_is_refused_across_the_ends(tmp_path: Path) -> None:
    data = written(tmp_path, "7,anna-0001,2024-01-03T09:00:00Z", "anna-0001,7.0,2024-01-03T10:00:00Z")
    with pytest.raises(DataError, match=r"'7.0' of events' items .* and '7' of events .* are one id in two forms"):
        tables(tmp_path, data)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"offers": {"path": "offers.csv"}}, "`from: users` and offers do not go together"),
        ({"items": {"from": "user"}}, "Input should be 'users'"),
        ({"items": {"from": "users", "path": "items.csv"}}, "Extra inputs are not permitted"),
    ],
)
def test_a_spec_that_cannot_mean_people_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    document = written(tmp_path).model_dump(mode="json", exclude_none=True)
    document["source"] |= change
    with pytest.raises(ValidationError, match=said):
        Data.model_validate(document)


def test_rules_that_would_read_pseudonyms_are_refused(tmp_path: Path) -> None:
    document = written(tmp_path).model_dump(mode="json", exclude_none=True)
    with pytest.raises(ValidationError, match="item_id holds pseudonyms; ask not_null, unique or known of it"):
        Data.model_validate(
            document | {"contract": {"events": [{"expect": "one_of", "column": "item_id", "values": ["a"]}]}}
        )
    rule = {"expect": "compare", "column": "user_id", "op": "!=", "other": "item_id"}
    people = document | {"contract": {"events": [rule]}}
    assert len(with_people(Data.model_validate(people).contract)["events"]) == 1  # the spec's own takes its place
    del people["source"]["items"]
    with pytest.raises(
        ValidationError, match="user_id holds pseudonyms and item_id does not, so that no row breaks it"
    ):
        Data.model_validate(people)
