"""Where drift reports are kept: an Evidently workspace, a folder here or a server elsewhere.

A recommender is a project; a comparison of two windows is a run, added once. Beside these, a run of figures a period
and a check holds what the dashboard draws over the data's own time (board.py); those older than it shows are removed.
The verdict is made in compare.py.
"""

import contextlib
import datetime as dt
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from feature_repo import env_names
from feature_repo.errors import SpecError
from monitoring.drift import board
from monitoring.drift.board import Point
from monitoring.spec import Monitoring

ADDRESS = env_names.EVIDENTLY  # a folder or a URL
SECRET = env_names.EVIDENTLY_SECRET  # of a server that guards writes
KEY = "key"  # the run's metadata entry that equal comparisons share
POINT = "point"  # the metadata entry of a run of figures: which point of the dashboard it is
TAB = "Drift"
RUNS = "snapshots"  # a project's folder of runs, as Evidently calls it


@dataclass(frozen=True)
class StoredReport:
    """Where a run is kept. `added` is False when it was there already."""

    address: str
    project: str
    run: str
    added: bool


@dataclass(frozen=True)
class Run:
    """A run of a project, without its content."""

    id: str
    metadata: Mapping[str, str]
    at: dt.datetime


def keep(snapshot: Any, *, address: str, name: str, title: str, key: str, secret: str | None = None) -> StoredReport:
    """Add a run to the recommender's project unless a run with this key is there."""
    place = _place(address, secret)
    project = place.project(name)
    with place.locked():
        found = next((run.id for run in place.runs(project.id) if run.metadata.get(KEY) == key), None)
        run = found or place.add(project.id, snapshot, title=title)
    return StoredReport(address, str(project.id), run, added=found is None)


def show(points: Sequence[Point], spec: Monitoring, *, address: str, name: str, secret: str | None = None) -> int:
    """Lay out the project's dashboard and keep what it draws, of the last 90 days; return how many runs were added."""
    if not points:
        return 0
    place = _place(address, secret)
    project = place.project(name)
    added = 0
    with place.locked():
        known = {name for point in points for name in point.figures}
        names = _lay_out(place.workspace, project, known, spec)
        ours = [run for run in place.runs(project.id) if POINT in run.metadata]
        newest = max([run.at for run in ours] + [point.at for point in points])
        for point in points:
            before = [run for run in ours if run.metadata[POINT] == point.of and run.at == point.at]
            if any(run.metadata.get(KEY) == point.key for run in before):
                continue
            metadata = {KEY: point.key, POINT: point.of}
            place.add(project.id, board.snapshot(point, names, metadata=metadata), title=f"{name}: figures")
            added += 1
            for run in before:
                place.remove(project.id, run.id)
        for run in ours:
            if run.at < newest - dt.timedelta(days=board.DAYS):
                place.remove(project.id, run.id)
    return added


def _place(address: str, secret: str | None) -> "_Folder | _Server":
    return _Server(address, secret) if address.startswith(("http://", "https://")) else _Folder(Path(address))


def address() -> str:
    """Return the workspace that the environment names."""
    if not (value := os.environ.get(ADDRESS)):
        raise SpecError(f"{ADDRESS}: not set; give a folder or the URL of an Evidently server")
    return value


