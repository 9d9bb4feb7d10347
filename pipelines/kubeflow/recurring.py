"""Keep recurring runs equal to the environment: create, replace, enable, disable and delete those that we made.

A recurring run cannot be changed on the server, so one that differs is replaced: the new one is created disabled, the
old one deleted, the new one enabled. After a stop between any two of these the next `apply` continues. The description
says which recommender a run belongs to and what it does; runs that a person made are never touched.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from feature_repo import files
from feature_repo.errors import SpecError
from pipelines.environment import Installation
from pipelines.environment_spec import Recurring
from pipelines.graphs import index
from pipelines.kubeflow import client
from pipelines.kubeflow.client import Absent, Api

OWNED = re.compile(
    r"declared by intentflow apply: recommender (?P<recommender>\S+), environment (?P<environment>\S+), "
    r"recurring (?P<name>\S+), digest (?P<digest>[0-9a-f]+)"
)
Told = tuple[str, str, str]  # name, action, note


@dataclass(frozen=True)
class Version:
    """A pipeline's version on the server; ids are '' where it is not there yet."""

    pipeline_id: str
    version_id: str
    name: str
    title: str = ""  # as people see it


@dataclass(frozen=True)
class WantedRun:
    """A recurring run as it should be."""

    declared: Recurring
    name: str  # on the server
    parameters: dict[str, Any]
    digest: str

    @property
    def note(self) -> str:
        """Return it in words."""
        off = "" if self.declared.enabled else ", switched off"
        return f"{self.declared.pipeline} at {self.declared.six}{off}"


def kept(api: Api, place: Installation, versions: dict[str, Version], *, write: bool) -> Iterator[Told]:
    """Bring the server's recurring runs in step, or say what that would do; yields one line each."""
    there = _owned(api, place)
    for declared in api.at.recurring:
        wanted = _wanted(place, declared, versions[declared.pipeline])
        yield _one(api, place, wanted, there.pop(declared.name, []), versions, write=write)
    for name, runs in there.items():
        if write:
            _delete(api, runs)
        yield f"{place.spec.name}-{name}", "delete", "no longer declared"


def experiment(api: Api, place: Installation) -> str:
    """Return the id of the experiment that runs belong to, made on first use."""
    name = experiment_name(place)
    try:
        found = api.ask(
            f"experiment {name}",
            api.kfp.create_experiment,
            name,
            description=f"Runs of the recommender {place.spec.name}",
            namespace=api.namespace or None,
        )
    except ValueError as error:  # several of that name: kfp's own words
        raise SpecError(f"kubeflow.experiment: {error}; give another name") from None
    return str(found.experiment_id)


def experiment_there(api: Api, place: Installation) -> bool:
    """Tell whether the experiment was made already."""
    name, listing = experiment_name(place), api.kfp.list_experiments
    found = api.pages("experiments", listing, "experiments", namespace=api.namespace or None, filter=client.named(name))
    return any(one.display_name == name for one in found)


def experiment_name(place: Installation) -> str:
    """Name the experiment."""
    at = place.environment.kubeflow
    return (at.experiment if at else "") or place.spec.name


def _wanted(place: Installation, declared: Recurring, version: Version) -> WantedRun:
    parameters = index.pipeline(declared.pipeline).form(place.spec)
    at = place.environment.kubeflow
    what = {
        "version": version.name,
        "cron": declared.six,
        "max_concurrency": declared.max_concurrency,
        "parameters": parameters,
        "experiment": experiment_name(place),
        "service_account": at.service_account if at else "",
    }
    return WantedRun(declared, f"{place.spec.name}-{declared.name}", parameters, files.digest(what)[:16])


def _owned(api: Api, place: Installation) -> dict[str, list[tuple[str, Any]]]:
    """Return this environment's own recurring runs by name, each with its digest, the oldest first."""
    listing = api.kfp.list_recurring_runs
    found: dict[str, list[tuple[str, Any]]] = {}
    for run in api.pages("recurring runs", listing, "recurring_runs", namespace=api.namespace or None):
        mark = OWNED.search(run.description or "")
        if mark and (mark["recommender"], mark["environment"]) == (place.spec.name, place.environment.name):
            found.setdefault(mark["name"], []).append((mark["digest"], run))
    for runs in found.values():
        runs.sort(key=lambda pair: (str(pair[1].created_at), pair[1].recurring_run_id))
    return found


def _one(
    api: Api,
    place: Installation,
    wanted: WantedRun,
    there: list[tuple[str, Any]],
    versions: dict[str, Version],
    *,
    write: bool,
) -> Told:
    """Bring one in step."""
    same = [run for digest, run in there if digest == wanted.digest]
    others = [pair for pair in there if not same or pair[1] is not same[0]]
    if same:
        action = _switched(same[0], wanted) or ("replace" if others else "same")
    else:
        action = "replace" if there else "create"
    if write and action != "same":
        kept_id = same[0].recurring_run_id if same else _make(api, place, wanted, versions[wanted.declared.pipeline])
        _delete(api, others)
        _switch(api, kept_id, enabled=wanted.declared.enabled)
    return wanted.name, action, wanted.note


def _switched(run: Any, wanted: WantedRun) -> str:
    """Name what its switch needs, '' for nothing."""
    on = run.status == "ENABLED" or (run.status is None and run.mode == "ENABLE")
    if on == wanted.declared.enabled:
        return ""
    return "enable" if wanted.declared.enabled else "disable"


def _make(api: Api, place: Installation, wanted: WantedRun, version: Version) -> str:
    """Make it, switched off."""
    mark = (
        f"declared by intentflow apply: recommender {place.spec.name}, environment {place.environment.name}, "
        f"recurring {wanted.declared.name}, digest {wanted.digest}"
    )
    made = api.ask(
        f"recurring run {wanted.name}",
        api.kfp.create_recurring_run,
        experiment_id=experiment(api, place),
        job_name=wanted.name,
        description=mark,
        cron_expression=wanted.declared.six,
        max_concurrency=wanted.declared.max_concurrency,
        no_catchup=True,
        params=wanted.parameters,
        pipeline_id=version.pipeline_id,
        version_id=version.version_id,
        enabled=False,
        service_account=api.at.service_account or None,
    )
    return str(made.recurring_run_id)


def _switch(api: Api, run_id: str, *, enabled: bool) -> None:
    switch = api.kfp.enable_recurring_run if enabled else api.kfp.disable_recurring_run
    api.ask("recurring run", switch, run_id)


def _delete(api: Api, runs: list[tuple[str, Any]]) -> None:
    for _digest, run in runs:
        with contextlib.suppress(Absent):  # another apply was first
            api.ask(f"recurring run {run.display_name}", api.kfp.delete_recurring_run, run.recurring_run_id)
