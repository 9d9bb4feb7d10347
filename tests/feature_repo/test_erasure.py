"""A forgotten person's row in a release's item tables: emptied, with a note that the release's digest bears."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo import erasure, file_set, files, release_folder, signing
from feature_repo.errors import DataError
from feature_repo.release_folder import ReleaseFolder
from feature_repo.vocabulary import Target, Vocabulary, hashed

ANN, BOB, CAT, DAN = ("a" * 16, "b" * 16, "c" * 16, "d" * 16)


@pytest.fixture(autouse=True)
def unsigned(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (signing.KEY, signing.PUBLIC):
        monkeypatch.delenv(name, raising=False)


def words() -> Vocabulary:
    items = pa.table({"item_index": range(3), "item_id": [ANN, BOB, CAT], "title": ["Ann", "Bob", None]})
    pairs = pa.table({"item_id": [BOB, CAT, DAN], "target_id": [0, 0, 0], "kind": ["", "", ""]})
    target = Target("write", "X", None, "town")
    return Vocabulary((target,), items, pairs, known_items=hashed([ANN, BOB, CAT, DAN]), people=True)


def release(folder: Path, signer: signing.Signer | None = None) -> ReleaseFolder:
    """Write a release whose two parts hold the vocabulary."""
    for part in ("intent", "ranking"):
        words().save(folder / part / "vocabulary")
        (folder / part / "weights.bin").write_bytes(b"\1\2\3")
    document = release_folder.identified(
        {"name": "town", "vocabulary": words().digest, "policy": "greedy@1", "serving": {}}
        | {part: {"version": "1", "digest": file_set.digest(folder / part)} for part in ("intent", "ranking")}
    )
    files.write_json(folder / "release.json", document)
    if signer is not None:
        (folder / signing.FILE).write_text(signer.sign(document))
    return ReleaseFolder.verified(folder)


def erase(folder: Path, *people: str, signer: signing.Signer | None = None) -> list[int]:
    return [erasure.erase(folder / part / "vocabulary", people, signer) for part in ("intent", "ranking")]


def all_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_the_row_names_nobody_and_the_release_is_whole(tmp_path: Path) -> None:
    before = release(tmp_path / "r")
    assert erase(tmp_path / "r", BOB) == [3, 3]  # the row, the pair, the hash
    after, found = ReleaseFolder.verified(tmp_path / "r"), Vocabulary.load(tmp_path / "r" / "ranking" / "vocabulary")
    assert (after.id, after.vocabulary) == (before.id, found.digest)
    assert found.item_ids == [ANN, "erased-1", CAT]
    assert found.items["title"].to_pylist() == ["Ann", None, None]
    assert found.item_targets["item_id"].to_pylist() == [CAT, DAN]
    assert not found.knows(BOB)
    assert found.knows(DAN)
    assert BOB.encode() not in all_bytes(tmp_path / "r")
    assert b"Bob" not in all_bytes(tmp_path / "r")
    assert [path.name for path in tmp_path.iterdir()] == ["r"]  # nothing is left aside


def test_a_second_person_goes_too_and_a_second_call_does_nothing(tmp_path: Path) -> None:
    release(tmp_path / "r")
    assert [erase(tmp_path / "r", BOB), erase(tmp_path / "r", BOB)] == [[3, 3], [0, 0]]
    assert [erase(tmp_path / "r", DAN), erase(tmp_path / "r", ANN, CAT)] == [[2, 2], [5, 5]]
    found = Vocabulary.load(ReleaseFolder.verified(tmp_path / "r").ranking / "vocabulary")
    assert (found.item_ids, found.digest) == (["erased-0", "erased-1", "erased-2"], words().digest)


def test_a_note_in_a_release_that_none_was_registered_with_is_refused(tmp_path: Path) -> None:
    release(tmp_path / "r")
    (tmp_path / "r" / "ranking" / "vocabulary" / erasure.FILE).write_text('{"vocabulary": "0123456789ab"}')
    with pytest.raises(DataError, match="is not what release"):
        ReleaseFolder.verified(tmp_path / "r")


class Killed(Exception):
    """Stands for a SIGKILL after a file was written."""


@pytest.mark.parametrize("writes", range(5))
def test_killed_after_any_write_the_release_is_whole_and_the_next_call_finishes(tmp_path: Path, writes: int) -> None:
    release(tmp_path / "r")
    folder, left = tmp_path / "r" / "ranking" / "vocabulary", [writes]

    def written(path: Path) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    with pytest.raises(Killed):
        erasure.erase(folder, [BOB], None, written=written)
    ReleaseFolder.verified(tmp_path / "r")
    assert Vocabulary.load(folder).digest == words().digest
    erasure.erase(folder, [BOB], None)
    ReleaseFolder.verified(tmp_path / "r")
    assert erasure.read(folder / erasure.FILE, signing.trusted({})).finished
    assert BOB.encode() not in all_bytes(folder)


def _edit(change: Callable[[dict], object], *, check: bool) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        note = files.read_json(folder / erasure.FILE)
        change(note)
        if check:  # by somebody who knows how a note is made
            content = {name: value for name, value in note.items() if name not in (erasure.CHECK, erasure.SIGNATURE)}
            note[erasure.CHECK] = erasure._sha256(files.canonical(content).encode())
        files.write_json(folder / erasure.FILE, note)

    return edit


def _other_title(folder: Path) -> None:
    items = pq.read_table(folder / erasure.ITEMS)
    pq.write_table(items.set_column(2, "title", pa.array(["Eve", None, None], pa.string())), folder / erasure.ITEMS)


def _another_file(folder: Path) -> None:
    (folder.parent / "weights.bin").write_bytes(b"\1\2\4")


def _one_more(folder: Path) -> None:
    (folder.parent / "more.py").write_text("")


def _no_table(folder: Path) -> None:
    (folder / erasure.ITEMS).write_bytes(b"PAR1 half a file")
    now = [file_set.listed(folder)[erasure.ITEMS]]
    _edit(lambda note: note["files"][erasure.ITEMS].update(now=now), check=True)(folder)


def _weights_noted(folder: Path) -> None:
    def noted(note: dict) -> None:
        note["files"]["../weights.bin"] = {"was": file_set.listed(folder.parent)["weights.bin"], "now": ["0" * 64]}

    _edit(noted, check=True)(folder)


@pytest.mark.parametrize(
    "tamper",
    [
        _other_title, _another_file, _one_more, _weights_noted,
        _edit(lambda note: note.update(places=[0, 1]), check=False),
        _edit(lambda note: note.update(places=[0, 1]), check=True),
        _edit(lambda note: note.update(places=[]), check=True),
        _edit(lambda note: note.update(places=[{}]), check=True),
        _no_table,
        lambda folder: (folder / erasure.FILE).write_text(
            '{"vocabulary": "v", "places": [1e999], "files": {}, "check": ""}'
        ),
        _edit(lambda note: note["files"]["items.parquet"].update(was="0" * 64), check=True),
        _edit(lambda note: note["files"].pop("items.parquet"), check=True),
        lambda folder: (folder / erasure.FILE).unlink(),
        lambda folder: (folder / erasure.FILE).write_text("[]"),
        lambda folder: (folder / erasure.FILE).write_text('{"vocabulary": "0123456789ab"}'),
        lambda folder: (folder / erasure.FILE).write_text("{"),
    ],
)  # fmt: skip
def test_whatever_the_note_does_not_say_is_refused(tmp_path: Path, tamper: Callable[[Path], None]) -> None:
    release(tmp_path / "r")
    erase(tmp_path / "r", BOB)
    tamper(tmp_path / "r" / "ranking" / "vocabulary")
    with pytest.raises(DataError) as refusal:
        ReleaseFolder.verified(tmp_path / "r")
    assert "\n" not in str(refusal.value)


def signer(key: str = "11") -> signing.Signer:
    found = signing.signer({signing.KEY: key * 32})
    assert found is not None
    return found


def test_where_releases_are_signed_the_note_is_signed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, other = signer(), signer("22")
    monkeypatch.setenv(signing.PUBLIC, mine.public)
    release(tmp_path / "r", mine)
    erase(tmp_path / "r", BOB, signer=mine)
    assert ReleaseFolder.verified(tmp_path / "r").vocabulary == words().digest
    for wrong, said in ((None, "is not signed"), (other, "is signed with the key")):
        release(tmp_path / str(said), mine)
        erase(tmp_path / str(said), BOB, signer=wrong)
        with pytest.raises(DataError, match=said):
            ReleaseFolder.verified(tmp_path / str(said))


def test_a_signed_note_that_was_changed_and_a_releases_signature_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = signer()
    monkeypatch.setenv(signing.PUBLIC, mine.public)
    release(tmp_path / "r", mine)
    erase(tmp_path / "r", BOB, signer=mine)
    note = tmp_path / "r" / "ranking" / "vocabulary" / erasure.FILE
    content = files.read_json(note)
    _edit(lambda one: one.update(vocabulary="0" * 12), check=True)(note.parent)
    with pytest.raises(DataError, match="is not of this document"):
        ReleaseFolder.verified(tmp_path / "r")
    document = {name: value for name, value in content.items() if name != erasure.SIGNATURE}
    files.write_json(note, document | {erasure.SIGNATURE: mine.sign(document)})  # made for another purpose
    with pytest.raises(DataError, match="is not of this document"):
        ReleaseFolder.verified(tmp_path / "r")


def test_a_vocabulary_that_is_saved_again_keeps_its_digest_and_can_be_erased_from(tmp_path: Path) -> None:
    release(tmp_path / "r")
    erase(tmp_path / "r", BOB)
    again = tmp_path / "other" / "ranking"
    Vocabulary.load(tmp_path / "r" / "ranking" / "vocabulary").save(again / "vocabulary")
    assert Vocabulary.load(again / "vocabulary").digest == words().digest
    registered = file_set.digest(again)
    assert erasure.matches(again, registered)
    assert erasure.erase(again / "vocabulary", [CAT], None) == 3
    assert erasure.matches(again, registered)
    assert erasure.erase(again / "vocabulary", [ANN], None) == 2
    assert erasure.matches(again, registered)


def test_columns_say_what_most_others_say(tmp_path: Path) -> None:
    """A network that never saw a row without a town would score one beyond all bounds."""
    folder, whole = tmp_path / "r" / "ranking" / "vocabulary", words()
    towns = {"town": ["X", "Y", "X"], "age": [30, 41, 52], "weight": [float("nan")] * 3, "tags": [["a"], ["b"], ["a"]]}
    items = whole.items
    for name, values in towns.items():
        items = items.append_column(name, pa.array(values))
    replace(whole, items=items).save(folder)
    registered = file_set.digest(folder.parent)
    erasure.erase(folder, [BOB], None)
    row = pq.read_table(folder / erasure.ITEMS).slice(1, 1).to_pylist()[0]
    empty = {"title": None, "age": None, "weight": None, "tags": None}
    assert row == {"item_index": 1, "item_id": "erased-1", "town": "X"} | empty
    assert erasure.matches(folder.parent, registered)
    erasure.erase(folder, [ANN], None)
    assert erasure.matches(folder.parent, registered)


def test_hashes_alone_go_too(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b" / "vocabulary"
    words().save(folder)
    pairs = pq.read_table(folder / erasure.PAIRS)
    pq.write_table(pairs.slice(0, 2), folder / erasure.PAIRS)
    assert erasure.knows_any(folder, [DAN]) == 1
    assert erasure.erase(folder, [DAN], None) == 1
    assert np.load(folder / erasure.KNOWN).tolist() == hashed([ANN, BOB, CAT]).tolist()
    assert json.loads((folder / erasure.FILE).read_text())["places"] == []
