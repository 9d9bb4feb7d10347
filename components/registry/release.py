"""A release: the matched set of versions that is promoted and served as one.

`make` writes it down as a version of <name>-release; `assemble` turns a version back into a folder with nothing but
the registry at hand, and refuses one whose bytes are not what was released. Aliases are moved elsewhere.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from components.content import writers
from components.policy import policies
from components.registry import client as mlflow_client
from components.registry import frames
from components.registry.baseline_champion import INSTEAD_OF, BaselineChampion
from components.registry.gate_inputs import Metrics
from components.registry.gates import Verdict
from components.registry.lineage import PARTS, Part
from components.registry.model_versions import Version
from components.registry.register import RegisteredParts
from components.registry.report import markdown
from components.step import RUN
from components.verdicts import PASSED
from feature_repo import erasure, files, release_folder, signing
from feature_repo.errors import DataError, ServerError, SpecError
from feature_repo.release_folder import BASELINE, BASELINES, FILE, JUDGED, KEY, KIND, ReleaseFolder

if TYPE_CHECKING:
    from mlflow import MlflowClient

BYTES = "files.json"  # by part: each file's sha256, to name the broken one
MEND = "restore MLflow's artifacts from a backup, or delete the version and run the pipeline to register again"
DESCRIPTION_CHARACTERS = 5000
VERDICT = "verdict"  # a version's tag: what each gate said
TOLERANCE = "tolerance"  # a version's tag: how often tolerances were used up to it
ASKED = "run"  # a version's tag: the cluster's run that registered it, or last found it registered


class Registered(Protocol):
    """Where the parts of a release stand in the registry."""

    @property
    def run_id(self) -> str:
        """The run that its files go to."""

    @property
    def versions(self) -> Mapping[str, Version]:
        """The version of each part."""


@dataclass(frozen=True)
class Release:
    """A version of <name>-release."""

    id: str
    version: str
    passed: bool
    created: bool  # False where it was there


def model_name(name: str) -> str:
    """Name the registered model of a recommender's releases."""
    return f"{name}-release"


