"""The port of links: the same things in MLflow, Kubeflow, Evidently and Feast, by the addresses that browsers reach.

An address is the environment's (`links`, `kubeflow.ui`), or that of a UI that `intentflow up` left running here. A tool
without either has no link: none is dead by our doing.
"""

from collections.abc import Callable
from typing import Any

from bentos.console.ports.watch import Link, Links, Where
from feature_repo.errors import ServerError
from pipelines.console.recent import Recent
from pipelines.environment import Installation

KEPT_S = 10.0
VERSIONS_S = 300.0  # where a version came from does not change


class Elsewhere(Links):
    """The port over an installation, which is read anew."""

    def __init__(self, place: Callable[[], Installation]) -> None:
        self._place = place
        self._roots: Recent[dict[Where, str]] = Recent(KEPT_S)
        self._versions: Recent[tuple[Link, ...]] = Recent(VERSIONS_S)

    def servers(self) -> tuple[Link, ...]:
        """Return the tools themselves."""
        pages = {"mlflow": "/#/models", "kubeflow": "/#/runs", "evidently": "", "feast": ""}
        return tuple(Link(where, f"{root}{pages[where]}") for where, root in self._known().items())

    def version(self, version: str) -> tuple[Link, ...]:
        """Return a release's version, the run that registered it, and Kubeflow's run."""
        known = self._known()
        if not version or not known.keys() & {"mlflow", "kubeflow"}:
            return ()
        return self._versions.of((version, *known.items()), lambda: _of_version(self._place(), version, known))

    def versions(self) -> tuple[Link, ...]:
        """Return the list of all versions, and of all runs."""
        known, name = self._known(), self._place().spec.name
        found = [Link("mlflow", f"{known['mlflow']}/#/models/{name}-release")] if "mlflow" in known else []
        return (*found, *([Link("kubeflow", f"{known['kubeflow']}/#/runs")] if "kubeflow" in known else []))

    def drift(self) -> tuple[Link, ...]:
        """Return the newest report of drift; where none was kept there, the tool itself."""
        if not (root := self._known().get("evidently")):
            return ()
        kept = _report(self._place())
        path = f"/projects/{kept['project']}/reports/{kept['run']}" if kept.get("project") and kept.get("run") else ""
        return (Link("evidently", f"{root}{path}"),)

    def _known(self) -> dict[Where, str]:
        return self._roots.of("", lambda: roots(self._place()))


def port(place: Callable[[], Installation]) -> Links:
    """Return the port over an installation, which is read anew at each call."""
    return Elsewhere(place)


def roots(place: Installation) -> dict[Where, str]:
    """Return each tool's address without a slash at its end."""
    from pipelines.releases import processes

    settings = place.environment
    kubeflow = settings.kubeflow
    here = {one.name: one.url for one in processes.status(place.home) if one.state == "running"}
    found: dict[Where, str] = {
        "mlflow": settings.links.mlflow or here.get("mlflow", ""),
        "kubeflow": (kubeflow.ui or kubeflow.host) if kubeflow else "",
        "evidently": settings.links.evidently or here.get("evidently", ""),
        "feast": here.get("feast", ""),
    }
    return {where: url.partition("#")[0].rstrip("/") for where, url in found.items() if url}


def _of_version(place: Installation, version: str, known: dict[Where, str]) -> tuple[Link, ...]:
    from components.registry import run_places
    from pipelines.releases.release import variables

    found = []
    try:
        with variables(place):
            at = run_places.of_version(place.spec.name, version)
    except ServerError:  # the page says so elsewhere; what needs no registry is linked all the same
        at = run_places.RunPlace()
    if root := known.get("mlflow"):
        found.append(Link("mlflow_version", f"{root}/#/models/{place.spec.name}-release/versions/{version}"))
        if at.run:
            found.append(Link("mlflow_run", f"{root}/#/experiments/{at.experiment}/runs/{at.run}"))
    if (root := known.get("kubeflow")) and at.kubeflow:
        found.append(Link("kubeflow", f"{root}/#/runs/details/{at.kubeflow}"))
    return tuple(found)


def _report(place: Installation) -> dict[str, Any]:
    from pipelines.assistants.tools import newest_verdict

    found = newest_verdict(place) or {}
    kept: dict[str, Any] = found.get("workspace") or {}
    return kept
