"""An encoder that a spec names by another recommender's alias or version, such as shop@champion, as folder and digest.

An alias moves, so it is turned into a version once, where a run's slices are made: the release is fetched whole and
verified, and the slice holds `home:<folder>@<digest of the weights>`, which the training step checks again. Of the
release stays what a transfer reads: weights, config and vocabulary.
"""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from components.intent.networks import NETWORKS
from components.intent.numpy_net import CONFIG, WEIGHTS
from components.intent.score import VOCABULARY
from components.intent.transfer_source import HERE, PLACE
from feature_repo import files
from feature_repo.errors import DataError, SpecError
from feature_repo.release_folder import ReleaseFolder
from feature_repo.vocabulary import Vocabulary
from pipelines.environment import exported
from pipelines.spec import Recommender

FOLDER = "encoders"  # below the state folder
NAMED = re.compile(r"(?P<name>[a-z][a-z0-9-]*)@(?P<which>[\w-]+)")
DIGEST = re.compile(r"[0-9a-f]{12}")
SQLITE = "sqlite:///"
URI = "MLFLOW_TRACKING_URI"


def named(source: str | None) -> tuple[str, str] | None:
    """Return the recommender and the alias or version that a source names; None of a folder, and of none.

    >>> named("shop@champion"), named("shop@7"), named("./shop/intent@0123456789ab"), named("shop@0123456789ab")
    (('shop', 'champion'), ('shop', '7'), None, None)
    """
    found = NAMED.fullmatch(source or "")
    return None if found is None or DIGEST.fullmatch(found["which"]) else (found["name"], found["which"])


def asked(spec: Recommender) -> tuple[str, str] | None:
    """Return the recommender and the alias or version whose encoder a spec begins with; None where it names none."""
    pretrain = spec.models.intent.pretrain
    return None if pretrain is None else named(pretrain.source)


def pinned(spec: Recommender, *, home: Path, variables: Mapping[str, str]) -> str | None:
    """Return the source that a spec's alias stands for now, fetched into the state folder; None where it names none.

    `variables` are the environment's: where MLflow is. Raises SpecError or DataError where it cannot be used.
    """
    told = asked(spec)
    if told is None:
        return None
    name, which = told
    if name == spec.name:
        raise SpecError(
            f"{PLACE}: {name}@{which} is this recommender's own, which has learnt from the weeks that judge; name "
            "another recommender, or drop source"
        )
    from components.registry import client as mlflow_client
    from components.registry import release

    uri = _registry(name, home, variables)
    with exported({**variables, URI: uri}):
        if mlflow_client.unmade():
            raise SpecError(
                f"{PLACE}: {name}@{which}: no registry at {uri}; run the pipeline of '{name}' first, or give both "
                "environments one mlflow.tracking_uri"
            )
        with mlflow_client.connected() as client:
            version = release.resolve(client, name, which)
        folder = home / FOLDER / name / version
        if not (folder / WEIGHTS).is_file():
            _fetch(name, version, folder)
    return f"{HERE}{folder.relative_to(home)}@{files.file_digest(folder / WEIGHTS)}"


def _registry(name: str, home: Path, variables: Mapping[str, str]) -> str:
    """Return where the other's registry is: the own one, but a database in the state folder has a neighbour's place."""
    own = variables.get(URI, "")
    inside = f"{SQLITE}{home}{os.sep}"
    return f"{SQLITE}{home.parent / name}{os.sep}{own.removeprefix(inside)}" if own.startswith(inside) else own


def _fetch(name: str, version: str, folder: Path) -> None:
    """Fetch what a transfer reads of a version: whole, or not at all."""
    from components.registry import release

    scratch = folder.with_name(f".{folder.name}")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        intent = ReleaseFolder.read(release.assemble(name, version, scratch)).intent
        _require_network(intent, f"{name}@{version}")
        with files.written_folder(folder) as aside:
            for part in (WEIGHTS, CONFIG):
                shutil.copyfile(intent / part, aside / part)
            shutil.copytree(intent / VOCABULARY, aside / VOCABULARY)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _require_network(intent: Path, said: str) -> None:
    """Refuse a release whose intent model is no network of steps, or whose vocabulary names people."""
    config = files.read_json(intent / CONFIG)
    network, over = config.get("network", {}), " over events" if "events" in config else ""
    if network.get("architecture") not in NETWORKS or "events" in config:
        raise DataError(
            f"{PLACE}: {said} has an intent model of architecture {network.get('architecture')}{over}, and what is "
            "carried is an encoder of steps; name another, or drop source"
        )
    if Vocabulary.load(intent / VOCABULARY).people:
        raise DataError(
            f"{PLACE}: {said} recommends people, whose names would be kept here, where its `forget` does not reach; "
            "name another, or drop source"
        )
