"""Take people out of every place that an environment names, and look at all of them again.

`forget` (forget.py) says whom and when, and writes the proof. A place that this machine does not reach is named
with the command that does. Nothing here writes a tombstone.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bentos.recommender.logs import eventlog, trace_people, traces
from components.content.llm import store
from components.training import checkpoints
from feature_repo import erasure, files, signing
from pipelines.environment import Installation
from pipelines.privacy import shipped
from pipelines.runs import local

CACHE = Path(local.RUNS) / ".kfp_cache"
Observer = Callable[[str], None]


@dataclass
class Removal:
    """The removal and the proof, over one environment's places."""

    place: Installation
    people: trace_people.People
    in_store: Sequence[str]  # what their tombstones are called there
    observe: Observer
    roots: list[Path] = field(init=False)

    def __post_init__(self) -> None:
        self.roots = _roots(self.place)

    def remove(self, found: traces.TraceReport) -> dict[str, int]:
        """Take people out of files, logs, the online store and a server's artifacts; return what went where."""
        from feature_repo.documents.opened import document_log_if_any
        from feature_repo.online import erase, mentions

        for entry in (self.place.home / CACHE).glob("*.json"):
            entry.unlink()  # another run must make everything anew: a cached artifact would be taken for whole
        if dropped := checkpoints.erase(self.place.home):  # they name nobody, but learnt from whoever was there
            self.observe(f"{dropped} checkpoints of trainings")
        traces.clean_aside(self.roots)
        traces.mask_keys(self.place.home / eventlog.FOLDER, self.people)
        removed: dict[str, int] = {}
        if texts := store.forget(self.place.home, self.people.pseudonyms):
            removed["texts that a language model wrote of them"] = texts
        for path in [*found.hits, *self._logs(found)]:
            self.observe(f"file {path.name}")
            if path.exists() and (gone := traces.clean(path, self.people)):
                removed[self._named(path)] = gone
        self.observe("files")
        removed |= self._item_tables(found)
        if self.place.environment.requests.url:
            removed |= shipped.clean(self.place.environment.requests.url, self.people)
            self.observe("shipped")
        # Before the rows: tidying the store's files after them frees what the documents were.
        documents = document_log_if_any(self.place.spec.name)
        if documents is not None and (named := documents.remove(self.people.pseudonyms)):
            removed["online store, documents that name them"] = named
        if self.place.spec.data.items_are_users and (
            events := erase.erase_items(self.place.spec.name, self.people.pseudonyms)
        ):
            removed["online store, events of others"] = events
        if rows := erase.erase(self.place.spec.name, self.people.pseudonyms):
            removed["online store"] = rows
        if others := mentions.remove(self.place.spec.name, self.people.pseudonyms):
            removed["online store, rows of others that name them"] = others
        self.observe("online")
        return removed

    def _item_tables(self, found: traces.TraceReport) -> dict[str, int]:
        """Empty people's rows in the item tables of vocabularies; without the key that signs releases they stay."""
        if not self.may_erase:
            return {}
        removed: dict[str, int] = {}
        noted = {path.parent for path in traces.walk(self.roots) if path.name == erasure.FILE}  # perhaps half done
        for folder in sorted({path.parent for path in found.item_tables} | noted):
            if gone := self._erased(folder, lambda path: self.observe(f"item table {path.name}")):
                removed[self._named(folder)] = gone
        return removed

    def _erased(self, folder: Path, written: erasure.Written) -> int:
        return erasure.erase(folder, self.people.pseudonyms, signing.signer(os.environ), written=written)

    @property
    def may_erase(self) -> bool:
        """Whether a note of erased rows that is made here would be believed."""
        return not signing.trusted(os.environ).on or signing.signer(os.environ) is not None

    def _logs(self, found: traces.TraceReport) -> list[Path]:
        """Return log files that came after the first look: a service may have been answering."""
        folders = [self.place.home / name for name in traces.LOGS]
        return [path for path in traces.walk([f for f in folders if f.is_dir()]) if path not in found.hits]

    def prove(self) -> tuple[dict[str, Any], list[str]]:
        """Look at everything again; return what was looked at and what is left."""
        from components.registry import forget as registry
        from feature_repo.documents.opened import document_log_if_any
        from feature_repo.online import erase, mentions

        looked, left, on_server = 0, list[str](), 0
        if _has_registry(self.place):
            looked, left, on_server = registry.look_through(
                self.place.spec.name,
                here=self._here,
                names_them=lambda text: any(needle.spans(text.encode()) for needle in self.people.needles),
                clean=lambda path: traces.clean(path, self.people),
                item_tables=lambda folder: traces.find([folder], self.people).item_tables,
                erase=self._erased if self.may_erase else None,
            )
        found = traces.find(self.roots, self.people)
        left += [self._named(path) for path in found.hits]
        left += [f"{self._named(path)} (cannot be read)" for path in found.unreadable]
        if online := erase.count(self.place.spec.name, self.people.pseudonyms):
            left.append(f"online store: {online} rows")
        if others := mentions.count(self.place.spec.name, self.people.pseudonyms):
            left.append(f"online store: {others} rows of others that name them")
        documents = document_log_if_any(self.place.spec.name)
        if documents is not None and (named := documents.people().intersection(self.people.pseudonyms)):
            left.append(f"online store: documents name {len(named)} of them")
        if missing := set(self.in_store) - erase.kept_out(self.place.spec.name, self.in_store):
            left.append(f"online store: {len(missing)} tombstones are not there")
        copies = 0
        if address := self.place.environment.requests.url:
            copies, more = shipped.look_through(address, self.people)
            left += more
        evidently = self.place.environment.evidently
        return {
            "files": found.files,
            "bytes": found.size,
            "parquet_rows": found.rows,
            "online_store": self.place.environment.feast.online_store["type"],
            "tombstones_in_store": len(self.in_store),
            "shipped_files": copies,
            "server_artifacts": looked,
            **({"item_tables": len(found.item_tables) + on_server} if found.item_tables or on_server else {}),
            "raw_ids": "anywhere" if set(self.people.telling) == set(self.people.raws) else "as a user_id; too short",
            "evidently": "not read: its reports hold counts" if evidently.startswith("http") else "as files",
        }, left

    def _here(self, address: str) -> bool:
        path = Path(address.removeprefix("file://"))
        return path.is_absolute() and any(path.is_relative_to(root) for root in self.roots)

    def _named(self, path: Path) -> str:
        home = self.place.home
        return str(path.relative_to(home)) if path.is_relative_to(home) else str(path)


