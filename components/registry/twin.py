"""The champion's judged twin: what of it is fetched to be scored on a candidate's rows, and what gates make of that.

A champion that is a refit was judged as another version, its twin, which has not learnt from the weeks that judged it.
One that is none is its own twin. Scoring is done by the parts; here nothing is scored.
"""

import datetime as dt
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components import conditions, resamples, twins
from components.registry import client as mlflow_client
from components.registry.gate_inputs import Champion, measured
from components.registry.lineage import PARTS, Part
from components.registry.refit import TWIN
from components.registry.release import assemble, model_name
from components.resamples import Resamples
from components.twins import Twin
from feature_repo import files
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError, ServerError
from feature_repo.release_folder import ReleaseFolder
from feature_repo.vocabulary import Vocabulary

if TYPE_CHECKING:
    from mlflow import MlflowClient

OTHER_WEEKS = "it was judged on other weeks of the same data"
TRAINING = "intent/training.json"  # of a result's run


def fetch(name: str, folder: Path, *, data: str) -> Twin:
    """Fetch the twin's release into `folder`/release, if there is one; `data` is the digest of the candidate's data."""
    if mlflow_client.unmade():
        return Twin(why="there is no champion yet")
    with mlflow_client.connected() as client:
        model = mlflow_client.registered_model(client, model_name(name))
        champion = None if model is None else _version(client, name, str(model.aliases.get("champion", "")))
        if champion is None:
            return Twin(why="there is no champion yet")
        version = str(champion.tags.get(TWIN, champion.version))
        held = _version(client, name, version)
        if held is None:
            return Twin(why=f"its judged twin, version {version}, was deleted")
        if any(f"{part}_version" not in held.tags for part in PARTS):
            return Twin(version, why="it is no pair of models")
        training = _training(client, str(held.run_id or ""))
    weeks = training.get("weeks", {}).get("full")
    if not weeks:
        return Twin(version, why=f"nobody knows which weeks version {version} learnt from")
    try:
        released = ReleaseFolder.read(assemble(name, version, folder / twins.RELEASE))
    except (
        DataError,
        ServerError,
    ) as error:  # DataError: it is not signed, as when the keys are new; the run signs its own
        return Twin(version, why=f"version {version} cannot be fetched: {error}")
    files.write_json(folder / twins.INTENT_MODEL, training.get("spec", {}))
    ahead = int(Vocabulary.load(released.ranking / "vocabulary").horizons.max())
    until, split = _until(released.calendar, weeks, ahead), training.get(conditions.KEY, {}).get("split", "")
    return Twin(version, until.isoformat(), split=split if held.tags.get("data") == data else "")


def learnt_steps(name: str) -> int:
    """Return how many steps, from the first to the last, the champion's judged twin learnt from; 0: nobody knows."""
    if mlflow_client.unmade():
        return 0
    with mlflow_client.connected() as client:
        model = mlflow_client.registered_model(client, model_name(name))
        champion = None if model is None else _version(client, name, str(model.aliases.get("champion", "")))
        held = None if champion is None else _version(client, name, str(champion.tags.get(TWIN, champion.version)))
        weeks = _training(client, str(held.run_id or "")).get("weeks", {}).get("full") if held is not None else None
    return max(weeks) - min(weeks) + 1 if weeks else 0


def _version(client: "MlflowClient", name: str, version: str) -> Any | None:
    if not version:
        return None
    found = client.search_model_versions(f"name='{model_name(name)}' and version_number={int(version)}")
    return found[0] if found else None


def _training(client: "MlflowClient", run_id: str) -> dict[str, Any]:
    """Return how the twin's intent model was trained, empty where nobody kept it."""
    from mlflow.exceptions import MlflowException

    try:
        if all(one.path != TRAINING for one in client.list_artifacts(run_id, "intent")):
            return {}
        with tempfile.TemporaryDirectory() as aside:
            found: dict[str, Any] = files.read_json(Path(client.download_artifacts(run_id, TRAINING, aside)))
    except MlflowException:
        return {}
    return found


def _until(calendar: Calendar, weeks: list[int], ahead: int) -> dt.datetime:
    """Return the end of the newest label that was learnt from: it is known at the end of its horizon, in steps."""
    return calendar.start(max(weeks) + ahead).astimezone(dt.UTC)


def on_same_rows(champion: Champion | None, folders: Mapping[Part, Path], *, segments: str) -> Champion | None:
    """Return the champion with the figures of its twin on the candidate's rows, as far as it could be scored there.

    What serving costs stays as it was measured: that is no matter of rows.
    """
    if champion is None:
        return None
    told = [twins.read(folder) for folder in folders.values()]
    if said := next((one.why for one in told if one.why), ""):
        # Of the same data the figures are of the same rows, but under another split; gates say why only if they differ.
        return replace(champion, elsewhere=OTHER_WEEKS if said == twins.SAME_DATA else said)
    metrics: dict[str, Any] = {part: files.read_json(folder / "metrics.json") for part, folder in folders.items()}
    drawn: dict[str, Resamples] = {part: resamples.read(folder) for part, folder in folders.items()}
    found = measured(metrics, segments=segments, resamples=drawn)
    return replace(
        champion,
        values={**champion.values, **found.overall.values},
        cohorts={name: group.values for name, group in found.cohorts.items()},
        segments=segments,
        resamples=drawn,
        retrained=any(one.retrained for one in told),
    )
