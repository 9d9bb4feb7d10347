"""The release that serves in place of the one that was judged: the same pair, refitted on all ripe weeks.

It carries the verdict of its judged twin and names it, by version and by the digests of both its models. The twin stays
in the registry: figures, gates and later comparisons are of it, since nothing is left that could judge the refit.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components import conditions
from components.registry import client as mlflow_client
from components.registry.gate_metrics import FORECAST
from components.registry.lineage import PARTS, SESSION, Folders
from components.registry.register import RegisteredParts
from components.registry.release import (
    BYTES,
    DESCRIPTION_CHARACTERS,
    TOLERANCE,
    VERDICT,
    Release,
    document,
    fetched,
    kept,
    model_name,
)
from feature_repo import files
from feature_repo.errors import DataError
from feature_repo.release_folder import FILE, FORECASTS

if TYPE_CHECKING:
    from mlflow import MlflowClient

SESSION_WEIGHTS = "weights.npz"  # of a session model's folder, and of forecasts
TWIN = "judged_version"  # a version's tag: the release that it is a refit of
TWIN_ID = "judged_release"
OF_VERDICT = ("gates", VERDICT, TOLERANCE, "metrics")  # tags that a refit has from its twin


def twin(name: str, version: str, folders: Folders) -> dict[str, Any]:
    """Return what release.json says of the judged release; refuse models that are no refits of its own."""
    with tempfile.TemporaryDirectory() as aside, mlflow_client.connected():
        place = f"{model_name(name)}/{version}"
        released = files.read_json(fetched(place, FILE, Path(aside)))
        listed = files.read_json(fetched(place, BYTES, Path(aside)))
    proofs: dict[str, dict[str, Any]] = {
        part: _proof(folders.model(part), part, listed[part][conditions.WEIGHTS], place) for part in PARTS
    }
    session = folders.session_model
    # A pipeline that an earlier version compiled hands the judged session model on as it is, without a proof.
    if session is not None and (session / conditions.FILE).is_file():
        proofs |= {SESSION: _proof(session, SESSION, listed["intent"][f"{SESSION}/{SESSION_WEIGHTS}"], place)}
    forecasts = folders.forecasts_model
    if forecasts is not None:
        weights = listed["intent"][f"{FORECASTS}/{SESSION_WEIGHTS}"]
        proofs |= {FORECAST: _proof(forecasts, FORECAST, weights, place)}
    return {
        "id": released["id"],
        "version": version,
        **{part: released[part] for part in PARTS},
        conditions.KEY: {part: proof[conditions.KEY] for part, proof in proofs.items()},
        # What goes with the judged intent model is within its digest; this one says which weights it had.
        **{name: proofs[name][conditions.JUDGED] for name in (SESSION, FORECAST) if name in proofs},
        "weeks": {part: [min(proof["weeks"]), max(proof["weeks"])] for part, proof in proofs.items()},
    }


def _proof(folder: Path, part: str, judged: str, place: str) -> dict[str, Any]:
    """Return what a refitted model says of itself, if it is one of the model whose weights have the digest `judged`."""
    found: dict[str, Any] = files.read_json(folder / conditions.FILE)
    if found[conditions.JUDGED] != judged:
        raise DataError(
            f"{place}: the refitted {part} model is one of other weights ({found[conditions.JUDGED][:12]}) than were "
            f"judged ({judged[:12]}); run the pipeline again"
        )
    return found


def make(
    name: str, registered: RegisteredParts, *, judged: Mapping[str, Any], serving: dict[str, Any], scratch: Path
) -> Release:
    """Make the release of refitted models, with the verdict on its twin, or find it."""
    released = document(name, registered, serving, judged=judged)
    version = str(judged["version"])
    with mlflow_client.connected() as client:
        held = client.get_model_version(model_name(name), version)
        tags = {key: held.tags[key] for key in OF_VERDICT} | {TWIN: version, TWIN_ID: str(judged["id"])}
        _name_twins(client, registered, judged)
    about = f"Refit of version {version} on all ripe weeks; judged was that version.\n\n{held.description or ''}"
    return kept(registered, released, tags=tags, about=about[:DESCRIPTION_CHARACTERS], scratch=scratch)


def _name_twins(client: "MlflowClient", registered: RegisteredParts, judged: Mapping[str, Any]) -> None:
    """Say of the refitted models and of their run whose figures they carry."""
    client.set_tag(registered.run_id, TWIN, judged["version"])
    for part, at in registered.versions.items():
        client.set_model_version_tag(at.name, at.version, TWIN, judged[part]["version"])


def said(judged: Mapping[str, Any]) -> str:
    """Say of which release one is the refit.

    >>> said({"version": "3", "weeks": {"intent": [5, 20], "ranking": [15, 20]}})
    'refit of version 3 on weeks 5 to 20, the ranker on 15 to 20'
    """
    (first, last), (of_ranker, to) = judged["weeks"]["intent"], judged["weeks"]["ranking"]
    return f"refit of version {judged['version']} on weeks {first} to {last}, the ranker on {of_ranker} to {to}"
