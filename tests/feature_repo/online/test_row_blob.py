"""A row out of its blob is the row out of its views, to the bit; a blob of another row or form is never read."""

import dataclasses
import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo import columns
from feature_repo.calendar import Calendar
from feature_repo.online import erase, feast_values, mentions, provenance
from feature_repo.online.profiles import OnlineProfiles, provenance_of
from feature_repo.online.provenance import Provenance
from feature_repo.online.row_blob import RowBlob
from feature_repo.rows import LIST_TYPES, UserRows
from feature_repo.update import Event, Folding
from feature_repo.views import BLOB, BLOB_OF, MADE_OF
from tests.bentos.conftest import vocabulary

FOLDING = Folding(Calendar("2016-12-26", "America/New_York"), vocabulary(), (7, 28, 91))
NOW = 1_500_000_000
KINDS = {
    "state_at": "int64_val",
    "first_at": "int64_val",
    "value_total": "double_val",
    "last_session_id": "string_val",
    "target_ids": "int32_list_val",
    "target_last_at": "int64_list_val",
    "target_slow": "float_list_val",
}
MADE = Provenance("v:digest", 7, "1-ab")


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OnlineProfiles:
    online = {"type": "sqlite", "path": str(tmp_path / "online.db")}
    settings = {"registry": str(tmp_path / "registry.db"), "online_store": online}
    monkeypatch.setenv("INTENTFLOW_FEAST", json.dumps(settings))
    monkeypatch.setenv("INTENTFLOW_HOME", str(tmp_path))
    found = OnlineProfiles.open("shop", FOLDING)
    found.online.provider.update_infra("shop", [], list(found.online.views.values()), [], [], partial=True)
    return found


def bought(item: str, at: int) -> Event:
    return Event(item, "purchase", at, f"s{at}", value=2.5, known_at=at)


def of_views(profiles: OnlineProfiles, users: list[str]) -> UserRows:
    """What a door of an older release reads."""
    return profiles._arrays(users, profiles._whole(users), now=NOW)


