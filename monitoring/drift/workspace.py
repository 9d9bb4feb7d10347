"""Where drift reports are kept: an Evidently workspace, a folder here or a server elsewhere.

A recommender is a project; a comparison of two windows is a run, added once; the dashboard follows the runs over
the data's own time. The verdict is made in compare.py.
"""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from feature_repo import env_names
from feature_repo.errors import SpecError

ADDRESS = env_names.EVIDENTLY  # a folder or a URL
SECRET = env_names.EVIDENTLY_SECRET  # of a server that guards writes
KEY = "key"  # the run's metadata entry that equal comparisons share
TAB = "Drift"
RUNS = "snapshots"  # a project's folder of runs, as Evidently calls it
NAMESPACE = uuid.UUID("6d1f4a0e-6f3f-4d53-9a53-0d4c6a3b7c11")  # of the ids that our panels get


@dataclass(frozen=True)
class StoredReport:
    """Where a run is kept. `added` is False when it was there already."""

    address: str
    project: str
    run: str
    added: bool


def keep(
    snapshot: Any,
    *,
    address: str,
    name: str,
    title: str,
    key: str,
    columns: Sequence[str],
    secret: str | None = None,
) -> StoredReport:
    """Add a run to the recommender's project unless a run with this key is there, and lay out its dashboard."""
    if address.startswith(("http://", "https://")):
        place: _Folder | _Server = _Server(address, secret)
    else:
        place = _Folder(Path(address))
    project = place.project(name)
    _lay_out(place.workspace, project, columns)
    with place.locked():
        found = place.find(project.id, key)
        run = found or place.add(project.id, snapshot, title=title)
    return StoredReport(address, str(project.id), run, added=found is None)


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

    def find(self, project: Any, key: str) -> str | None:
        runs = self.workspace.list_runs(project)
        return next((str(r) for r in runs if self.workspace.get_run(project, r).metadata.get(KEY) == key), None)

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

    def find(self, project: Any, key: str) -> str | None:
        """Ask over HTTP: the client's own list_runs raises NotImplementedError in 0.7."""
        import requests

        answer = requests.get(urljoin(self.url, f"/api/projects/{project}/snapshots"), timeout=30)
        answer.raise_for_status()
        return next((str(run["id"]) for run in answer.json() if run["metadata"].get(KEY) == key), None)

    def add(self, project: Any, snapshot: Any, *, title: str) -> str:
        return str(self.workspace.add_run(project, snapshot, name=title).id)


def _description(name: str) -> str:
    return f"Drift of what the recommender '{name}' sees, against its training weeks"


def _lay_out(workspace: Any, project: Any, columns: Sequence[str]) -> None:
    """Give the dashboard our tab and panels; other tabs, and panels people added, stay."""
    from evidently.sdk.models import DashboardModel, DashboardTabModel

    have = workspace.get_dashboard(project.id)
    ours = _panels(columns)
    made = {p.id for p in ours}
    tab_id = uuid.uuid5(NAMESPACE, TAB)
    old = next((t for t in have.tabs if t.id == tab_id), None)
    theirs = [p for p in have.panels if p.id not in made]
    panels = [p.id for p in ours] + (old.panels if old else [])
    tab = DashboardTabModel(id=tab_id, title=TAB, panels=list(dict.fromkeys(panels)))
    wanted = DashboardModel(tabs=[tab, *(t for t in have.tabs if t.id != tab_id)], panels=[*ours, *theirs])
    if wanted.dict() != have.dict():
        workspace.save_dashboard(project.id, wanted)


def _panels(columns: Sequence[str]) -> list[Any]:
    """Return the panels: the share of drifted columns and every column's score, run by run.

    Bars, since a line through one run shows nothing; a counter would say "no value" where the value is 0.
    """
    from evidently.sdk.models import PanelMetric
    from evidently.sdk.panels import bar_plot_panel

    share = PanelMetric(legend="share", metric="DriftedColumnsCount", metric_labels={"value_type": "share"})
    scores = [PanelMetric(legend=c, metric="ValueDrift", metric_labels={"column": c}) for c in columns]
    about = "PSI of number columns, Jensen-Shannon distance of category columns, against the training weeks"
    panels = [
        bar_plot_panel("Score by column", scores, description=about),
        bar_plot_panel("Share of columns that drifted", [share], description="By their fixed thresholds; 0 is no bar"),
    ]
    return [panel.copy(update={"id": uuid.uuid5(NAMESPACE, panel.title)}) for panel in panels]
