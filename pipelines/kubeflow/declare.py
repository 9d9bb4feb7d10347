"""`apply` on Kubeflow: a version of each pipeline whose IR is new, and the recurring runs of the environment.

It compares with the server, never with this machine's memory: a version is named by the digest of its IR, so the same
spec applied from anywhere, twice or at once, is one version. `plan --refresh` compares in the same way and changes
nothing.
"""

import datetime as dt
from dataclasses import asdict, dataclass, field
from typing import Any

from feature_repo.errors import ServerError, SpecError
from pipelines.environment import Installation
from pipelines.graphs import index
from pipelines.kubeflow import client, display_names, recurring
from pipelines.kubeflow.client import Api
from pipelines.kubeflow.compiled import CompiledPipeline, compiled

MARKS = {"same": " ", "upload": "+", "create": "+", "replace": "~", "enable": "~", "disable": "~", "delete": "-"}


@dataclass(frozen=True)
class Change:
    """One thing on the server, and what is done about it."""

    kind: str  # experiment, pipeline or recurring run
    name: str
    action: str  # a key of MARKS
    note: str = ""


@dataclass(frozen=True)
class Declaration:
    """What the server has, or would have, of a spec."""

    host: str
    namespace: str
    changes: list[Change]
    done: bool  # False: only looked at
    links: dict[str, str] = field(default_factory=dict)  # by pipeline: the form that starts a run, where it is there

    @property
    def nothing(self) -> bool:
        """True where the server is as declared."""
        return all(change.action == "same" for change in self.changes)

    def document(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self) | {"nothing": self.nothing}

    def text(self) -> str:
        """Return it as a person reads it."""
        past = {action: f"{action.removesuffix('e')}ed" for action in MARKS}
        said = (past if self.done else {action: f"would {action}" for action in MARKS}) | {"same": "same"}
        lines = [
            f"{MARKS[one.action]} {one.kind:<13} {one.name:<28} {said[one.action]}{f'  {one.note}' if one.note else ''}"
            for one in self.changes
        ]
        where = f"Kubeflow at {self.host}" + (f", namespace {self.namespace}" if self.namespace else "")
        forms = [f"start {name} in the UI: {link}" for name, link in self.links.items()] if self.done else []
        return "\n".join([f"{where}:", *lines, *forms])


def apply(place: Installation, *, note: str = "") -> Declaration:
    """Bring the server in step with the spec and the environment; `note` says what is new, in place of our words."""
    return _declare(place, write=True, patience_s=client.PATIENCE_S, note=note)


def look(place: Installation) -> Declaration:
    """Say what `apply` would change on the server."""
    return _declare(place, write=False, patience_s=5.0)


def _declare(place: Installation, *, write: bool, patience_s: float, note: str = "") -> Declaration:
    with client.connected(place, patience_s=patience_s) as api, compiled(place) as irs:
        changes = [_experiment(api, place, write=write)]
        versions: dict[str, recurring.Version] = {}
        for ir in irs.values():
            versions[ir.pipeline], change = _version(api, place, ir, write=write, note=note)
            changes.append(change)
        for name, action, note in recurring.kept(api, place, versions, write=write):
            changes.append(Change("recurring run", name, action, note))
        links = _forms(api, place, versions) if write else {}
        return Declaration(api.at.host, api.namespace, changes, write, links)


def _experiment(api: Api, place: Installation, *, write: bool) -> Change:
    """Have the experiment that runs belong to, also those that people start in the UI and choose it for."""
    action = "same" if recurring.experiment_there(api, place) else "create"
    if write and action == "create":
        recurring.experiment(api, place)
    return Change("experiment", recurring.experiment_name(place), action)


def _forms(api: Api, place: Installation, versions: dict[str, recurring.Version]) -> dict[str, str]:
    """Return by pipeline the address of the form that starts a run of what was applied, in its experiment."""
    experiment = recurring.experiment(api, place)
    page = f"{(api.at.ui or api.at.host).rstrip('/')}/#/runs/new?experimentId={experiment}"
    return {
        name: f"{page}&pipelineId={one.pipeline_id}&pipelineVersionId={one.version_id}"
        for name, one in versions.items()
    }


def server_name(place: Installation, pipeline: str) -> str:
    """Name a recommender's pipeline on the server: the run form's defaults are the spec's, so each has its own."""
    return f"{place.spec.name}-{pipeline}"


