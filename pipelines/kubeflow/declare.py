"""`apply` on Kubeflow: a version of each pipeline whose IR is new, and the recurring runs of the environment.

It compares with the server, never with this machine's memory: a version is named by the digest of its IR, so the same
spec applied from anywhere, twice or at once, is one version. `plan --refresh` compares in the same way and changes
nothing.
"""

from dataclasses import asdict, dataclass
from typing import Any

from feature_repo.errors import ServerError, SpecError
from pipelines.environment import Installation
from pipelines.graphs import index
from pipelines.kubeflow import client, recurring
from pipelines.kubeflow.client import Api
from pipelines.kubeflow.compiled import CompiledPipeline, compiled

MARKS = {"same": " ", "upload": "+", "create": "+", "replace": "~", "enable": "~", "disable": "~", "delete": "-"}


@dataclass(frozen=True)
class Change:
    """One thing on the server, and what is done about it."""

    kind: str  # pipeline or recurring run
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
        return "\n".join([f"{where}:", *lines])


def apply(place: Installation) -> Declaration:
    """Bring the server in step with the spec and the environment."""
    return _declare(place, write=True, patience_s=client.PATIENCE_S)


def look(place: Installation) -> Declaration:
    """Say what `apply` would change on the server."""
    return _declare(place, write=False, patience_s=5.0)


def _declare(place: Installation, *, write: bool, patience_s: float) -> Declaration:
    with client.connected(place, patience_s=patience_s) as api, compiled(place) as irs:
        changes: list[Change] = []
        versions: dict[str, recurring.Version] = {}
        for ir in irs.values():
            versions[ir.pipeline], change = _version(api, place, ir, write=write)
            changes.append(change)
        for name, action, note in recurring.kept(api, place, versions, write=write):
            changes.append(Change("recurring run", name, action, note))
        return Declaration(api.at.host, api.namespace, changes, write)


def server_name(place: Installation, pipeline: str) -> str:
    """Name a recommender's pipeline on the server: the run form's defaults are the spec's, so each has its own."""
    return f"{place.spec.name}-{pipeline}"


def _version(api: Api, place: Installation, ir: CompiledPipeline, *, write: bool) -> tuple[recurring.Version, Change]:
    """Find the version of an IR, and upload it where there is none."""
    name = server_name(place, ir.pipeline)
    pipeline_id = pipeline_named(api, name)
    found = version_named(api, pipeline_id, ir.version) if pipeline_id else None
    if found is not None or not write:
        action = "same" if found is not None else "upload"
        return recurring.Version(pipeline_id, found or "", ir.version), Change("pipeline", name, action, ir.version)
    pipeline_id = pipeline_id or _create(api, place, ir.pipeline)
    made = _upload(api, place, ir, pipeline_id)
    return recurring.Version(pipeline_id, made, ir.version), Change("pipeline", name, "upload", ir.version)


def pipeline_named(api: Api, name: str) -> str:
    """Return a pipeline's id, '' where there is none; kfp's own look-up asks only for those of no namespace."""
    listing = api.kfp.list_pipelines
    found = api.pages("pipelines", listing, "pipelines", namespace=api.namespace or None, filter=client.named(name))
    return next((str(one.pipeline_id) for one in found if one.display_name == name), "")


def version_named(api: Api, pipeline_id: str, name: str) -> str | None:
    """Return a version's id, None where there is none."""
    listing = api.kfp.list_pipeline_versions
    found = api.pages("versions", listing, "pipeline_versions", pipeline_id=pipeline_id, filter=client.named(name))
    return next((str(one.pipeline_version_id) for one in found if one.display_name == name), None)


def _create(api: Api, place: Installation, pipeline: str) -> str:
    """Make the pipeline without a version: kfp's upload would name its first version as the pipeline."""
    from kfp_server_api import V2beta1Pipeline

    name = server_name(place, pipeline)
    told = f"{index.PIPELINES[pipeline].name} of {place.spec.name}, declared by intentflow apply"
    body = V2beta1Pipeline(display_name=name, name=name, description=told, namespace=api.namespace or None)
    try:
        made = api.ask(f"pipeline {name}", api.kfp.pipelines.pipeline_service_create_pipeline, pipeline=body)
    except ServerError:
        if there := pipeline_named(api, name):  # another apply made it meanwhile
            return there
        raise
    return str(made.pipeline_id)


def _upload(api: Api, place: Installation, ir: CompiledPipeline, pipeline_id: str) -> str:
    from pipelines.graphs.code_digests import git_commit

    told = f"spec {place.spec.digest[:12]}, environment {place.environment.name}, commit {git_commit()[:12]}"
    try:
        made = api.ask(
            f"version {ir.version}",
            api.kfp.upload_pipeline_version,
            str(ir.path),
            pipeline_version_name=ir.version,
            pipeline_id=pipeline_id,
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
    found = version_named(api, pipeline_id, ir.version) if pipeline_id else None
    if found is None:
        raise SpecError(
            f"{server_name(place, ir.pipeline)}: {api.at.host} has no version {ir.version} of what is declared; "
            f"`intentflow apply {place.spec_path} --env {place.environment.name}` uploads it"
        )
    return recurring.Version(pipeline_id, found, ir.version)
