"""Bring the newest user rows into the online store, and declare the views in Feast's registry.

Only rows that changed are written: the store keeps beside each row what it was made of, and that is compared with
the files. So nothing is done twice, a run that was killed goes on where it was, and a store that lost its rows gets
them all. Events that were pushed since the files' data ended are folded into the new rows (docs/online.md).

Feast keeps the files' place in its registry, so the feature files move to a folder of their own first: one for each
vocabulary, with all that writing its rows again takes. Rows of several vocabularies lie side by side, each in a Feast
project of its own; events that were pushed only to another vocabulary's rows are folded in here.
"""

import datetime as dt
import os
import shutil
import time
from collections.abc import Callable, Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.profiles.build.row_digests import COLUMN as DIGEST
from components.profiles.build.row_digests import FILE as DIGESTS
from components.profiles.online import other_vocabularies as lists
from components.profiles.online import row_stream
from feature_repo import columns, files, services, views
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError
from feature_repo.online import erase, feast_store, stores
from feature_repo.online.profiles import OnlineProfiles
from feature_repo.online.provenance import Provenance
from feature_repo.privacy import sealing
from feature_repo.privacy.sealing import SealError
from feature_repo.update import Folding, State
from feature_repo.vocabulary import Vocabulary

FILES = tuple(f"{name}.parquet" for name in (*views.ROW_VIEWS, *views.STATE_VIEWS))
WORDS = ("vocabulary", "calendar.json")  # how events move rows
MAY = (DIGESTS, "segments.json", f"{views.RECEIVED}.parquet")  # files that profiles of before do not have
PUBLISHED = "features"  # below the state folder
GONE = "gone.parquet"  # users of the files before, who are not in these, until their rows are taken out
COMPARED, WRITTEN = 2_000, 500  # users at a time
ROUNDS = 3  # of writing what a push wrote over meanwhile
SETTLED_S = 0.2  # a push that read a row before it was written anew has written by then
Each = Callable[[float], None]


def published(home: Path, vocabulary: str) -> Path:
    """Return the folder of the feature files of a vocabulary."""
    return home / PUBLISHED / vocabulary


def publish(profiles: Path, features: Path) -> None:
    """Link the feature files into the folder that the registry names, and note who is no longer in them."""
    words = [p.relative_to(profiles) for name in WORDS for p in [profiles / name, *(profiles / name).rglob("*")]]
    present = [str(path) for path in words if (profiles / path).is_file()]
    names = [*FILES, "profiles.json", *present, *(name for name in MAY if (profiles / name).is_file())]
    if all((features / n).is_file() and os.path.samefile(profiles / n, features / n) for n in names):
        return
    gone = _gone(features, profiles)
    with files.written_folder(features) as folder:
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            _link(profiles / name, folder / name)
        if len(gone):
            pq.write_table(pa.table({columns.USER_ID: gone}), folder / GONE)


def _gone(before: Path, after: Path) -> pa.Array:
    """Return who was in the published files, or still waits to be taken out, and is not in the new ones.

    Under another key of pseudonyms nobody goes by the old name: then `intentflow rotate` takes out the old rows.
    """
    keys = [files.read_json(p / "profiles.json").get("key", "") for p in (before, after) if p.is_dir()]
    if len(set(keys)) > 1:
        return pa.array([], pa.string())
    found = [pq.read_table(p)[columns.USER_ID] for p in (before / DIGESTS, before / GONE) if p.is_file()]
    if not found or not (after / DIGESTS).is_file():
        return pa.array([], pa.string())
    had = pa.concat_arrays([chunk for column in found for chunk in column.chunks]).unique()
    have = pq.read_table(after / DIGESTS, columns=[columns.USER_ID])[columns.USER_ID]
    return had.filter(pc.invert(pc.is_in(had, have.combine_chunks())))


