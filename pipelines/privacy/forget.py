"""Forget people: remove them from everything that a recommender keeps, keep them out, and prove both.

The order makes it safe to kill and to repeat. First the tombstones, which keep the person out of the door and of ingest
from then on, and their names in the online store, which writes no row of the person any more, whoever asks. Then the
marks in the registry, while the data still shows which versions learnt from the person. Then the
data. Last a search of everything that is left, whose result goes into the tombstone. What this machine cannot reach is
named as not checked, with the command that reaches it. A server that is away ends it in one line: the tombstone is
there, and the same command goes on. It holds the run's lock. The source and backups are not ours to change.
"""

import contextlib
import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bentos.recommender.logs import trace_people, traces
from feature_repo import files
from feature_repo.errors import ServerError, SpecError
from feature_repo.ids import plain
from feature_repo.online.forgotten import names_of
from feature_repo.privacy.pseudonyms import pseudonym, ring
from feature_repo.privacy.tombstones import ELSEWHERE, FOLDER, Tombstones, names_here
from pipelines.environment import Installation
from pipelines.jobs import compact
from pipelines.privacy.removal import Observer, Removal, mark, not_checked
from pipelines.releases import release
from pipelines.runs import local

MOST = 1000  # people at once: the names are looked for together
MET = "met"  # in the tombstone of a call under way: whether a trace of the person was found
NOT_COVERED = (
    "the source itself: its rows are left out whenever it is read again",
    "backups and snapshots of disks, databases and buckets: after restoring one, `intentflow forget --again`",
    "the weights of models: versions that learnt from the person are marked, the next run makes one that did not",
)


ITEM_TABLES = (
    "the pseudonym, and what the table of users said of the person, in {} item tables of vocabularies: releases are "
    "signed, and the signing key is not set here; no answer, no batch list and no log line names the person; run the "
    "same command again with the key, or let the next run make vocabularies without them and delete older releases"
)


@dataclass(frozen=True)
class ForgetReport:
    """What forgetting came to."""

    people: int
    tombstones: list[str]
    removed: dict[str, int]  # rows, lines or places by file, below the state folder; online rows; artifacts
    scanned: dict[str, Any]
    left: list[str]  # places that still name someone: none, or it failed
    not_checked: list[str]  # places that this machine does not reach, each with what does
    marked: list[str]  # versions that are due for retraining
    next: str
    users: dict[str, bool] = field(default_factory=dict)  # by raw id, whether it was found; stays out of the proof

    def document(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "people": self.people,
            "tombstones": self.tombstones,
            "removed": self.removed,
            "scanned": self.scanned,
            "left": self.left,
            "not_checked": self.not_checked,
            "marked": self.marked,
            "not_covered": list(NOT_COVERED),
            "next": self.next,
        }

    def text(self) -> str:
        """Return it as a person reads it."""
        gone, files = sum(self.removed.values()), len(self.removed)
        lines = [
            f"Removed    {gone:,} rows and lines in {files} places"
            if gone
            else "Removed    nothing: no trace was found; the tombstone keeps the person out from now on",
            f"Scanned    {self.scanned['files']:,} files ({self.scanned['bytes'] / 2**20:,.1f} MiB, "
            f"{self.scanned['parquet_rows']:,} rows decoded), online store {self.scanned['online_store']}: 0 left",
            *(f"{'Found' if here else 'Not found':<9}  {raw}" for raw, here in self.users.items()),
            *([f"Remains    {ITEM_TABLES.format(tables)}"] if (tables := self.scanned.get("item_tables")) else []),
            *(f"Not checked  {place}" for place in self.not_checked),
            *(f"Proof      {path}" for path in self.tombstones),
        ]
        if self.marked:
            lines.append(f"Retraining due: {', '.join(self.marked)}")
        return "\n".join([*lines, f"Next       {self.next}"])


def forget(place: Installation, users: Sequence[str], *, observe: Observer = lambda stage: None) -> ForgetReport:
    """Remove people, given by raw ids, and write the proof; raises ServerError where something is left."""
    from feature_repo.online import erase

    raws = _checked(users)
    with working_alone(place, "forget"):
        keys = ring(place.variables)
        names = tuple(dict.fromkeys(pseudonym(raw, key) for key in keys for raw in raws))
        people, when = trace_people.People(raws, names), dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        tombstones = Tombstones(place.home, keys)
        for raw in raws:
            tombstones.write(raw, _document(tombstones.path(raw)) | {"state": "removing", "since": when})
        observe("tombstones")
        here = _found(place, tombstones, raws, keys)
        in_store = names_in_store(raws, keys)
        erase.keep_out(place.spec.name, in_store)
        observe("kept out")
        paths = [str(path) for raw in raws if (path := tombstones.path(raw))]
        result = _removed(Removal(place, people, in_store, observe), paths, when=when)
        for raw in raws:
            tombstones.write(raw, _proof(_document(tombstones.path(raw)), result, when=when))
    return replace(_nothing_left(result, f"the rest is in {result.tombstones[0]}"), users=here)


def _found(place: Installation, tombstones: Tombstones, raws: Sequence[str], keys: Sequence[str]) -> dict[str, bool]:
    """Tell of each person whether any trace is here, or was when a call that did not finish began; note it."""
    from feature_repo.online import erase

    met = traces.users([place.home]) | erase.users(place.spec.name) | _in_documents(place)
    here = {}
    for raw in raws:
        document = _document(tombstones.path(raw))
        here[raw] = document.get(MET, False) or any(pseudonym(raw, key) in met for key in keys)
        tombstones.write(raw, document | {MET: here[raw]})
    return here