def _version(
    api: Api, place: Installation, ir: CompiledPipeline, *, write: bool, note: str
) -> tuple[recurring.Version, Change]:
    """Find the version of an IR, and upload it where there is none."""
    name = server_name(place, ir.pipeline)
    pipeline_id = pipeline_named(api, name)
    found = version_named(api, pipeline_id, ir.version) if pipeline_id else None
    if found is not None or not write:
        action = "same" if found is not None else "upload"
        return recurring.Version(pipeline_id, found or "", ir.version), Change("pipeline", name, action, ir.version)
    pipeline_id = pipeline_id or _create(api, place, ir.pipeline)
    words = note or display_names.changed(_newest(api, pipeline_id), ir.document())
    made = _upload(api, place, ir, pipeline_id, words=words)
    return recurring.Version(pipeline_id, made, ir.version), Change("pipeline", name, "upload", ir.version)


def pipeline_named(api: Api, name: str) -> str:
    """Return a pipeline's id, '' where there is none; kfp's own look-up asks only for those of no namespace."""
    listing = api.kfp.list_pipelines
    found = api.pages("pipelines", listing, "pipelines", namespace=api.namespace or None, filter=client.named(name))
    return next((str(one.pipeline_id) for one in found if one.display_name == name), "")


def version_named(api: Api, pipeline_id: str, name: str) -> str | None:
    """Return a version's id, None where there is none."""
    found = _found(api, pipeline_id, name)
    return None if found is None else str(found.pipeline_version_id)


def _found(api: Api, pipeline_id: str, name: str) -> Any | None:
    """Look a version up by its name, which is no display name."""
    listing, named = api.kfp.list_pipeline_versions, client.named(name, key="name")
    found = api.pages("versions", listing, "pipeline_versions", pipeline_id=pipeline_id, filter=named)
    return next((one for one in found if one.name == name), None)


def _newest(api: Api, pipeline_id: str) -> display_names.Document | None:
    """Return the IR that was applied last."""
    listing = api.kfp.list_pipeline_versions
    found = api.ask("versions", listing, pipeline_id, page_size=1, sort_by="created_at desc")
    versions = found.pipeline_versions or []
    return display_names.pipeline_spec(versions[0].pipeline_spec) if versions else None


def _create(api: Api, place: Installation, pipeline: str) -> str:
    """Make the pipeline without a version: kfp's upload would name its first version as the pipeline."""
    from kfp_server_api import V2beta1Pipeline

    name = server_name(place, pipeline)
    told = f"{index.PIPELINES[pipeline].description} Recommender {place.spec.name}; declared by intentflow apply."
    body = V2beta1Pipeline(display_name=name, name=name, description=told, namespace=api.namespace or None)
    try:
        made = api.ask(f"pipeline {name}", api.kfp.pipelines.pipeline_service_create_pipeline, pipeline=body)
    except ServerError:
        if there := pipeline_named(api, name):  # another apply made it meanwhile
            return there
        raise
    return str(made.pipeline_id)


def _upload(api: Api, place: Installation, ir: CompiledPipeline, pipeline_id: str, *, words: str) -> str:
    from pipelines.graphs.code_digests import git_commit

    told = (
        f"{index.PIPELINES[ir.pipeline].description} New: {words}. Spec {place.spec.digest[:12]}, environment "
        f"{place.environment.name}, commit {git_commit()[:12]}."
    )
    try:
        made = api.ask(
            f"version {ir.version}",
            api.kfp._upload_api.upload_pipeline_version,  # kfp's own method hands no display name on
            str(ir.path),
            name=ir.version,
            display_name=display_names.version(place.spec.name, dt.datetime.now(dt.UTC), words),
            pipelineid=pipeline_id,
            description=told,
        )
    except ServerError:
        if there := version_named(api, pipeline_id, ir.version):  # as above, or the answer was lost
            return there
        raise
    return str(made.pipeline_version_id)


def applied(api: Api, place: Installation, ir: CompiledPipeline) -> recurring.Version:
    """Return the version on the server of what is declared here; refused where that was not applied."""
    pipeline_id = pipeline_named(api, server_name(place, ir.pipeline))
    found = _found(api, pipeline_id, ir.version) if pipeline_id else None
    if found is None:
        raise SpecError(
            f"{server_name(place, ir.pipeline)}: {api.at.host} has no version {ir.version} of what is declared; "
            f"`intentflow apply {place.spec_path} --env {place.environment.name}` uploads it"
        )
    return recurring.Version(pipeline_id, str(found.pipeline_version_id), ir.version, str(found.display_name or ""))
