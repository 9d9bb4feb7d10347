"""Complete a change of the pseudonyms' key: rename people in the logs, delete what only their old names lead to.

By then a run under the new key has rebuilt everything that comes from the source and made a release that names the key,
and a service started since serves it. What remains under the old key are rows of the online store, lines of the logs,
artifacts of earlier runs and tombstones. Old names become new ones where the source still has the raw id; the rest
cannot be attributed to anybody and is deleted. So it is with what doors shipped to a store (`requests.url`).
"""

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bentos.recommender.logs import renaming, traces
from components.policy import reward_table
from feature_repo import columns, files
from feature_repo.errors import SpecError
from feature_repo.logs import request_log
from feature_repo.privacy import new_names
from feature_repo.privacy.pseudonyms import LENGTH, fingerprint, ring
from feature_repo.privacy.tombstones import Tombstones, names_here
from pipelines.environment import Installation
from pipelines.jobs import audiences, score, sources
from pipelines.leases.lease import JOBS
from pipelines.privacy import shipped
from pipelines.privacy.forget import working_alone
from pipelines.releases import release
from pipelines.runs import local, report

MOST_VERSIONS = 10_000  # of a release, that are asked for their keys


@dataclass(frozen=True)
class RotationReport:
    """What completing the change came to."""

    key: str  # fingerprint of the key in use
    renamed_lines: int
    dropped_lines: int  # of people whom the source does not have
    dropped_users: int  # of the online store, under old names
    dropped_runs: int  # earlier runs' artifacts
    tombstones: int  # that are under the key in use now
    tombstones_left: int  # of people whom the source does not have: they need the old key

    def document(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self)

    def text(self) -> str:
        """Return it as a person reads it."""
        end = (
            f"keep the previous key for {self.tombstones_left} tombstones of people whom the source does not have"
            if self.tombstones_left
            else "take the previous key out of the environment and destroy it"
        )
        return "\n".join(
            [
                f"key            {self.key}",
                f"logs           {self.renamed_lines} lines renamed, {self.dropped_lines} dropped",
                f"online store   {self.dropped_users} users under old names dropped",
                f"runs           {self.dropped_runs} dropped",
                f"tombstones     {self.tombstones} renewed",
                f"next           {end}",
            ]
        )


def rotate(place: Installation) -> RotationReport:
    """Complete a change of keys. Safe to repeat."""
    from components.data.ingest import everyone
    from feature_repo.online import erase

    with working_alone(place, "rotate"):
        keys = ring(place.variables)
        current = fingerprint(keys[0])
        _require_previous(place, keys)
        kept = _require_run(place, current)
        _require_champion(place, current)
        raws = everyone(place.spec.data, place.spec_path.absolute().parent)
        names = new_names.of(raws, keys)
        tombstones = Tombstones(place.home, keys)
        renewed = tombstones.renew(raws)
        erase.keep_out(place.spec.name, names_here(place.home, ""))
        renamed, dropped = _rename(place, names, current=current)
        if (last := report.read(place.home)) is not None:  # of a demo: who was asked for
            report.write(place.home, last | {"user": names.get(last["user"], last["user"])})
        return RotationReport(
            key=current,
            renamed_lines=renamed,
            dropped_lines=dropped,
            dropped_users=_drop_users(place, {*names.values()}, current=current),
            dropped_runs=_drop_runs(place.home, kept) + _drop_made(place.home),
            tombstones=renewed,
            tombstones_left=tombstones.under_other_keys(),
        )


def _require_previous(place: Installation, keys: tuple[str, ...]) -> None:
    if len(keys) < 2:
        raise SpecError(
            f"{place.environment.name}: pseudonyms names no previous key, so there is no change to complete; write a "
            "new key, name the old one as previous_key_file or previous_key_env, and run (docs/privacy.md)"
        )


def _require_run(place: Installation, current: str) -> set[Path]:
    """Return the folders of the last run, which must have been made under the key in use."""
    last = local.last_run(place.home)
    under = "" if last is None else files.read_json(last.folders["clean"] / "snapshot.json").get("key", "")
    if last is None or under != current:
        raise SpecError(
            f"{place.home}: the last run was made under the key {under or 'unknown'}, the environment gives {current}; "
            f"`intentflow run {place.spec_path}` first"
        )
    return {folder.relative_to(place.home / local.RUNS).parents[-2] for folder in last.folders.values()}