def _in_documents(place: Installation) -> set[str]:
    """Return whom the document log names, by pseudonym."""
    from feature_repo.documents.opened import document_log_if_any

    documents = document_log_if_any(place.spec.name)
    return set() if documents is None else documents.people()


def again(place: Installation, *, observe: Observer = lambda stage: None) -> ForgetReport:
    """Remove whoever has a tombstone here, after a copy from before was restored; raises where something is left.

    Who came back is told by name: by raw id in the source, by pseudonym in files, logs and the online store.
    """
    from components.data.ingest import everyone
    from feature_repo.online import erase

    with working_alone(place, "forget --again"):
        keys, when = ring(place.variables), dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        elsewhere = place.outside.get(ELSEWHERE, "")
        tombstones, names = Tombstones(place.home, keys, elsewhere=elsewhere), names_here(place.home, elsewhere)
        raws = tuple(r for r in everyone(place.spec.data, place.spec_path.absolute().parent) if tombstones.holds(r))
        in_store = sorted({*names, *names_in_store(raws, keys)})
        erase.keep_out(place.spec.name, in_store)
        observe("kept out")
        met = traces.users([place.home]) | erase.users(place.spec.name) | traces.items_named([place.home])
        met |= _in_documents(place)
        back = [user for user in sorted(met) if not names.isdisjoint(names_of(user, keys))]
        hidden = dict.fromkeys([*back, *(pseudonym(raw, key) for key in keys for raw in raws)])
        paths = [str(place.home / FOLDER / f"{name}.json") for name in sorted(names)]
        removal = Removal(place, trace_people.People(raws, tuple(hidden)), in_store, observe)
        result = _removed(removal, paths, when=when)
    return _nothing_left(result, f"{len(result.left) - 1} more")


def _removed(removal: Removal, paths: list[str], *, when: str) -> ForgetReport:
    """Take people out of everything, look again, and say what it came to."""
    found = traces.find(removal.roots, removal.people)
    removal.observe("found")
    marked = mark(removal.place, found, when=when)
    removal.observe("registry")
    removed = removal.remove(found)
    scanned, left = removal.prove()
    removal.observe("proof")
    return ForgetReport(
        people=len(paths),
        tombstones=paths,
        removed=removed,
        scanned=scanned,
        left=left,
        not_checked=not_checked(removal.place),
        marked=marked,
        next=f"intentflow run {removal.place.spec_path} trains without them",
    )


def _nothing_left(result: ForgetReport, more: str) -> ForgetReport:
    if result.left:
        raise ServerError(
            f"forget: {len(result.left)} places still name someone, the first is {result.left[0]}; {more}; mend that "
            "and run the same command again"
        )
    return result


def undo(place: Installation, users: Sequence[str]) -> int:
    """Let forgotten people come back, with their consent: what is removed stays so, what comes is taken again."""
    from feature_repo.online import erase

    raws = _checked(users)
    with working_alone(place, "forget --undo"):
        keys = ring(place.variables)
        erase.let_in(place.spec.name, names_in_store(raws, keys))  # first: withdrawn here, they could not be told
        tombstones = Tombstones(place.home, keys)
        return sum(tombstones.withdraw(raw) for raw in raws)


@contextlib.contextmanager
def working_alone(place: Installation, verb: str) -> Iterator[None]:
    """Hold the run's lock and the logs'; a server that is away means work that repeating finishes, and says so."""
    try:
        with local.alone(place.home), compact.logs_still(place.home), release.variables(place):
            yield
    except ServerError as error:
        raise ServerError(
            f"{verb}: not finished: {error}; what was done stays, `intentflow status` shows what was not: run the same "
            "command again once it answers"
        ) from error


def names_in_store(raws: Sequence[str], keys: Sequence[str]) -> list[str]:
    """Return what people's tombstones are called in the online store: under every key, since rows may be under each."""
    return [name for key in keys for raw in raws for name in names_of(pseudonym(raw, key), (key,))]


def _checked(users: Sequence[str]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(one for user in users if (one := plain(user))))
    if not found or len(found) > MOST:
        raise SpecError(f"--user: {len(found)} user ids are given; give 1 to {MOST}, as in your data")
    return found


def _document(path: Path | None) -> dict[str, Any]:
    return dict(files.read_json(path)) if path is not None else {"state": "", "proofs": []}


def _proof(document: dict[str, Any], result: ForgetReport, *, when: str) -> dict[str, Any]:
    """Add what this call did to a tombstone's text; an earlier call's stays."""
    proof = {"at": when} | {k: v for k, v in result.document().items() if k not in ("tombstones", "next")}
    document = {key: value for key, value in document.items() if key != MET or result.left}
    return document | {"state": "left" if result.left else "forgotten", "proofs": [*document["proofs"], proof]}


def users_of(file: Path) -> list[str]:
    """Read raw ids, one a line."""
    if not file.is_file():
        raise SpecError(f"--users-file: no file {file}; it has one user id a line")
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise SpecError(f"--users-file: {file} is no UTF-8 (byte {error.start}); save it as UTF-8") from None
    return [one for line in lines if (one := plain(line))]
