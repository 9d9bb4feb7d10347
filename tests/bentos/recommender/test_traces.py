"""Traces in files: found wherever they stand, taken out without touching the rest, also by a call that was killed."""

import json
import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bentos.recommender.logs import renaming, trace_people, traces
from feature_repo import memory
from feature_repo.privacy.pseudonyms import pseudonym
from feature_repo.vocabulary import hashed

KEY = "0a" * 16
ANN, BOB = "raw-user-7f3a-ann", "bob"
ANNS, BOBS = pseudonym(ANN, KEY), pseudonym(BOB, KEY)
PEOPLE = trace_people.People((ANN,), (ANNS,))
ROWS = {
    "user_id": [ANNS, BOBS, BOBS, None],
    "session_id": [f"{ANNS} 2024-01-01", f"{BOBS} 2024-01-01", f"{ANNS} 2024-01-02", "s"],
    "tags": [["x"], ["y"], ["z"], [f"by {ANN}"]],
    "value": [1.0, 2.0, 3.0, 4.0],
}


def rows(path: Path) -> list[dict[str, object]]:
    return list(pq.read_table(path).to_pylist())


def test_parquet_is_decoded_and_written_anew_without_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    table = pa.table(ROWS).append_column("kind", pa.array(["a", "b", "a", "b"]).dictionary_encode())
    pq.write_table(table, path, compression="zstd", row_group_size=2)
    found = traces.find([tmp_path], PEOPLE)
    assert (found.hits[path], found.rows, found.files) == (3, 4, 1)
    assert traces.clean(path, PEOPLE) == 3
    assert [row["user_id"] for row in rows(path)] == [BOBS]
    assert pq.read_schema(path) == table.schema
    assert traces.find([tmp_path], PEOPLE).hits == {}
    assert ANNS.encode() not in path.read_bytes()  # statistics of the columns included


def test_a_memory_that_names_a_person_as_an_item_loses_the_event_and_its_row_stays(tmp_path: Path) -> None:
    path = tmp_path / "user_daily.parquet"
    memories = [
        memory.encode([memory.Remembered(at, "s", item, "follow", 1.0) for at, item in enumerate(items)])
        for items in (["i1"], ["i1", ANNS, "i2"], [BOBS])
    ]
    table = pa.table({"user_id": [ANNS, BOBS, "c" * 16], "memory": pa.array(memories, pa.binary())})
    pq.write_table(table, path)
    assert traces.find([tmp_path], PEOPLE).hits == {path: 2}
    assert traces.clean(path, PEOPLE) == 2
    assert traces.find([tmp_path], PEOPLE).hits == {}
    assert pq.read_schema(path) == table.schema
    left = {row["user_id"]: [e.item_id for e in memory.decode(row["memory"])] for row in rows(path)}  # type: ignore[arg-type]
    assert left == {BOBS: ["i1", "i2"], "c" * 16: [BOBS]}


def test_row_groups_stay_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"user_id": [BOBS, ANNS, BOBS, BOBS, ANNS, ANNS]}), path, row_group_size=2)
    traces.clean(path, PEOPLE)
    file = pq.ParquetFile(path)
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [1, 2]


def test_a_hard_linked_copy_is_found_and_cleaned_by_itself(tmp_path: Path) -> None:
    path, copy = tmp_path / "a.parquet", tmp_path / "b.parquet"
    pq.write_table(pa.table({"user_id": [ANNS, BOBS]}), path)
    os.link(path, copy)
    for each in traces.find([tmp_path], PEOPLE).hits:
        traces.clean(each, PEOPLE)
    assert rows(path) == rows(copy) == [{"user_id": BOBS}]


def test_a_short_raw_id_is_told_only_where_a_user_is_named(tmp_path: Path) -> None:
    people = trace_people.People(("17",), (pseudonym("17", KEY),))
    (tmp_path / "a.json").write_text(json.dumps({"user_id": "17", "count": 17, "item": "17"}))
    pq.write_table(pa.table({"user_id": ["17", "18"], "item_id": ["18", "17"]}), tmp_path / "b.parquet")
    assert {path.name: hits for path, hits in traces.find([tmp_path], people).hits.items()} == {
        "a.json": 1,
        "b.parquet": 1,
    }
    assert people.telling == ()


