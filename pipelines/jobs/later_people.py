"""The job `materialise` where items are people: who came after training gets a document in the log, renewed each time.

A document holds what was known of the person as an item, and their records with others (feature_repo/later_people.py):
the numbers that a training would have made, by the same code, over a vocabulary of everybody. A release that learns
the person ignores the document. Who was forgotten gets none, and is taken out of the log first: a store that was
restored from a copy may name them again.
"""

import datetime as dt
import itertools
import logging
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo import columns, files
from feature_repo.calendar import Calendar
from feature_repo.documents.changes import (
    MOST_BYTES,
    MOST_DOCUMENTS,
    MOST_ENTRIES,
    PERSON,
    Document,
    first_of_lists,
    size_of,
    unnamed,
)
from feature_repo.documents.log import Behind, DocumentLog, Snapshot
from feature_repo.ids import is_erased
from feature_repo.later_people import AS_OF, AS_PERSON, Tie, document
from feature_repo.live_items import FROM_SOURCE, declared, fits, live
from feature_repo.release_folder import ReleaseFolder
from feature_repo.signs import STRIDE, Signs
from feature_repo.vocabulary import Vocabulary

WHO = "job materialise"
TRIES = 20  # of a change that other writers are quicker than
USERS = 2_000  # whose rows are looked through at a time
Ties = dict[str, list[Tie]]  # by later person
log = logging.getLogger("intentflow")


def bring(
    log_: DocumentLog,
    releases: Sequence[ReleaseFolder],
    clean: Path,
    asked: Mapping[str, str],
    *,
    most: int,
    at: dt.datetime,
    scratch: Path,
    forgotten: Callable[[Collection[str]], Collection[str]] = lambda people: (),
) -> dict[str, int]:
    """Put the documents that are new, or not as they were, into the log; return how many, and who was left out.

    `most` new people come in, the newest; of those who are left out, who waits comes with the next run. `asked` are the
    slices `split` and `vocabulary` of the spec, as JSON; `forgotten` says which of some people the store keeps out, by
    pseudonym: of them nothing is written, whatever the tables hold.
    """
    if gone := forgotten(log_.people()):
        log_.remove(gone)
    words = [Vocabulary.load(one.ranking / "vocabulary") for one in releases]
    found = later(words, clean)
    known = log_.refreshed(Snapshot()).of(PERSON)
    new = [person for person in found if person not in known]
    room = max(0, min(most, MOST_ENTRIES, MOST_DOCUMENTS - len(known)))
    chosen = [*new[:room], *(person for person in found if person in known)]
    made = documents(chosen, words[0], releases[0], clean, asked, scratch=scratch) if chosen else {}
    gone = forgotten({*made}.union(*map(first_of_lists, made.values())))
    made = {person: unnamed(one, gone) for person, one in made.items() if person not in gone}
    fit = {person: one for person, one in made.items() if size_of(one) <= MOST_BYTES[PERSON]}
    left = len(new[room:]) + len(made) - len(fit)
    waiting = max(0, min(len(new), MOST_DOCUMENTS - len(known)) - room)
    if left:
        log.warning(
            "later people: %d of %d are not recommended before the next training: more than the log takes at once, or "
            "with more ties than a document holds",
            *(left, len(found)),
        )
    put = _put(log_, fit, new, at)
    return {"later_people": put, "later_people_left_out": left, "later_people_waiting": waiting}


def _put(log_: DocumentLog, made: Mapping[str, Document], new: Sequence[str], at: dt.datetime) -> int:
    """Write what the log lacks, new people as if they had come one by one, in one change or several; count them."""
    order = [*new[::-1], *sorted(set(made) - set(new))]
    held, behind, done = Snapshot(), 0, set[str]()
    while True:
        held = log_.refreshed(held)
        known = held.of(PERSON)
        lacks = (one for one in order if one in made and one not in done and _differs(made[one], known.get(one)))
        said = [(one, made[one]) for one in itertools.islice(lacks, MOST_ENTRIES)]
        if not said:
            return len(done)
        try:
            log_.put(PERSON, said, who=WHO, at=at, after=held)
        except Behind:
            behind += 1
            if behind == TRIES:
                raise
        else:
            behind = 0
            done |= {one for one, _ in said}


