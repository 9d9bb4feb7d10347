"""What forgetting a person means for the registry: versions that were trained with them are marked, artifacts that
a server keeps are looked through.

A model holds no row of a person, but it cannot be made again from the data that is left, and it learnt from them:
so its versions say that they are not reproducible and that retraining is due. Nothing is deleted here.
"""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.registry import client as mlflow_client
from components.registry.lineage import PARTS
from components.registry.release import model_name
from feature_repo.erasure import FILE as ERASED
from feature_repo.erasure import Written

if TYPE_CHECKING:
    from mlflow import MlflowClient

REPRODUCIBLE = "reproducible"  # a version's tag: 'false' where its data is not whole any more
RETRAINING = "retraining"  # a version's tag: 'due'
REASON = "retraining_reason"
SINCE = "retraining_since"
DUE = "due"
MOST = 10_000  # runs that are looked at


def mark(name: str, data: Mapping[str, bool], *, when: str) -> list[str]:
    """Mark every version that was trained with the forgotten person; return all that are due, as 'shop-release/3'.

    `data` says of each digest of data at hand whether the person is in it. A version of data that is not at hand any
    more is marked too: nobody can tell.
    """
    marked = []
    with mlflow_client.connected() as client:
        for model in _models(name):
            for version in client.search_model_versions(f"name='{model}'"):
                named = f"{model}/{version.version}"
                if version.tags.get(RETRAINING) == DUE:
                    marked.append(named)
                    continue
                with_them = data.get(version.tags.get("data", ""))
                if with_them is False:
                    continue
                known = "was trained with" if with_them else "may have been trained with"
                tags = {
                    REASON: f"{known} data of a person who was forgotten",
                    SINCE: when,
                    REPRODUCIBLE: "false",
                    RETRAINING: DUE,  # last: a call that is cut short is done again
                }
                for key, value in tags.items():
                    client.set_model_version_tag(model, str(version.version), key, value)
                marked.append(named)
    return marked


def look_through(
    name: str,
    *,
    here: Callable[[str], bool],
    names_them: Callable[[str], bool],
    clean: Callable[[Path], int],
    item_tables: Callable[[Path], Sequence[Path]] = lambda folder: (),
    erase: Callable[[Path, Written], int] | None = None,
) -> tuple[int, list[str], int]:
    """Look through what MLflow keeps of a recommender: texts of runs and versions, and artifacts that are elsewhere.

    `here` tells of an artifact address that it is a folder whose files are looked through anyway; `clean` takes
    traces out of a downloaded file. `item_tables` finds tables of vocabularies that name people within a downloaded
    folder, and `erase` empties their rows; None: it may not. Returns how many artifacts were looked at, what is left,
    and how many item tables still name people.
    """
    with mlflow_client.connected() as client:
        if (experiment := client.get_experiment_by_name(name)) is None:
            return 0, [], 0
        runs = client.search_runs([experiment.experiment_id], max_results=MOST)
        versions = [v for model in _models(name) for v in client.search_model_versions(f"name='{model}'")]
        left = [f"run {run.info.run_id}" for run in runs if names_them(json.dumps(run.to_dictionary(), default=str))]
        left += [f"{v.name}/{v.version}" for v in versions if names_them(json.dumps([dict(v.tags), v.description]))]
        if here(experiment.artifact_location):
            return 0, left, 0
        looked, tables = sum(_artifacts(client, run.info.run_id, clean=clean) for run in runs), 0
        for version in versions:
            count, stay = _model(client, version, clean=clean, left=left, item_tables=item_tables, erase=erase)
            looked, tables = looked + count, tables + stay
        return looked, left, tables


def _models(name: str) -> tuple[str, ...]:
    return (*(f"{name}-{part}" for part in PARTS), model_name(name))


def _artifacts(client: "MlflowClient", run_id: str, *, clean: Callable[[Path], int]) -> int:
    """Download a run's artifacts and put back what had to be cleaned."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(client.download_artifacts(run_id, "", scratch))
        files = [path for path in folder.rglob("*") if path.is_file()]
        for path in files:
            if clean(path):
                client.log_artifact(run_id, str(path), str(path.parent.relative_to(folder)))
    return len(files)


def _model(
    client: "MlflowClient",
    version: Any,
    *,
    clean: Callable[[Path], int],
    left: list[str],
    item_tables: Callable[[Path], Sequence[Path]],
    erase: Callable[[Path, Written], int] | None,
) -> tuple[int, int]:
    """Look through a version's files; return how many there are, and how many item tables still name people.

    They are verified by digest, so a trace there is told and not mended; rows of item tables are emptied with a note
    that the digest bears, and each written file is put back in the order that keeps the version whole.
    """
    import mlflow
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    with tempfile.TemporaryDirectory() as scratch:
        uri = f"models:/{version.name}/{version.version}"
        folder = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(Path(scratch) / "model")))
        files = [path for path in folder.rglob("*") if path.is_file()]
        left += [f"{uri}/{path.relative_to(folder)}" for path in files if clean(path)]
        vocabularies = {path.parent for path in item_tables(folder)} | {p.parent for p in files if p.name == ERASED}
        if erase is not None and vocabularies:
            at = get_artifact_repository(_place(client, version))
            for one in sorted(vocabularies):
                erase(one, lambda path: at.log_artifact(str(path), str(path.parent.relative_to(folder))))
        return len(files), len(item_tables(folder))


def _place(client: "MlflowClient", version: Any) -> str:
    """Return the address under which the files of a version lie: a logged model's, or a folder of a run."""
    source = str(version.source)
    if not source.startswith("models:/"):
        return source
    return str(client.get_logged_model(source.removeprefix("models:/")).artifact_location)