def test_an_item_that_is_called_like_a_user_stays(tmp_path: Path) -> None:
    people = trace_people.People(("SKU-12345",), (pseudonym("SKU-12345", KEY),))
    pq.write_table(pa.table({"item_id": ["SKU-12345"], "title": ["SKU-12345 in red"]}), tmp_path / "items.parquet")
    bought = {"user_id": [BOBS, BOBS], "item_id": ["SKU-12345", "i"], "session_id": ["s", "SKU-12345 s"]}
    pq.write_table(pa.table(bought), tmp_path / "events.parquet")
    assert {path.name: hits for path, hits in traces.find([tmp_path], people).hits.items()} == {"events.parquet": 1}
    assert trace_people.People(("chocolate", "12345678"), ()).telling == ()


@pytest.mark.parametrize("raw", ['quo"te-and-1', "käthe@example.org", "back\\slash-2", "a.b*c+d(e)-3"])
def test_awkward_raw_ids_are_found_as_json_writes_them(tmp_path: Path, raw: str) -> None:
    people = trace_people.People((raw,), (pseudonym(raw, KEY),))
    (tmp_path / "a.log").write_text(f"{json.dumps({'error': raw})}\n{json.dumps({'e': raw}, ensure_ascii=False)}\n")
    assert traces.clean(tmp_path / "a.log", people) == 2
    assert traces.find([tmp_path], people).hits == {}


def test_text_is_masked_in_place_and_stays_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps({"user": ANNS, "said": f"no {ANN}!", "not": f"{ANN}a"}))
    size = path.stat().st_size
    assert traces.clean(path, PEOPLE) == 2
    assert path.stat().st_size == size
    assert json.loads(path.read_text()) == {"user": "x" * 16, "said": f"no {'x' * len(ANN)}!", "not": f"{ANN}a"}


def write_log(home: Path) -> Path:
    folder = home / "events"
    folder.mkdir()
    lines = [
        {"key": f"id:{ANN}-1", "user_id": ANNS, "pad": "p" * 9000},
        {"key": "k2", "user_id": BOBS},
        {"folded": [f"id:{ANN}-1", "k2"]},
    ]
    path = folder / "2024-01-01.00000.jsonl"
    path.write_bytes(b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines))
    return path


