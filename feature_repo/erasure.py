"""The row of a forgotten person in the item tables of a vocabulary: taken out, in a way that a release's digest bears.

Where items are people, the tables of a vocabulary name them, and a release is verified by its bytes. `erase` writes the
tables anew with a row that names nobody in the person's place, so that all positions stay, and notes beside them
(erased.json) which rows these are, and the SHA-256 of each table before and now. `listed` is how a release's files were
registered: it puts the former SHA-256 in the place of today's, if today's is the one that the note says. So a release
with a note is whole only if every other byte is what was registered, and the tables are what was noted. Where releases
are signed the note is signed too, with the same keys (signing.py).

While the tables are being written the note allows both forms of each, so a call may be killed at any point: the release
is whole all the time, and the next call finishes. Pure but for the folder's files; no store, no tombstone.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_repo import columns, file_set, files, signing, vocabulary
from feature_repo.errors import DataError
from feature_repo.ids import erased_id, is_erased

FILE = vocabulary.ERASED
ITEMS, PAIRS, KNOWN = "items.parquet", "item_targets.parquet", vocabulary.KNOWN_ITEMS
TABLES = (ITEMS, PAIRS, KNOWN)  # what a note may speak of
PLACED = (columns.ITEM_ID, columns.ITEM_INDEX)
NAMING = (columns.TITLE, columns.FIRST_SEEN)
PURPOSE = b"intentflow: erased rows 1\n"
SIGNATURE, CHECK, WAS, NOW = "signature", "check", "was", "now"
SHAPE: dict[str, type] = {"vocabulary": str, "places": list, "files": dict}
MEND = "run `intentflow forget` for the person again, or delete the folder and fetch the release again"
Written = Callable[[Path], None]  # called after each file that was written, in order


@dataclass(frozen=True)
class Note:
    """What erased.json says: which rows name nobody any more, and each table's SHA-256 as registered and now."""

    vocabulary: str  # digest of the vocabulary as it was registered: positions mean what they meant
    places: tuple[int, ...] = ()
    was: Mapping[str, str] = field(default_factory=dict)
    now: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # two while the tables are being written

    @property
    def finished(self) -> bool:
        """Whether each table has one form."""
        return all(len(forms) == 1 for forms in self.now.values())

    def document(self) -> dict[str, Any]:
        """Return it as a file holds it, without its signature."""
        tables = {name: {WAS: was, NOW: list(self.now.get(name, ()))} for name, was in self.was.items()}
        content = {"vocabulary": self.vocabulary, "places": list(self.places), "files": tables}
        return content | {CHECK: _sha256(files.canonical(content).encode())}