def _differs(made: Document, newest: Any) -> bool:
    """Tell whether a document says something else than the log does, but for when its data ended."""

    def said(one: Document) -> dict[str, Any]:
        return {**one, AS_PERSON: {name: value for name, value in one[AS_PERSON].items() if name != AS_OF}}

    return newest is None or newest.document is None or said(made) != said(newest.document)


def later(vocabularies: Collection[Vocabulary], clean: Path) -> list[str]:
    """Return whom no release in use knows and who came after all of those that one knows, the newest first.

    One comes with the first event of others with them; who has none, with their own first; else with `first_seen`.
    """
    learnt = {item for vocabulary in vocabularies for item in vocabulary.item_ids if not is_erased(item)}
    firsts = _firsts(clean)
    since = max((firsts[item] for item in learnt if item in firsts), default=None)
    if since is None:
        return []
    ids = pq.read_table(clean / "items.parquet", columns=[columns.ITEM_ID])[columns.ITEM_ID].to_pylist()
    came = [(firsts[item], item) for item in ids if item not in learnt and item in firsts]
    return [item for first, item in sorted(came, reverse=True) if first > since]


def _firsts(clean: Path) -> dict[str, dt.datetime]:
    import duckdb

    items = pq.read_schema(clean / "items.parquet")
    seen = columns.FIRST_SEEN if columns.FIRST_SEEN in items.names else "NULL"
    query = f"""
        SELECT i.item_id, coalesce(others.first, own.first, i.seen) AS first FROM
            (SELECT {columns.ITEM_ID} AS item_id, CAST({seen} AS TIMESTAMPTZ) AS seen FROM read_parquet($items)) i
            LEFT JOIN (SELECT {columns.ITEM_ID} AS id, min({columns.TIMESTAMP}) AS first FROM read_parquet($events)
                GROUP BY 1) others ON others.id = i.item_id
            LEFT JOIN (SELECT {columns.USER_ID} AS id, min({columns.TIMESTAMP}) AS first FROM read_parquet($events)
                GROUP BY 1) own ON own.id = i.item_id"""
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        tables = {name: str(clean / f"{name}.parquet") for name in ("items", "events")}
        rows = database.execute(query, tables).fetchall()
    return {str(item): first for item, first in rows if first is not None}


def documents(
    people: Sequence[str],
    vocabulary: Vocabulary,
    released: ReleaseFolder,
    clean: Path,
    asked: Mapping[str, str],
    *,
    scratch: Path,
) -> dict[str, Document]:
    """Return the documents of people, from features that are made anew over a vocabulary of everybody."""
    from components.profiles.online import materialise as store
    from components.profiles.steps import run_profiles

    table = pq.read_table(clean / "items.parquet")
    everyone = _everyone(vocabulary, table[columns.ITEM_ID].to_pylist())
    with tempfile.TemporaryDirectory(prefix="later-", dir=scratch) as folder:
        fitted, made = Path(folder) / "fitted", Path(folder) / "profiles"
        everyone.save(fitted / "vocabulary")
        files.copied(released.ranking, fitted, ("segments.json",))
        run_profiles(
            files.canonical(released.slices["profiles"]),
            asked["split"],
            asked["vocabulary"],
            clean=clean,
            destination=made,
            fitted=fitted,
            training=False,
        )
        end = store.data_end(made)
        place_of = {person: everyone.index_of_item[person] for person in people}
        by, to = _ties(made, end, place_of, everyone, Calendar(**files.read_json(made / "calendar.json")))
        state = _state(pq.read_table(made / "item_state.parquet"))
    says = _says(vocabulary, table, {*people})
    key = str(files.read_json(clean / "snapshot.json").get("key", ""))
    found = {}
    for person, place in place_of.items():
        ties = {"by": by.get(person, []), "to": to.get(person, [])}
        number = {"under": key, "as_of": int(end.timestamp()), "state": state.get(place, {})}
        found[person] = _fitting(says.get(person, {}) | {FROM_SOURCE: True}, ties, number)
    return found