def read_log(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def test_lines_of_a_log_are_blanked_with_their_keys_while_a_service_appends(tmp_path: Path) -> None:
    path = write_log(tmp_path)
    with path.open("ab", buffering=0) as service:
        traces.mask_keys(path.parent, PEOPLE)
        traces.clean(path, PEOPLE)
        service.write(b'{"key":"k3","user_id":"c"}\n')
    masked = "x" * len(f"id:{ANN}-1")
    assert read_log(path) == [
        {"key": "k2", "user_id": BOBS},
        {"folded": [masked, "k2"]},
        {"key": "k3", "user_id": "c"},
    ]
    assert traces.find([tmp_path], PEOPLE).hits == {}


def test_people_in_logs_get_new_names_and_those_without_one_go(tmp_path: Path) -> None:
    path = write_log(tmp_path)
    assert renaming.replace_users(path, {ANNS.encode(): b"0" * 16}.get) == (1, 1)
    assert [line.get("user_id") for line in read_log(path)] == ["0" * 16, None]


def test_what_killed_writers_left_aside_goes_and_a_living_ones_stays(tmp_path: Path) -> None:
    dead = multiprocessing.Process(target=int)
    dead.start()
    dead.join()
    (tmp_path / f".tables.{dead.pid}.part").mkdir()
    (tmp_path / f".a.json.{dead.pid}.old").touch()
    (tmp_path / f".b.json.{os.getpid()}.part").touch()
    assert traces.clean_aside([tmp_path]) == 2
    assert [p.name for p in tmp_path.iterdir()] == [f".b.json.{os.getpid()}.part"]


def _killed_while_writing(path: Path, number: int) -> None:
    """Clean a file, and die by a real SIGKILL at its n-th write."""
    write, count = os.pwrite, 0

    def dying(*arguments: object) -> int:
        nonlocal count
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return write(*arguments)  # type: ignore[arg-type]

    os.pwrite = dying  # type: ignore[assignment]
    traces.mask_keys(path.parent, PEOPLE)
    traces.clean(path, PEOPLE)


@pytest.mark.parametrize("number", range(1, 5))
def test_a_log_whose_cleaning_was_killed_is_cleaned_by_the_next_call(tmp_path: Path, number: int) -> None:
    path = write_log(tmp_path)
    child = multiprocessing.get_context("fork").Process(target=_killed_while_writing, args=(path, number))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert traces.find([tmp_path], PEOPLE).hits
    traces.mask_keys(path.parent, PEOPLE)
    traces.clean(path, PEOPLE)
    assert traces.find([tmp_path], PEOPLE).hits == {}
    assert {"key": "k2", "user_id": BOBS} in read_log(path)


def test_a_file_that_cannot_be_decoded_is_told(tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 half a file")
    assert traces.find([tmp_path], PEOPLE).unreadable == [tmp_path / "broken.parquet"]


def test_where_items_are_people_both_ends_go_and_item_tables_stay_and_are_told(tmp_path: Path) -> None:
    events, words = tmp_path / "events.parquet", tmp_path / "vocabulary" / "items.parquet"
    words.parent.mkdir()
    pq.write_table(pa.table({"user_id": [ANNS, BOBS, BOBS], "item_id": [BOBS, ANNS, "c" * 16]}), events)
    pq.write_table(pa.table({"item_index": [0, 1], "item_id": [ANNS, BOBS]}), words)
    (words.parent / "targets.json").write_text("[]")
    before = words.read_bytes()
    found = traces.find([tmp_path], PEOPLE)
    assert (found.hits, found.item_tables, found.files) == ({events: 2}, [words], 3)
    assert [traces.clean(path, PEOPLE) for path in (events, words)] == [2, 0]
    assert rows(events) == [{"user_id": BOBS, "item_id": "c" * 16}]
    assert words.read_bytes() == before  # releases are verified by it: erasure.py empties rows
    assert traces.items_named([tmp_path]) == {ANNS, BOBS}
    np.save(words.parent / "known_items.npy", hashed([ANNS]))
    assert traces.find([tmp_path], PEOPLE).item_tables == [words, words.parent / "known_items.npy"]
    assert traces.find([tmp_path], PEOPLE).hits == {}


def test_people_who_are_items_in_logs_get_new_names_too(tmp_path: Path) -> None:
    lines = tmp_path / "events" / "one.jsonl"
    lines.parent.mkdir()
    line = {"user_id": BOBS, "item_id": ANNS, "key": "ab" * 16}
    lines.write_text(json.dumps(line, separators=(",", ":")) + "\n")
    new = {BOBS.encode(): b"b" * 16, ANNS.encode(): b"a" * 16}
    assert renaming.replace_users(lines, new.get) == (1, 0)
    assert json.loads(lines.read_text()) == line | {"user_id": "b" * 16, "item_id": "a" * 16}
    answers = tmp_path / "requests.parquet"
    shown = [[{"item_id": ANNS, "source": "reciprocity"}, {"item_id": "tea", "source": "history"}]]
    asked = [json.dumps({"exclude": [ANNS], "k": 3})]
    pq.write_table(pa.table({"user_id": [BOBS], "items": shown, "asked": asked}), answers)
    assert renaming.replace_users(answers, new.get) == (1, 0)
    (row,) = rows(answers)
    assert row["items"] == [{"item_id": "a" * 16, "source": "reciprocity"}, {"item_id": "tea", "source": "history"}]
    assert json.loads(str(row["asked"])) == {"exclude": ["a" * 16], "k": 3}