def _link(source: Path, target: Path) -> None:
    """Link a file where the file system can, else copy it: feature files are never changed in place."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def folding(profiles: Path) -> Folding:
    """Return how events move the rows of a profiles folder."""
    summary = files.read_json(profiles / "profiles.json")
    return Folding(
        calendar=Calendar(**files.read_json(profiles / "calendar.json")),
        vocabulary=Vocabulary.load(profiles / "vocabulary"),
        windows_days=tuple(summary["windows_days"]),
        item_event=summary.get("item_event"),
        events=summary.get(columns.MEMORY) in (columns.OF_TRAINING, columns.OF_TEXTS),
        texts=summary.get(columns.MEMORY) == columns.OF_TEXTS,
    )


def data_end(features: Path) -> dt.datetime:
    """Return the instant before which everything came that feature files know of."""
    return dt.datetime.fromisoformat(files.read_json(features / "profiles.json")["data_end"])


def run(project: str, features: Path, folds: Folding, *, each: Each = lambda _: None) -> dict[str, int]:
    """Declare views and services, write the rows that changed, take out who is gone; return how many of each.

    First the store learns who was forgotten: one that was emptied knows nobody, and one that was restored too few.
    """
    summary = files.read_json(features / "profiles.json")
    end = data_end(features)
    _declare(feast_store.space(project, folds.vocabulary.digest), features, folds)
    swept = erase.sweep(project)
    profiles = OnlineProfiles.open(project, folds)
    others = lists.Others.open(project, profiles)
    users = _allowed(profiles, row_stream.digests(features, fallback=files.digest(summary)))
    todo = changed(profiles, users, end, others)
    written = todo.num_rows
    for attempt in range(ROUNDS):
        if not todo.num_rows:
            break
        _write(profiles, features, todo, end, others, each if attempt == 0 else lambda _: None)
        time.sleep(SETTLED_S)
        todo = changed(profiles, todo, end, others)
    profiles.confirm(_seconds(end))
    removed = _take_out(project, features, folds.vocabulary.digest)
    lists.newcomers(profiles, others, set(users[columns.USER_ID].to_pylist()) | _before(features, end))
    return {"written": written, "unchanged": users.num_rows - written, "removed": removed + swept}


def _allowed(profiles: OnlineProfiles, users: pa.Table) -> pa.Table:
    """Leave forgotten people out, of whom files that were made before still have rows."""
    guard = profiles.online.guard
    if not guard.keys or not (names := guard.names()):
        return users
    return users.filter(pa.array([not guard.holds(user, names) for user in users[columns.USER_ID].to_pylist()]))


def prune(project: str, home: Path, keep: Collection[str]) -> list[str]:
    """Drop the rows and feature files of all vocabularies but those in `keep`; return the Feast projects that went."""
    wanted = {feast_store.space(project, vocabulary) for vocabulary in keep}
    dropped = [space for space in erase.spaces(project) if space not in wanted]
    registry = feast_store.open_store(project).registry
    declared = {found.name for found in registry.list_projects()}
    for space in dropped:
        erase.drop(project, space)
        if space in declared:
            registry.delete_project(space, commit=True)
    for path in (home / PUBLISHED).glob("*"):
        if path.is_file():  # of before there was a folder a vocabulary
            path.unlink()
        elif path.name not in keep:
            shutil.rmtree(path)
    return dropped


def _declare(space: str, features: Path, folds: Folding) -> None:
    feast = feast_store.open_store(space)
    declared = views.build(features, windows_days=folds.windows_days, people=folds.vocabulary.people)
    feast.apply([*declared.all(), *services.build(declared)])
    if (store := stores.named(feast_store.kind(feast.config.online_store))) is not None:
        store.let_read(feast.config)


def changed(profiles: OnlineProfiles, users: pa.Table, end: dt.datetime, others: lists.Others) -> pa.Table:
    """Return which users' stored rows are not made of the files' row and the events that came after it.

    A row without a blob of its own, which a release wrote that knows none, is written anew as well.
    """
    vocabulary, keep = profiles.folding.vocabulary.digest, []
    for start in range(0, users.num_rows, COMPARED):
        part = users.slice(start, COMPARED)
        ids, digests = (part[name].to_pylist() for name in (columns.USER_ID, DIGEST))
        for digest, (made, first, own) in zip(digests, others.read(ids, since=_seconds(end)), strict=True):
            _require_key(made.row)
            want = Provenance.of(vocabulary, under_key(digest), _seconds(end), [*first, *own])
            keep.append((made.row, made.folded) != (want.row, want.folded) or not profiles.has_blob(made))
    return users.filter(pa.array(keep, pa.bool_()))


def _write(
    profiles: OnlineProfiles, features: Path, todo: pa.Table, end: dt.datetime, others: lists.Others, each: Each
) -> None:
    """Write the rows of users, each with the events that no batch holds yet."""
    digests = dict(zip(todo[columns.USER_ID].to_pylist(), todo[DIGEST].to_pylist(), strict=True))
    done = 0
    for batch in row_stream.rows(features, todo[columns.USER_ID].combine_chunks(), data_end=end, batch=WRITTEN):
        _write_batch(profiles, batch, digests, _seconds(end), others)
        done += len(batch)
        each(done / len(digests))
    if done < len(digests):
        raise DataError(f"{features}: {len(digests) - done} users have a digest and no newest row; build profiles anew")


def _write_batch(
    profiles: OnlineProfiles, batch: dict[str, State], digests: dict[str, str], end: int, others: lists.Others
) -> None:
    fold = profiles.folding
    states: dict[str, State] = {}
    made: dict[str, Provenance] = {}
    for (user, cells), (_, first, own) in zip(batch.items(), others.read(list(batch), since=end), strict=True):
        lacking = {columns.MEMORY: b""}  # files of before memories
        states[user] = fold.fold(
            fold.empty() | lacking | cells | {columns.VOCABULARY: fold.vocabulary.digest}, [*first, *own]
        )
        row = under_key(digests[user])
        made[user] = Provenance.of(fold.vocabulary.digest, row, end, [*first, *own], others=first)
    profiles.write(states, made)


def _require_key(row: str) -> None:
    """Refuse to write in plain what is encrypted: a step that lacks the doors' key would undo it without a word."""
    _, encrypted, key = row.partition(sealing.MARK.decode())
    if encrypted and not sealing.given().newest:
        raise SealError(
            f"{sealing.KEYS}: event memories in the store are encrypted under the key {key}, this step has no "
            "key and would write them in plain; export the key that privacy.key_env names (docs/privacy.md), or empty "
            "the store first to stop encrypting"
        )


def under_key(digest: str) -> str:
    """Say under which key a row's memory is encrypted: another key means that the row is written anew."""
    key = sealing.given().newest
    return f"{digest}{sealing.MARK.decode()}{key}" if key else digest


def _take_out(project: str, features: Path, vocabulary: str) -> int:
    """Delete the rows of users that these files no longer have."""
    path = features / GONE
    if not path.is_file():
        return 0
    users = pq.read_table(path)[columns.USER_ID].to_pylist()
    erase.erase(project, users, space=feast_store.space(project, vocabulary))
    path.unlink()
    return len(users)


def _before(features: Path, end: dt.datetime) -> set[str]:
    """Return users of other vocabularies' batches that end no later: who is not in this one has left."""
    found: set[str] = set()
    for path in features.parent.glob(f"*/{DIGESTS}"):
        other = files.read_json(path.with_name("profiles.json"))
        if dt.datetime.fromisoformat(other["data_end"]) <= end:
            found |= set(pq.read_table(path, columns=[columns.USER_ID])[columns.USER_ID].to_pylist())
    return found


def _seconds(instant: dt.datetime) -> int:
    return int(instant.timestamp())
