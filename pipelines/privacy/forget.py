"""Forget people: remove them from everything that a recommender keeps, keep them out, and prove both.

The order makes it safe to kill and to repeat. First the tombstones, which keep the person out of the door and of ingest
from then on. Then the marks in the registry, while the data still shows which versions learnt from the person. Then the
data. Last a search of everything that is left, whose result goes into the tombstone. It holds the run's lock. The
source and backups are not ours to change.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bentos.recommender.logs import eventlog
from feature_repo import files
from feature_repo.errors import ServerError, SpecError
from feature_repo.privacy.pseudonyms import pseudonym, ring
from feature_repo.privacy.tombstones import Tombstones
from pipelines.environment import Installation
from pipelines.jobs import compact
from pipelines.privacy import traces
from pipelines.releases import release
from pipelines.runs import local

MOST = 1000  # people at once: the names are looked for together
CACHE = Path(local.RUNS) / ".kfp_cache"
NOT_COVERED = (
    "the source itself: its rows are left out whenever it is read again",
    "backups and snapshots of disks, databases and buckets, and copies of the request log in an object store",
    "the weights of models: versions that learnt from the person are marked, the next run makes one that did not",
)
Observer = Callable[[str], None]


@dataclass(frozen=True)
class ForgetReport:
    """What forgetting came to."""

    people: int
    tombstones: list[str]
    removed: dict[str, int]  # rows, lines or places by file, below the state folder; online rows; artifacts
    scanned: dict[str, Any]
    left: list[str]  # places that still name someone: none, or it failed
    marked: list[str]  # versions that are due for retraining
    next: str

    def document(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "people": self.people,
            "tombstones": self.tombstones,
            "removed": self.removed,
            "scanned": self.scanned,
            "left": self.left,
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
            *(f"Proof      {path}" for path in self.tombstones),
        ]
        if self.marked:
            lines.append(f"Retraining due: {', '.join(self.marked)}")
        return "\n".join([*lines, f"Next       {self.next}"])


def forget(place: Installation, users: Sequence[str], *, observe: Observer = lambda stage: None) -> ForgetReport:
    """Remove people, given by raw ids, and write the proof; raises ServerError where something is left."""
    raws = _checked(users)
    with local.alone(place.home), compact.logs_still(place.home), release.variables(place):
        keys = ring(place.variables)
        names = tuple(dict.fromkeys(pseudonym(raw, key) for key in keys for raw in raws))
        people, when = traces.People(raws, names), dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        tombstones = Tombstones(place.home, keys)
        for raw in raws:
            tombstones.write(raw, _document(tombstones.path(raw)) | {"state": "removing", "since": when})
        observe("tombstones")
        work = _Work(place, people, observe)
        found = traces.find(work.roots, people)
        observe("found")
        marked = _mark(place, found, when=when)
        observe("registry")
        removed = work.remove(found)
        scanned, left = work.prove()
        observe("proof")
        result = ForgetReport(
            people=len(raws),
            tombstones=[str(path) for raw in raws if (path := tombstones.path(raw))],
            removed=removed,
            scanned=scanned,
            left=left,
            marked=marked,
            next=f"intentflow run {place.spec_path} trains without them",
        )
        for raw in raws:
            tombstones.write(raw, _proof(_document(tombstones.path(raw)), result, when=when))
    if left:
        raise ServerError(
            f"forget: {len(left)} places still name someone, the first is {left[0]}; the rest is in "
            f"{result.tombstones[0]}; mend that and run the same command again"
        )
    return result


def undo(place: Installation, users: Sequence[str]) -> int:
    """Let forgotten people come back, with their consent: what is removed stays so, what comes is taken again."""
    with local.alone(place.home):
        tombstones = Tombstones(place.home, ring(place.variables))
        return sum(tombstones.withdraw(raw) for raw in _checked(users))


@dataclass
class _Work:
    """The removal and the proof, over one environment's places."""

    place: Installation
    people: traces.People
    observe: Observer
    roots: list[Path] = field(init=False)

    def __post_init__(self) -> None:
        self.roots = _roots(self.place)

    def remove(self, found: traces.TraceReport) -> dict[str, int]:
        """Take people out of files, logs, the online store and a server's artifacts; return what went where."""
        from feature_repo.online import erase

        for entry in (self.place.home / CACHE).glob("*.json"):
            entry.unlink()  # another run must make everything anew: a cached artifact would be taken for whole
        traces.clean_aside(self.roots)
        traces.mask_keys(self.place.home / eventlog.FOLDER, self.people)
        removed: dict[str, int] = {}
        for path in [*found.hits, *self._logs(found)]:
            self.observe(f"file {path.name}")
            if path.exists() and (gone := traces.clean(path, self.people)):
                removed[self._named(path)] = gone
        self.observe("files")
        if rows := erase.erase(self.place.spec.name, self.people.pseudonyms):
            removed["online store"] = rows
        self.observe("online")
        return removed

    def _logs(self, found: traces.TraceReport) -> list[Path]:
        """Return log files that came after the first look: a service may have been answering."""
        folders = [self.place.home / name for name in traces.LOGS]
        return [path for path in traces.walk([f for f in folders if f.is_dir()]) if path not in found.hits]

    def prove(self) -> tuple[dict[str, Any], list[str]]:
        """Look at everything again; return what was looked at and what is left."""
        from components.registry import forget as registry
        from feature_repo.online import erase

        looked, left = 0, list[str]()
        if _has_registry(self.place):
            looked, left = registry.look_through(
                self.place.spec.name,
                here=self._here,
                names_them=lambda text: any(needle.spans(text.encode()) for needle in self.people.needles),
                clean=lambda path: traces.clean(path, self.people),
            )
        found = traces.find(self.roots, self.people)
        left += [self._named(path) for path in found.hits]
        left += [f"{self._named(path)} (cannot be read)" for path in found.unreadable]
        if online := erase.count(self.place.spec.name, self.people.pseudonyms):
            left.append(f"online store: {online} rows")
        evidently = self.place.environment.evidently
        return {
            "files": found.files,
            "bytes": found.size,
            "parquet_rows": found.rows,
            "online_store": self.place.environment.feast.online_store["type"],
            "server_artifacts": looked,
            "raw_ids": "anywhere" if set(self.people.telling) == set(self.people.raws) else "as a user_id; too short",
            "evidently": "not read: its reports hold counts" if evidently.startswith("http") else "as files",
        }, left

    def _here(self, address: str) -> bool:
        path = Path(address.removeprefix("file://"))
        return path.is_absolute() and any(path.is_relative_to(root) for root in self.roots)

    def _named(self, path: Path) -> str:
        home = self.place.home
        return str(path.relative_to(home)) if path.is_relative_to(home) else str(path)