def _require_champion(place: Installation, current: str) -> None:
    from components.registry import aliases

    found = aliases.status(place.spec.name)
    version = found.holders.get("champion", "")
    if found.versions.get(version, {}).get("key") != current:
        raise SpecError(
            f"{place.spec.name}-release: the champion, version {version or 'none'}, was made under another key than "
            f"{current}; promote the new release and restart the service first"
        )


def _rename(place: Installation, names: dict[str, str], *, current: str) -> tuple[int, int]:
    """Rename people in the logs; lines of those who cannot be told go, but not those made under the new key."""
    home, address = place.home, place.environment.requests.url
    fresh = set(names.values()) | _fresh(home, current)
    if address:
        with release.variables(place):
            fresh |= _fresh_of_store(address, _releases_under(place.spec.name, current), current)

    def renamed(user: bytes) -> bytes | None:
        name = user.decode()
        new = name if name in fresh else names.get(name)
        return None if new is None else new.encode()

    counts = [
        renaming.replace_users(path, renamed)
        for folder in traces.LOGS
        for path in traces.walk([home / folder] if (home / folder).is_dir() else [])
        if path.suffix in (request_log.SEGMENT, request_log.PARQUET, request_log.PACKED)
    ]
    if address:
        with release.variables(place):
            counts.append(shipped.rename(address, renamed))
    return sum(c[0] for c in counts), sum(c[1] for c in counts)


def _fresh(home: Path, current: str) -> set[str]:
    """Return the users of lines that were made under the key in use, of whom the source need not know."""
    from bentos.recommender.logs import eventlog, json_lines, requestlog

    under = {released.id for released in release.fetched(home) if released.key == current}
    requests = requestlog.read(home / requestlog.FOLDER)
    events = (line for path in json_lines.files(home / eventlog.FOLDER) for line in json_lines.read(path))
    asked = {str(line["user_id"]) for line in requests if line["release"] in under}
    return asked | {str(line["user_id"]) for line in events if line.get(eventlog.UNDER) == current}


def _releases_under(name: str, current: str) -> set[str]:
    """Return the releases of the registry that were made under the key in use: doors elsewhere answered by them."""
    from components.registry import aliases

    versions, _ = aliases.kept(name, MOST_VERSIONS)
    return {one.tags["id"] for one in versions if one.tags.get("key") == current and "id" in one.tags}


def _fresh_of_store(address: str, releases: set[str], current: str) -> set[str]:
    """Return the users of the store's lines that were made under the key in use."""
    from feature_repo.logs import object_store, shipped_log

    names = [*request_log.KEY, columns.RELEASE, columns.USER_ID]
    with object_store.reached(address) as store:
        answers = shipped_log.read(store, names=names)
        found = {str(line[columns.USER_ID]) for line in answers if line[columns.RELEASE] in releases}
        events = shipped_log.read_events(store)
        return found | {str(line[columns.USER_ID]) for line in events if line.get(columns.HASHED_UNDER) == current}


def _drop_users(place: Installation, known: set[str], *, current: str) -> int:
    from feature_repo.documents.opened import document_log_if_any
    from feature_repo.online import erase

    people = {user for user in erase.users(place.spec.name) if len(user) == LENGTH}  # the store has rows of its own too
    fresh = known | _fresh(place.home, current)
    documents = document_log_if_any(place.spec.name)
    named = 0 if documents is None else documents.remove(documents.people() - fresh)
    old = sorted(people - fresh)
    if old or named:  # the store's files are tidied with it
        erase.erase(place.spec.name, old)
    return len(old)


def _drop_made(home: Path) -> int:
    """Delete what was made under the old names and is made anew: scores, tables of the source, the rewards table."""
    folders = (score.FOLDER, audiences.FOLDER, Path(JOBS) / sources.SOURCES, reward_table.FOLDER)
    made = [home / folder for folder in folders if (home / folder).is_dir()]
    for folder in made:
        shutil.rmtree(folder)
    return len(made)


def _drop_runs(home: Path, kept: set[Path]) -> int:
    """Delete the artifacts of runs that the last run does not rest on, and the cache's entries that name them."""
    runs = home / local.RUNS
    old = [
        path for path in runs.iterdir() if path.is_dir() and path.name != ".kfp_cache" and Path(path.name) not in kept
    ]
    for path in old:
        shutil.rmtree(path)
    for entry in (runs / ".kfp_cache").glob("*.json"):
        if any(f"/{path.name}/" in entry.read_text() for path in old):
            entry.unlink()
    return len(old)