def _everyone(vocabulary: Vocabulary, ids: Sequence[Any]) -> Vocabulary:
    """Return a release's vocabulary with all others behind, as one that was learnt."""
    from feature_repo.documents.changes import Newest

    others = [str(one) for one in ids if str(one) not in vocabulary.index_of_item]
    newest = [Newest(PERSON, one, 1, (1, place), {}) for place, one in enumerate(others)]
    return replace(live(vocabulary, newest).vocabulary, learnt=None, released_as="")


def _fitting(says: Mapping[str, Any], ties: Mapping[str, list[Tie]], number: Mapping[str, Any]) -> Document:
    """Return a document with as much of what the person did, the latest first, as it has room for.

    What others did to them is whole: it says to whom they may not be shown.
    """
    to = sorted(ties["to"], key=lambda one: -one.last_at)
    while size_of(found := document(says, by=ties["by"], to=to, **number)) > MOST_BYTES[PERSON] and to:
        to = to[: len(to) * 3 // 4]
    return found


def _says(vocabulary: Vocabulary, table: pa.Table, people: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return what the table of items says of people, in columns that the release's items have."""
    schema = vocabulary.items.schema
    names = [name for name in declared(vocabulary) if name in table.column_names]
    rows = table.filter(pa.array([one in people for one in table[columns.ITEM_ID].to_pylist()], pa.bool_())).to_pylist()
    return {
        str(row[columns.ITEM_ID]): {
            name: row[name] for name in names if row[name] is not None and fits(schema.field(name).type, row[name])
        }
        for row in rows
    }


def _state(table: pa.Table) -> dict[int, dict[str, float]]:
    """Return the newest state of items by position, numbers by name."""
    from components.ranking.catalogue import latest

    names = [name for name in (*columns.ITEM_NUMBERS, columns.SHOWN_SLOW) if name in table.column_names]
    rows = latest(table).select([columns.ITEM_INDEX, *names]).to_pylist() if table.num_rows else []
    return {
        row[columns.ITEM_INDEX]: {name: float(row[name]) for name in names if row[name] is not None} for row in rows
    }


def _ties(
    made: Path, end: dt.datetime, place_of: Mapping[str, int], everyone: Vocabulary, calendar: Calendar
) -> tuple[Ties, Ties]:
    """Find in everybody's newest rows what was done to later people, and what they did."""
    from components.profiles.online import row_stream

    person_of, by, to = {place: person for person, place in place_of.items()}, Ties(), Ties()
    users = row_stream.digests(made, fallback="")[columns.USER_ID].combine_chunks()
    for batch in row_stream.rows(made, users, data_end=end, batch=USERS):
        for user, cells in batch.items():
            for names, signs, found in (
                (columns.HISTORY_LISTS, everyone.signs, by),
                (columns.RECEIVED_LISTS, None, to),
            ):
                for person, tie in _of_row(user, cells, names, signs, person_of, calendar):
                    found.setdefault(person, []).append(tie)
    return by, to


def _of_row(
    user: str,
    cells: Mapping[str, Any],
    names: Sequence[str],
    signs: Signs | None,
    person_of: Mapping[int, str],
    calendar: Calendar,
) -> Iterator[tuple[str, Tie]]:
    """Yield a row's records with later people; sums as of the week after the last event of each."""
    if names[0] not in cells or not len(cells[names[0]]):
        return
    keys, weeks, slow, fast, first, last = (np.asarray(cells[name]) for name in names)
    kinds = {number: kind for kind, number in signs.numbers.items()} if signs else {}
    number, place = np.divmod(keys.astype(np.int64), STRIDE) if signs else (np.zeros(len(keys), np.int64), keys)
    mine = np.flatnonzero(np.isin(place, list(person_of)))
    if not len(mine):
        return
    behind = calendar.upcoming(np.asarray([int(cells[columns.STATE_AT])])) - (calendar.weeks(last[mine]) + 1)
    slows, fasts = slow[mine] / calendar.pace.slow**behind, fast[mine] / calendar.pace.fast**behind
    for n, (slowly, quickly) in zip(mine, zip(slows, fasts, strict=True), strict=True):
        kind = kinds.get(int(number[n]), "")
        numbers = (float(weeks[n]), float(slowly), float(quickly), int(first[n]), int(last[n]))
        yield person_of[int(place[n])], Tie(user, kind, *numbers)