def _checked(users: Sequence[str]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(user for user in users if user))
    if not found or len(found) > MOST:
        raise SpecError(f"--user: {len(found)} user ids are given; give 1 to {MOST}, as in your data")
    return found


def _roots(place: Installation) -> list[Path]:
    """Return the state folder, and the environment's other places that are on this machine."""
    environment = place.environment
    said = [environment.mlflow.artifacts, environment.evidently, str(environment.feast.online_store.get("path", ""))]
    said.append(environment.mlflow.tracking_uri.removeprefix("sqlite:///"))
    others = [Path(text) for text in said if text.startswith("/")]
    return [place.home, *(path for path in others if path.exists() and not path.is_relative_to(place.home))]


def _mark(place: Installation, found: traces.TraceReport, *, when: str) -> list[str]:
    """Mark the versions that were trained with people in the data, and those of data that is not at hand."""
    from components.registry import forget as registry

    if not found.hits or not _has_registry(place):  # nobody of that name was ever here
        return []
    with_them = {path.parent for path in found.hits}
    data: dict[str, bool] = {}
    for path in traces.walk(_roots(place)):
        if path.name == "snapshot.json":
            digest = str(files.read_json(path).get("digest", ""))
            data[digest] = data.get(digest, False) or path.parent in with_them
    return registry.mark(place.spec.name, data, when=when)


def _has_registry(place: Installation) -> bool:
    """Tell whether there is a registry; asking a database that is not there would make it."""
    uri = place.environment.mlflow.tracking_uri
    return not uri.startswith("sqlite:///") or Path(uri.removeprefix("sqlite:///")).is_file()


def _document(path: Path | None) -> dict[str, Any]:
    return dict(files.read_json(path)) if path is not None else {"state": "", "proofs": []}


def _proof(document: dict[str, Any], result: ForgetReport, *, when: str) -> dict[str, Any]:
    """Add what this call did to a tombstone's text; an earlier call's stays."""
    proof = {"at": when} | {k: v for k, v in result.document().items() if k not in ("tombstones", "next")}
    return document | {"state": "left" if result.left else "forgotten", "proofs": [*document["proofs"], proof]}


def users_of(file: Path) -> list[str]:
    """Read raw ids, one a line."""
    if not file.is_file():
        raise SpecError(f"--users-file: no file {file}; it has one user id a line")
    return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