def not_checked(place: Installation) -> list[str]:
    """Name the places with personal data that no environment lets this machine reach, and what reaches them."""
    environment = place.environment
    if environment.feast.online_store["type"] == "sqlite":  # one machine: the logs are in the state folder
        return []
    namespace = environment.kubernetes.namespace or "intentflow"
    found = [
        "logs of doors in pods, and the ConfigMap that tells pods who was forgotten: "
        f"`sh k8s/forget.sh {place.home} IDS {namespace}`, IDS with one user id a line",
        "tables and profiles on the claims of jobs, the loop and pipelines: their next run makes them anew without the "
        f"person, `kubectl -n {namespace} create job --from=cronjob/job-materialise again`",
    ]
    if environment.requests.url:
        found.append("what doors ship from now on of answers before: the same command again after k8s/forget.sh")
    return found


def _roots(place: Installation) -> list[Path]:
    """Return the state folder, and the environment's other places that are on this machine."""
    environment = place.environment
    said = [environment.mlflow.artifacts, environment.evidently, str(environment.feast.online_store.get("path", ""))]
    said.append(environment.mlflow.tracking_uri.removeprefix("sqlite:///"))
    others = [Path(text) for text in said if text.startswith("/")]
    return [place.home, *(path for path in others if path.exists() and not path.is_relative_to(place.home))]


def mark(place: Installation, found: traces.TraceReport, *, when: str) -> list[str]:
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
