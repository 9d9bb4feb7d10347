"""The release of a policy that passed its gate: the models of the release that serves, with the policy changed.

The policy is a version of <name>-policy, with its verdict and figures, and release.json names it. The models' verdict
goes with it, since they are the same versions; nothing is trained. Made again, it is found again.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.registry import aliases
from components.registry import client as mlflow_client
from components.registry.model_versions import Version
from components.registry.refit import OF_VERDICT
from components.registry.release import (
    BYTES,
    DESCRIPTION_CHARACTERS,
    Release,
    fetched,
    kept,
    model_name,
)
from components.step import step
from feature_repo import files, release_folder
from feature_repo.errors import DataError
from feature_repo.release_folder import FILE, PARTS

if TYPE_CHECKING:
    from mlflow import MlflowClient

CANDIDATE, VERDICT = "candidate.json", "verdict.json"  # of the step's artifact
POLICY = "policy"  # place in release.json's slices, and of the files in the run
LEARNED = "learned_policy"  # key of release.json: the registered version of its policy
POLICY_VERDICT, BASE = "policy_verdict", "policy_of_version"  # tags of the release's version


@dataclass(frozen=True)
class PolicyRun:
    """Where a policy stands in the registry, with the parts that its release has."""

    run_id: str
    versions: dict[str, Version]


def policy_model(name: str) -> str:
    """Name the registered model of a recommender's policies."""
    return f"{name}-policy"


def register_policy(name: str, version: str, *, release: str, folder: str) -> str:
    """Make the release of a version's models with a policy that passed; return its version."""
    with step("register_policy") as progress:
        made = make(name, version, release=release, folder=Path(folder))
        if made.version != version:  # else that release has this very policy
            aliases.challenge(name, made.version, passed=made.passed, who=aliases.pipeline(), why="its policy passed")
        progress.count(release=made.id, version=made.version, created=made.created)
        progress.tell(release=made.id, version=made.version, created=made.created)
    return made.version


def make(name: str, version: str, *, release: str, folder: Path) -> Release:
    """Make the release, or find it."""
    candidate, verdict = (files.read_json(folder / file) for file in (CANDIDATE, VERDICT))
    with tempfile.TemporaryDirectory() as aside:
        with mlflow_client.connected() as client:
            place = f"{model_name(name)}/{version}"
            base = files.read_json(fetched(place, FILE, Path(aside)))
            listed = files.read_json(fetched(place, BYTES, Path(aside)))
            if base["id"] != release:
                raise DataError(f"{model_name(name)} {version}: is release {base['id']}, not {release}; run again")
            held = client.get_model_version(model_name(name), version)
            if (base["policy"], base[release_folder.SLICES].get(POLICY)) == (candidate["name"], candidate["slice"]):
                return Release(base["id"], version, passed=True, created=False)
            number, run_id, digest = _registered(client, name, folder, candidate=candidate, verdict=verdict)
        parts = {
            part: Version(f"{name}-{part}", base[part]["version"], base[part]["digest"], listed[part], created=False)
            for part in PARTS
        }
        released = document(base, candidate, version=number, digest=digest)
        tags = {key: held.tags[key] for key in OF_VERDICT if key in held.tags}
        tags |= {POLICY_VERDICT: files.canonical(verdict), BASE: version}
        about = f"{verdict['why']}.\n\nThe models are those of version {version}.\n\n{held.description or ''}"
        return kept(
            PolicyRun(run_id, parts), released, tags=tags, about=about[:DESCRIPTION_CHARACTERS], scratch=Path(aside)
        )


def document(base: Mapping[str, Any], candidate: Mapping[str, Any], *, version: str, digest: str) -> dict[str, Any]:
    """Return release.json: the base release's with another policy."""
    rest = {key: value for key, value in base.items() if key not in (release_folder.ID, release_folder.FORMAT)}
    slices = {**rest[release_folder.SLICES], POLICY: candidate["slice"]}
    named = {"policy": candidate["name"], LEARNED: {"version": version, "digest": digest}}
    return release_folder.identified(rest | named | {release_folder.SLICES: slices})


def _registered(
    client: "MlflowClient", name: str, folder: Path, *, candidate: Mapping[str, Any], verdict: Mapping[str, Any]
) -> tuple[str, str, str]:
    """Make a version of the policy with its verdict, or find it; return its number, its run and its digest."""
    digest, model = files.digest(candidate), policy_model(name)
    found = mlflow_client.version_tagged(client, model, "digest", digest)
    if found is not None:
        return str(found.version), str(found.run_id), digest
    experiment = mlflow_client.experiment_id(client, name)
    run = client.create_run(experiment, tags={"mlflow.user": mlflow_client.user()}, run_name=f"{model}-{digest}")
    run_id = run.info.run_id
    for key in ("value", "running", "ess"):
        if isinstance(verdict.get(key), int | float):
            client.log_metric(run_id, f"policy.{key}", float(verdict[key]))
    client.log_artifacts(run_id, str(folder), POLICY)
    if mlflow_client.registered_model(client, model) is None:
        client.create_registered_model(model)
    tags = {"digest": digest, "name": str(candidate["name"]), "verdict": str(verdict["verdict"])}
    source = f"{run.info.artifact_uri}/{POLICY}"
    made = client.create_model_version(model, source, run_id, tags=tags, description=str(verdict["why"]))
    client.set_terminated(run_id)
    return str(made.version), run_id, digest