class _Folder:
    """A workspace in a folder; an `evidently ui` over it sees new projects and runs by itself.

    Evidently writes in place: half a run keeps its server from starting, and half a project kills the thread of a
    running server that watches the folder. So both are made in a scratch folder and moved in whole. It lies
    beside the workspace, not in it: the server notices what is moved in from elsewhere, not what moves within.
    """

    def __init__(self, path: Path) -> None:
        from evidently.ui.workspace import Workspace

        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.workspace = Workspace(str(path))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Let one process at a time look for something and add it."""
        import fcntl

        with self.path.with_name(f".{self.path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[tuple[Any, Path]]:
        from evidently.ui.workspace import Workspace

        scratch = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        try:
            yield Workspace(str(scratch)), scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def project(self, name: str) -> Any:
        with self.locked():
            if found := self.workspace.search_project(name):
                (self.path / str(found[0].id) / RUNS).mkdir(exist_ok=True)  # a person's project has none at first
                return found[0]
            with self._scratch() as (workspace, scratch):
                made = workspace.create_project(name, description=_description(name))
                (scratch / str(made.id) / RUNS).mkdir()
                os.replace(scratch / str(made.id), self.path / str(made.id))
            return self.workspace.get_project(made.id)

    def runs(self, project: Any) -> list[Run]:
        """Read the runs' heads; Evidently's own reader would build every chart of theirs."""
        found = []
        for file in sorted((self.path / str(project) / RUNS).glob("*.json")):
            document = json.loads(file.read_text(encoding="utf-8"))
            found.append(_run(file.stem, document))
        return found

    def remove(self, project: Any, run: str) -> None:
        (self.path / str(project) / RUNS / f"{run}.json").unlink(missing_ok=True)

    def add(self, project: Any, snapshot: Any, *, title: str) -> str:
        with self._scratch() as (workspace, scratch):
            ref = workspace.add_run(project, snapshot, name=title)
            os.replace(ref.url, self.path / Path(ref.url).relative_to(scratch))  # <project>/snapshots/<run>.json
            return str(ref.id)


class _Server:
    """A workspace behind an Evidently server."""

    def __init__(self, url: str, secret: str | None) -> None:
        from evidently.ui.workspace import RemoteWorkspace

        self.url = url
        self.workspace = RemoteWorkspace(url, secret=secret)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Do nothing: a server has no lock to take; two runs at one instant may both be added."""
        yield

    def project(self, name: str) -> Any:
        found = self.workspace.search_project(name)
        return found[0] if found else self.workspace.create_project(name, description=_description(name))

    def runs(self, project: Any) -> list[Run]:
        """Ask over HTTP: the client's own list_runs raises NotImplementedError in 0.7."""
        import requests

        answer = requests.get(urljoin(self.url, f"/api/projects/{project}/snapshots"), timeout=30)
        answer.raise_for_status()
        return [_run(str(run["id"]), run) for run in answer.json()]

    def remove(self, project: Any, run: str) -> None:
        """Ask over HTTP, with the secret as the client sends it: its own delete_run is not implemented either."""
        self.workspace._request(f"/api/projects/{project}/{run}", method="DELETE")

    def add(self, project: Any, snapshot: Any, *, title: str) -> str:
        return str(self.workspace.add_run(project, snapshot, name=title).id)


def _description(name: str) -> str:
    return f"Drift of what the recommender '{name}' sees, against its training weeks"


def _run(run: str, document: Mapping[str, Any]) -> Run:
    at = dt.datetime.fromisoformat(str(document["timestamp"]))
    return Run(run, document["metadata"], at if at.tzinfo else at.replace(tzinfo=dt.UTC))


def _lay_out(workspace: Any, project: Any, figures: set[str], spec: Monitoring) -> set[str]:
    """Give the dashboard our tab and panels, and return the figures that they draw.

    Other tabs, and panels that people added, stay; ours stay too where only this check has no figures for them.
    """
    from evidently.sdk.models import DashboardModel, DashboardTabModel

    have = workspace.get_dashboard(project.id)
    mine = {p.id: p for p in have.panels if p.id.version == 5}  # ids of people's panels are random
    before = {value.metric_labels.get("column", "") for panel in mine.values() for value in panel.values}
    ours = board.laid_out(figures | before, spec)
    tab_id = uuid.uuid5(board.NAMESPACE, TAB)
    old = next((t for t in have.tabs if t.id == tab_id), None)
    theirs = [p for p in have.panels if p.id not in mine]
    panels = [p.id for p in ours] + [p for p in (old.panels if old else []) if p not in mine]
    tab = DashboardTabModel(id=tab_id, title=TAB, panels=list(dict.fromkeys(panels)))
    wanted = DashboardModel(tabs=[tab, *(t for t in have.tabs if t.id != tab_id)], panels=[*ours, *theirs])
    if wanted.dict() != have.dict():
        workspace.save_dashboard(project.id, wanted)
    return board.drawn(figures | before, spec)