def document(
    name: str,
    registered: RegisteredParts,
    serving: dict[str, Any],
    *,
    kind: Mapping[str, Any] = MappingProxyType({}),
    judged: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return release.json: its id is the digest of the rest. `judged` is the release that this one is a refit of."""
    result, lineage = registered.result, registered.result.lineage
    parts = {part: {"version": at.version, "digest": at.digest} for part, at in registered.versions.items()}
    rest = {
        "name": name,
        **parts,
        "policy": serving.get("policy", {}).get("name", policies.DEFAULT),
        "prompt": serving.get("content", {}).get("prompt", writers.DEFAULT),
        "feature_services": lineage.feature_services,
        **result.tags(),
        **kind,
        # What the pipeline could not know before the data was read.
        "serving": {"name": name, "calendar": result.snapshot["calendar"], "data_end": result.snapshot["last"]}
        | ({KEY: key} if (key := result.snapshot.get(KEY)) else {})
        | serving,
    } | ({JUDGED: dict(judged)} if judged else {})
    return release_folder.identified(rest)


def make(
    name: str,
    registered: RegisteredParts,
    *,
    serving: dict[str, Any],
    verdict: Verdict | BaselineChampion,
    metrics: Metrics,
    scratch: Path,
) -> Release:
    """Make the release's version with its verdict, or find it and see that the verdict still holds."""
    kind = verdict.kind() if isinstance(verdict, BaselineChampion) else {}
    released = document(name, registered, serving, kind=kind)
    judged = {
        "gates": verdict.word,
        VERDICT: files.canonical(verdict.document()),
        TOLERANCE: files.canonical(verdict.tolerance()),
        "metrics": files.canonical(metrics),
    }
    about = _about(released["id"], verdict)
    made = kept(registered, released, tags=judged, about=about, scratch=scratch)
    return Release(made.id, made.version, verdict.passed, made.created)


def kept(
    registered: Registered, released: dict[str, Any], *, tags: Mapping[str, str], about: str, scratch: Path
) -> Release:
    """Make the version of a document, or find it and see that the verdict in `tags` still holds."""
    name, signer = released["name"], signing.require_signer(os.environ)
    signature = {signing.TAG: signer.sign(released)} if signer else {}
    with mlflow_client.connected() as client:
        found = mlflow_client.version_tagged(client, model_name(name), "id", released["id"])
        if found is None:
            every = _tags(released) | dict(tags) | signature
            version = _version(client, registered, released, tags=every, about=about, scratch=scratch)
        else:
            version = str(found.version)
            if any(found.tags.get(key) != tags[key] for key in ("gates", "metrics")):
                for key, value in tags.items():
                    client.set_model_version_tag(model_name(name), version, key, value)
                client.update_model_version(model_name(name), version, about)
            for key, text in signature.items():  # registered before signing was on, or under the key before
                if found.tags.get(key) != text:
                    client.set_model_version_tag(model_name(name), version, key, text)
        if (run := os.environ.get(RUN)) and KIND not in released:  # a run is asked about its candidate
            client.set_model_version_tag(model_name(name), version, ASKED, run)
    return Release(released["id"], version, tags["gates"] == PASSED, created=found is None)


def may_serve(tags: Mapping[str, str]) -> bool:
    """Tell of a version's tags whether its gates passed, or it is a baseline, which none judges."""
    return tags.get("gates") == PASSED or tags.get(KIND) == BASELINE


def reasons(tags: Mapping[str, str]) -> str:
    """Return why a version's gates hold it back, in their own words."""
    gates = json.loads(tags.get(VERDICT) or "{}").get("gates", [])
    return "; ".join(gate["reason"] for gate in gates if not gate["passed"]) or "no gate was evaluated"


def assemble(name: str, which: str, destination: Path) -> Path:
    """Make the folder of a release, by version or alias, from the registry alone: whole and verified, or not at all."""
    if destination.exists() and not release_folder.holds(destination) and any(destination.iterdir()):
        raise SpecError(f"{destination}: holds something else than a release; name a new folder, or empty this one")
    with mlflow_client.connected() as client:
        version = resolve(client, name, which)
        tags = client.get_model_version(model_name(name), version).tags
        release_id, signature = tags.get("id", ""), tags.get(signing.TAG, "")
        if _holds(destination, release_id):
            return destination
        with files.written_folder(destination) as aside:
            fetched(f"{model_name(name)}/{version}", FILE, aside)
            document = _whole(aside, name, release_id, f"{model_name(name)} {version}")
            signing.trusted(os.environ).require(document, signature, f"{model_name(name)} {version}")
            if signature:
                (aside / signing.FILE).write_text(signature)
            listed = files.read_json(fetched(f"{model_name(name)}/{version}", BYTES, aside / "download"))
            for part in PARTS:
                _assemble_part(name, part, document[part], listed[part], aside)
            shutil.rmtree(aside / "download")
    return destination


def resolve(client: "MlflowClient", name: str, which: str) -> str:
    """Turn a version or an alias into a version, once: aliases move between calls."""
    model = mlflow_client.registered_model(client, model_name(name))
    if model is None:
        raise unregistered(name)
    holders = {alias: str(version) for alias, version in model.aliases.items()}
    if which in holders:
        require_version(client, name, which, holders[which])
        return holders[which]
    if which.isdecimal():
        found = client.search_model_versions(f"name='{model_name(name)}'")
        versions = sorted((str(version.version) for version in found), key=int)
        if which in versions:
            return which
        raise SpecError(f"{model_name(name)}: no version {which}; have {', '.join(versions) or 'none'}")
    have = ", ".join(f"{alias} (version {version})" for alias, version in sorted(holders.items())) or "none"
    raise SpecError(
        f"{model_name(name)}: no version holds the alias '{which}'; aliases: {have}; promote a version first"
    )


def require_version(client: "MlflowClient", name: str, alias: str, version: str) -> None:
    """Refuse an alias whose version was deleted."""
    if not client.search_model_versions(f"name='{model_name(name)}' and version_number={int(version)}"):
        raise SpecError(
            f"{model_name(name)}: the alias '{alias}' names version {version}, which was deleted; give it to another "
            "with `intentflow promote --version N`, or take it away in MLflow"
        )


def unregistered(name: str) -> SpecError:
    """Say that a recommender has no release."""
    return SpecError(f"{model_name(name)}: nothing is registered under this name yet; run the pipeline first")


def _version(
    client: "MlflowClient",
    registered: Registered,
    released: dict[str, Any],
    *,
    tags: dict[str, str],
    about: str,
    scratch: Path,
) -> str:
    """Write the release's files into the result's run and make a version of them, tags and all, in one step."""
    name = model_name(released["name"])
    folder = scratch / "release"
    folder.mkdir(parents=True)
    files.write_json(folder / FILE, released)
    files.write_json(folder / BYTES, {part: at.files for part, at in registered.versions.items()})
    place = f"release/{released['id']}"
    client.log_artifacts(registered.run_id, str(folder), place)
    source = f"{client.get_run(registered.run_id).info.artifact_uri}/{place}"
    if mlflow_client.registered_model(client, name) is None:
        client.create_registered_model(name)
    return str(client.create_model_version(name, source, registered.run_id, tags=tags, description=about).version)


def _about(release_id: str, verdict: Verdict | BaselineChampion) -> str:
    """Return the Markdown that MLflow's UI shows for a version, within what its database holds."""
    if isinstance(verdict, BaselineChampion):
        return verdict.page(f"Release {release_id}")
    return markdown(verdict, title=f"Gates of release {release_id}", most=DESCRIPTION_CHARACTERS)


def _tags(released: dict[str, Any]) -> dict[str, str]:
    """Spread release.json over tags, so that MLflow's UI can show and search it."""
    parts = {key: text for part in PARTS for key, text in _part_tags(part, released[part]).items()}
    plain = ("id", "policy", "prompt", "vocabulary", "data", "spec", "lock", "git")
    services = {"feature_services": files.canonical(released["feature_services"])}
    under = {KEY: key} if (key := released["serving"].get(KEY)) else {}
    segments = {key: released[key] for key in ("segments",) if key in released}
    return {key: released[key] for key in plain} | parts | services | segments | under | _kind(released)


def _kind(released: dict[str, Any]) -> dict[str, str]:
    """Return the tags of a baseline: what it is, instead of which release, and what replaces which part."""
    if KIND not in released:
        return {}
    return {key: str(released[key]) for key in (KIND, INSTEAD_OF)} | {BASELINES: files.canonical(released[BASELINES])}


def _part_tags(part: Part, at: dict[str, str]) -> dict[str, str]:
    return {f"{part}_version": at["version"], f"{part}_digest": at["digest"]}


def _holds(folder: Path, release_id: str) -> bool:
    """Tell whether a folder already is this release, whole."""
    try:
        return ReleaseFolder.verified(folder).id == release_id
    except DataError:  # broken, or of a format that is not read: fetched again, which says what is wrong
        return False


def _whole(folder: Path, name: str, release_id: str, place: str) -> dict[str, Any]:
    """Return the document that was fetched into a folder, if it is the one that was released."""
    document: dict[str, Any] = files.read_json(folder / FILE)
    computed = release_folder.digest_of(document)
    if not computed == document.get("id") == release_id:
        raise ServerError(
            f"{place}: {FILE} in the registry is broken (its digest is {computed}, not {release_id}); {MEND}"
        )
    release_folder.require_readable(document, place)
    if document.get("name") != name:
        raise DataError(f"{place}: holds a release of '{document.get('name')}', not of '{name}'; delete the version")
    return document


def _assemble_part(name: str, part: Part, at: dict[str, str], listed: dict[str, str], folder: Path) -> None:
    """Bring one model folder into `folder/part` and compare it with what was released."""
    version = f"{name}-{part}/{at['version']}"
    found = fetched(version, f"artifacts/{frames.MODEL}", folder / "download" / part)
    found.rename(folder / part)
    have = erasure.listed(folder / part)  # as registered: rows of forgotten people are gone since
    if erasure.matches(folder / part, at["digest"]) and have == listed:
        return
    differing = sorted(f"{part}/{file}" for file in {*have, *listed} if have.get(file) != listed.get(file))
    raise ServerError(
        f"models:/{version}: {', '.join(differing) or part} in the registry differs from what was released "
        f"(digest {at['digest']}); {MEND}"
    )


def fetched(version: str, path: str, folder: Path) -> Path:
    """Download one file or folder of a registered version."""
    import mlflow

    folder.mkdir(parents=True, exist_ok=True)
    try:
        return Path(mlflow.artifacts.download_artifacts(f"models:/{version}/{path}", dst_path=str(folder)))
    except (mlflow.exceptions.MlflowException, FileNotFoundError) as error:
        if mlflow_client.silent(error):
            raise
        raise ServerError(
            f"models:/{version}: {path} cannot be read from the registry ({mlflow_client.first_line(error)}); {MEND}"
        ) from error