def push_of_before(profiles: OnlineProfiles, user: str, event: Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """Push as a release does that knows no blobs: the views, and what the row is made of without their cells."""
    known = {name: kind for name, kind in profiles.online.kinds[MADE_OF].items() if name not in (BLOB, BLOB_OF)}
    online = dataclasses.replace(profiles.online, kinds={**profiles.online.kinds, MADE_OF: known})
    with monkeypatch.context() as patched:
        patched.setattr(RowBlob, "pack", lambda *_, **__: b"")
        dataclasses.replace(profiles, online=online).push_all({user: [event]})


def assert_same(one: UserRows, other: UserRows) -> None:
    assert (list(one.numbers), list(one.lists)) == (list(other.numbers), list(other.lists))
    pairs = [(getattr(one, name), getattr(other, name)) for name in ("user_id", "now", "state_at", "known")]
    pairs += [(values, other.numbers[name]) for name, values in one.numbers.items()]
    for name, ragged in one.lists.items():
        pairs += [(ragged.values, other.lists[name].values), (ragged.offsets, other.lists[name].offsets)]
    for mine, theirs in pairs:
        assert mine.dtype == theirs.dtype
        assert mine.tolist() == theirs.tolist()


def blob_of(profiles: OnlineProfiles, user: str) -> bytes:
    found: bytes = feast_values.number(profiles.online.read(MADE_OF, [user])[0], BLOB, "bytes_val", b"")
    return found


def test_rows_out_of_blobs_are_the_rows_out_of_views(profiles: OnlineProfiles) -> None:
    profiles.push_all({"ann": [bought("i0", NOW), bought("i2", NOW + 90_000)], "ben": [bought("i1", NOW)]})
    assert all(profiles._blobs(["ann", "ben"]))
    for users in (["ann"], ["ben", "ann"]):
        assert_same(profiles._stored(users, now=NOW), of_views(profiles, users))


def test_a_row_without_a_blob_stands_in_its_place_among_others(profiles: OnlineProfiles) -> None:
    profiles.push_all({user: [bought(item, NOW)] for user, item in (("ann", "i0"), ("ben", "i1"), ("eve", "i2"))})
    users = ["eve", "nobody", "ben", "ann"]
    profiles.online.write(MADE_OF, [("ben", NOW, provenance.cells(profiles.made_of(["ben"])[0][0]))])
    assert [part is None for part in profiles._blobs(users)] == [False, True, True, False]
    assert_same(profiles._stored(users, now=NOW), of_views(profiles, users))


def test_an_older_release_beside_this_one_makes_the_blob_one_of_before(
    profiles: OnlineProfiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    profiles.push_all({"ann": [bought("i0", NOW)]})
    assert of_views(profiles, ["ann"]).numbers["events_total"][0] == 1  # it reads what this one wrote
    push_of_before(profiles, "ann", bought("i1", NOW + 5), monkeypatch)
    assert blob_of(profiles, "ann")  # it lies there still
    assert profiles.read(["ann"], now=NOW + 6).numbers["events_total"][0] == 2
    assert not profiles.has_blob(profiles.made_of(["ann"])[0][0])
    profiles.push_all({"ann": [bought("i2", NOW + 9)]})
    assert profiles._blobs(["ann"])[0] is not None
    assert profiles.read(["ann"], now=NOW + 10).numbers["events_total"][0] == 3


@pytest.mark.parametrize("spoil", [lambda b: b[:-1], lambda b: b + b"\0", lambda b: b[:40], lambda b: b"2" + b[1:]])
def test_a_blob_that_was_cut_or_is_of_another_form_is_none(profiles: OnlineProfiles, spoil: Any) -> None:
    profiles.push_all({"ann": [bought("i0", NOW)]})
    made = profiles.made_of(["ann"])[0][0]
    spoilt = spoil(blob_of(profiles, "ann"))
    profiles.online.write(MADE_OF, [("ann", NOW, provenance.cells(made, blob=spoilt))])
    assert profiles._blobs(["ann"]) == [None]
    assert profiles.read(["ann"], now=NOW + 1).numbers["events_total"][0] == 1


def test_a_release_with_other_windows_reads_no_blob_of_this_one(profiles: OnlineProfiles) -> None:
    profiles.push_all({"ann": [bought("i0", NOW)]})
    other = OnlineProfiles.open("shop", dataclasses.replace(FOLDING, windows_days=(7, 28)))
    assert other._blobs(["ann"]) == [None]


def test_what_is_erased_is_gone_with_its_blob(profiles: OnlineProfiles, tmp_path: Path) -> None:
    profiles.push_all({"ann": [bought("i0", NOW)]})
    blob = blob_of(profiles, "ann")
    assert erase.erase("shop", ["ann"]) > 0
    assert blob_of(profiles, "ann") == b""
    assert all(blob[:24] not in path.read_bytes() for path in tmp_path.glob("online.db*"))


def test_a_row_that_named_who_was_forgotten_is_read_from_its_views(profiles: OnlineProfiles) -> None:
    profiles.push_all({"ann": [bought("f00d", NOW), bought("i0", NOW)]})
    assert mentions.remove("shop", ["f00d"]) == 1
    assert blob_of(profiles, "ann") == b""
    assert_same(profiles._stored(["ann"], now=NOW), of_views(profiles, ["ann"]))


@given(
    times=st.lists(st.integers(-(2**40), 2**40), max_size=5),
    state_at=st.integers(-(2**60), 2**60),
    number=st.floats(allow_nan=False),
    decimals=st.lists(st.floats(width=32, allow_nan=False), max_size=4),
    keys=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4),
)
def test_every_value_comes_back_exactly(
    times: list[int], state_at: int, number: float, decimals: list[float], keys: list[int]
) -> None:
    form = RowBlob.of([KINDS])
    cells = {"state_at": state_at, "first_at": 3.7, "value_total": number, "target_ids": keys, "target_last_at": times,
             "target_slow": decimals}  # fmt: skip
    parts = form.parts(form.pack(cells, made=MADE), made=MADE)
    assert parts is not None
    rows = form.rows([parts, parts], ["ann", "ben"], now=9)
    assert rows.state_at.tolist() == [state_at] * 2
    assert {name: values.tolist() for name, values in rows.numbers.items()} == {
        "first_at": [3.0] * 2,
        "value_total": [number] * 2,
    }
    for name, values in (("target_ids", keys), ("target_last_at", times), ("target_slow", decimals)):
        assert rows.lists[name].row(1).tolist() == values
        assert rows.lists[name].values.dtype == LIST_TYPES[name]


@pytest.mark.parametrize("changed", [{"row": "v:other"}, {"data_end": 8}, {"folded": "1-ac"}, {"folded": "1-ab?"}])
def test_a_blob_is_of_one_row_alone(changed: dict[str, Any]) -> None:
    form = RowBlob.of([KINDS])
    cells = dict.fromkeys(KINDS, ()) | {"state_at": 1, "first_at": 1, "value_total": 1}
    blob = form.pack(cells, made=MADE)
    assert form.parts(blob, made=dataclasses.replace(MADE, others="[]")) is not None  # what other lists have moves none
    assert form.parts(blob, made=dataclasses.replace(MADE, **changed)) is None


def test_the_schema_tells_names_types_and_their_order_apart() -> None:
    others = [
        {name: kind for name, kind in KINDS.items() if name != "first_at"},
        dict(reversed(KINDS.items())),
        KINDS | {"first_at": "double_val"},
        KINDS | {columns.SEGMENT: "int64_val"},
    ]
    schemas = {RowBlob.of([kinds]).schema for kinds in [KINDS, *others]}
    assert len(schemas) == 1 + len(others)


def test_what_a_row_is_made_of_names_its_blob(profiles: OnlineProfiles) -> None:
    profiles.push_all({"ann": [bought("i0", NOW)]})
    made = profiles.made_of(["ann"])[0][0]
    assert profiles.has_blob(made)
    assert provenance_of(profiles.online.read(MADE_OF, ["ann"])[0]).blob_of == made.blob_of
    assert not profiles.has_blob(dataclasses.replace(made, folded="2-aa"))
    at = dt.datetime.fromtimestamp(NOW + 1, dt.UTC)
    assert profiles.online.read_timed(MADE_OF, ["ann"])[0][0] == at
    assert np.isfinite(profiles.read(["ann"], now=NOW).numbers["value_total"]).all()