def listed(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file below a folder as it was registered; refuse a note that does not hold."""
    found = file_set.listed(folder)
    trusted = signing.trusted(os.environ)
    for path in [path for path in found if path.rpartition("/")[2] == FILE]:
        below = path.removesuffix(FILE)
        note = read(folder / path, trusted)
        if not note.was:  # a vocabulary that was saved again, and registered so
            continue
        del found[path]
        for name, was in note.was.items():
            if name != FILE and found.get(below + name) not in note.now[name]:
                raise DataError(f"{folder / (below + name)}: is not what {FILE} beside it says; {MEND}")
            found[below + name] = was
        _require_rows(folder / below, note)
    return found


def matches(folder: Path, expected: str) -> bool:
    """Tell whether a folder holds exactly what a digest stands for, but for rows of forgotten people."""
    if file_set.matches(folder, expected):
        return True
    return file_set.is_full(expected) and any(folder.rglob(FILE)) and file_set.digest_of(listed(folder)) == expected


def read(file: Path, trusted: signing.TrustedKeys) -> Note:
    """Read a note, which is whole and signed where releases are."""
    try:
        content = files.read_json(file)
        if set(content) == {"vocabulary"}:  # of a vocabulary that was saved again: what it lies in is digested with it
            return Note(str(content["vocabulary"]))
        signature, check = content.pop(SIGNATURE, ""), content.pop(CHECK, "")
        right = set(content) == set(SHAPE) and all(isinstance(content[name], kind) for name, kind in SHAPE.items())
        whole = right and check == _sha256(files.canonical(content).encode())
        tables = content["files"]
        note = Note(
            content["vocabulary"],
            tuple(int(place) for place in content["places"]),
            {str(name): str(one[WAS]) for name, one in tables.items()},
            {str(name): tuple(map(str, one[NOW])) for name, one in tables.items() if one[NOW]},
        )
        whole = whole and set(note.was) <= {*TABLES, FILE} and set(note.now) == set(note.was) - {FILE}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        whole = False
    if not whole:
        raise DataError(f"{file}: is no note of erased rows as `forget` writes it, or was changed; {MEND}")
    trusted.require_text(content | {CHECK: check}, signature, str(file), purpose=PURPOSE)
    return note


def knows_any(folder: Path, people: Collection[str]) -> int:
    """Count the people, by pseudonym, whose hashes are among a vocabulary's known items."""
    return int(_known(folder, people).sum())


def erase(
    folder: Path, people: Collection[str], signer: signing.Signer | None, *, written: Written = lambda path: None
) -> int:
    """Take people out of the tables of a vocabulary; return how many places went. Finishes what was killed.

    `written` is called after each file that was written.
    """
    before = read(folder / FILE, signing.trusted({})) if (folder / FILE).is_file() else None
    gone = _rows(folder / ITEMS, people) + _rows(folder / PAIRS, people) + int(_known(folder, people).sum())
    if not gone and (before is None or before.finished):
        return 0
    # Aside of the model's folder, whose files are all digested, and on the same disk: files are renamed from there.
    scratch = folder.parents[min(2, len(folder.parents) - 1)] / f".{folder.name}.{os.getpid()}.part"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        _replace(folder, scratch, people, signer, before=before, written=written)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return gone


def _replace(
    folder: Path,
    scratch: Path,
    people: Collection[str],
    signer: signing.Signer | None,
    *,
    before: Note | None,
    written: Written,
) -> None:
    """Note both forms of each table, then rename the new ones over the old ones, then note the new ones alone."""
    registered = before.vocabulary if before is not None else vocabulary.Vocabulary.load(folder).digest
    former = before.was if before is not None else {}
    places = _tables(folder, scratch, people)
    names = [name for name in TABLES if (folder / name).is_file()]
    have = {name: _file_sha256(folder / name) for name in names}
    new = {name: _file_sha256(scratch / name) for name in names}
    was = {name: former.get(name, have[name]) for name in names}
    if before is not None and (FILE in former or not former):  # the vocabulary was saved and registered with a note
        was[FILE] = former.get(FILE) or _file_sha256(folder / FILE)
    both = {name: tuple(dict.fromkeys((have[name], new[name]))) for name in names}

    def note(now: Mapping[str, tuple[str, ...]]) -> None:
        document = Note(registered, places, was, now).document()
        signature = {SIGNATURE: signer.sign(document, purpose=PURPOSE)} if signer is not None else {}
        files.write_json(scratch / FILE, document | signature)
        os.replace(scratch / FILE, folder / FILE)
        written(folder / FILE)

    note(both)
    for name in names:
        if have[name] != new[name]:
            shutil.copymode(folder / name, scratch / name)
            os.replace(scratch / name, folder / name)
            written(folder / name)
    note({name: (new[name],) for name in names})


def _tables(folder: Path, scratch: Path, people: Collection[str]) -> tuple[int, ...]:
    """Write the tables without people, and those that name nobody of them as they are; return the erased places."""
    items = pq.read_table(folder / ITEMS)
    ids = items[columns.ITEM_ID].to_pylist()
    mine = [place for place, item in enumerate(ids) if str(item) in people or is_erased(str(item))]
    nobody = pa.array([place in set(mine) for place in range(len(ids))], pa.bool_())
    for at, kind in enumerate(items.schema):
        if kind.name == columns.ITEM_ID:
            named = [erased_id(n) if n in set(mine) else item for n, item in enumerate(ids)]
            items = items.set_column(at, kind, pa.array(named, kind.type))
        elif kind.name != columns.ITEM_INDEX:
            said = items[kind.name].combine_chunks()
            filled = pa.array([_common(said, nobody, kind.name)] * len(ids), kind.type)
            items = items.set_column(at, kind, pc.if_else(nobody, filled, said))
    _as_before(folder / ITEMS, scratch / ITEMS, items, anew=_rows(folder / ITEMS, people) > 0)
    pairs = pq.read_table(folder / PAIRS)
    kept = [str(item) not in people for item in pairs[columns.ITEM_ID].to_pylist()]
    _as_before(folder / PAIRS, scratch / PAIRS, pairs.filter(pa.array(kept, pa.bool_())), anew=not all(kept))
    if (folder / KNOWN).is_file():
        gone = _known(folder, people)
        shutil.copyfile(folder / KNOWN, scratch / KNOWN)
        if gone.any():
            np.save(scratch / KNOWN, np.load(folder / KNOWN)[~gone])
    return tuple(mine)


def _common(values: pa.Array, nobody: pa.Array, name: str) -> Any:
    """Return what most of the other rows say in a column, None where no two say the same, and of what names somebody.

    A network that never saw a row without a category would score one beyond all bounds, and with it the others.
    """
    others = values.filter(pc.invert(nobody))
    if name in NAMING or pa.types.is_nested(values.type) or not len(others):
        return None
    most = max(others.value_counts().to_pylist(), key=lambda one: int(one["counts"]))
    equal = most["values"] == most["values"]  # NaN is not, and could not be checked
    return most["values"] if most["counts"] > 1 and equal else None


def _as_before(source: Path, target: Path, table: pa.Table, *, anew: bool) -> None:
    """Write a table, or copy the file where nothing of it changes."""
    if anew:
        pq.write_table(table, target)
    else:
        shutil.copyfile(source, target)


def _rows(file: Path, people: Collection[str]) -> int:
    """Count the rows of a table that name any of these people as an item."""
    if not file.is_file():
        return 0
    ids = pq.read_table(file, columns=[columns.ITEM_ID])[columns.ITEM_ID].to_pylist()
    return sum(str(item) in people for item in ids)


def _known(folder: Path, people: Collection[str]) -> np.ndarray:
    """Return which hashes of known items are those of these people, bool by place."""
    if not (folder / KNOWN).is_file():
        return np.empty(0, dtype=bool)
    return np.isin(np.load(folder / KNOWN), vocabulary.hashed(people))


def _require_rows(folder: Path, note: Note) -> None:
    """Refuse tables in which other rows than the noted ones are without a name, or a noted one has anything left."""
    if not note.was or not note.finished:
        return
    try:
        items = pq.read_table(folder / ITEMS)
        ids = [str(item) for item in items[columns.ITEM_ID].to_pylist()]
    except (pa.ArrowInvalid, KeyError, OSError) as error:
        raise DataError(f"{folder / ITEMS}: is no table of items; {MEND}") from error
    nobody = pa.array([is_erased(item) for item in ids], pa.bool_())
    said = {name: items[name].combine_chunks() for name in items.column_names if name not in PLACED}
    if list(note.places) != np.flatnonzero(nobody.to_numpy(zero_copy_only=False)).tolist() or any(
        one != _common(values, nobody, name)
        for name, values in said.items()
        for one in values.filter(nobody).to_pylist()
    ):
        raise DataError(f"{folder / ITEMS}: other rows are erased than {FILE} beside it says; {MEND}")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _file_sha256(file: Path) -> str:
    return _sha256(file.read_bytes())
