"""The rollout as the registry holds it: its state on <name>-release, and each version's story in words.

The loop (pipelines) reads everything at once, decides, acts, and writes back. MLflow's UI shows all of it: tag
`rollout` of a version says where it stands, `rollout_log` how it came there. Nothing is decided here.
"""

import contextlib
import datetime as dt
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from components.registry import client as mlflow_client
from components.registry.aliases import RECORDED, ROLLED_BACK
from components.registry.release import may_serve, model_name, reasons, resolve
from components.verdicts import UNDECIDED
from feature_repo.errors import ServerError, SpecError

STATE = "rollout"  # the registered model's tag: the loop's state, as JSON
PHASE = "rollout"  # a version's tag: where it stands, in words
LOG = "rollout_log"  # a version's tag: what was decided and why, one a line, the newest last
EXPERIMENT = "experiment"  # the registered model's tag: the experiment that a person asked for last, as JSON
READS = 3  # of a registry whose champion is deleted meanwhile
CHARACTERS = 5000  # what MLflow's databases hold in a tag


@dataclass(frozen=True)
class Version:
    """What a rollout must know of a version of the release."""

    version: str
    release: str  # id
    passed: bool  # its gates, or none judge it: a baseline
    refusals: str = ""  # why not
    undecided: bool = False  # they could not tell


@dataclass(frozen=True)
class Registry:
    """What the registry says at one moment."""

    champion: str  # version, '' without one
    recorded: bool  # the history knows of it
    versions: Mapping[str, Version] = field(default_factory=dict)  # the champion, and those asked for
    state: Mapping[str, Any] = field(default_factory=dict)
    experiment: Mapping[str, Any] = field(default_factory=dict)  # that was asked for last; `stop` says why it must end


def read(name: str) -> Registry:
    """Read the champion, its verdict, and the loop's state."""
    with mlflow_client.connected() as client:
        for _ in range(READS):
            model = mlflow_client.registered_model(client, model_name(name))
            if model is None:
                return Registry("", recorded=True)
            champion = str(model.aliases.get("champion", ""))
            with absent(f"version {champion} of {model_name(name)}") as gone:
                versions = {champion: _version(client, name, champion)} if champion else {}
                state = json.loads(model.tags.get(STATE, "{}"))
                asked = json.loads(model.tags.get(EXPERIMENT, "{}"))
                return Registry(champion, champion == model.tags.get(RECORDED, ""), versions, state, asked)
        raise ServerError(f"{gone}: the champion alias leads to a version that is not there; give it to another one")


@contextlib.contextmanager
def absent(what: str) -> Iterator[str]:
    """Go on after the block where a person deleted what it reads; everything else is raised."""
    from mlflow.exceptions import MlflowException

    try:
        yield what
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise


def same_vocabulary(name: str, *versions: str) -> bool:
    """Tell whether versions of the release are aligned to one vocabulary, so that they keep the same profiles."""
    with mlflow_client.connected() as client:
        found: set[str | None] = {None}
        with absent("a version"):
            found = {client.get_model_version(model_name(name), v).tags.get("vocabulary") for v in versions}
    return len(found) == 1 and None not in found


def aliased(name: str) -> dict[str, str]:
    """Return the release id of every version that holds an alias."""
    with mlflow_client.connected() as client:
        model = mlflow_client.registered_model(client, model_name(name))
        holders = sorted({str(version) for version in model.aliases.values()}) if model else []
        found: dict[str, str] = {}
        for version in holders:
            with absent(f"version {version}"):
                found[version] = _version(client, name, version).release
        return found


def write(name: str, state: Mapping[str, Any]) -> None:
    """Keep the loop's state."""
    text = json.dumps(state, ensure_ascii=False, separators=(",", ":"))
    if len(text) > CHARACTERS:
        raise ValueError(f"the rollout's state has {len(text)} characters; a tag holds {CHARACTERS}")
    with mlflow_client.connected() as client:
        client.set_registered_model_tag(model_name(name), STATE, text)


def ask(name: str, experiment: Mapping[str, Any]) -> None:
    """Ask the loop for an experiment, or for its end; a person does this, whoever holds the lease."""
    text = json.dumps(experiment, ensure_ascii=False, separators=(",", ":"))
    if len(text) > CHARACTERS:
        raise SpecError(
            f"experiments: {len(text)} characters; a tag of the registry holds {CHARACTERS}; use fewer arms"
        )
    with mlflow_client.connected() as client:
        client.set_registered_model_tag(model_name(name), EXPERIMENT, text)


def versions(name: str, *which: str) -> dict[str, Version]:
    """Return what versions are, each named by its number or an alias; raise SpecError where one is not there."""
    with mlflow_client.connected() as client:
        return {one: _version(client, name, resolve(client, name, one)) for one in which}


def say(name: str, version: str, *, phase: str, line: str) -> None:
    """Write on a version where it stands ('' leaves that as it is) and why; nothing where a person deleted it."""
    with mlflow_client.connected() as client, absent(f"version {version}"):
        before = client.get_model_version(model_name(name), version).tags.get(LOG, "").splitlines()
        if not before or not before[-1].endswith(line):  # a step that is taken again after a kill says it once
            lines = [*before, f"{dt.datetime.now(dt.UTC).isoformat(timespec='seconds')} {line}"]
            while len("\n".join(lines)) > CHARACTERS:
                lines = lines[1:]
            client.set_model_version_tag(model_name(name), version, LOG, "\n".join(lines))
        if phase:
            client.set_model_version_tag(model_name(name), version, PHASE, phase)


def settle(name: str, version: str) -> None:
    """Take the mark of an earlier rollback off a version that serves."""
    with mlflow_client.connected() as client, absent(f"version {version}"):
        if ROLLED_BACK in client.get_model_version(model_name(name), version).tags:
            client.delete_model_version_tag(model_name(name), version, ROLLED_BACK)


def _version(client: Any, name: str, version: str) -> Version:
    tags = client.get_model_version(model_name(name), version).tags
    passed = may_serve(tags)
    why = "" if passed else reasons(tags)
    return Version(version, str(tags.get("id", "")), passed, why, undecided=tags.get("gates") == UNDECIDED)
