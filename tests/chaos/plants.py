"""Bad releases, made as they come about: registered like any other, their fault in a model or in the code."""

import copy
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from components.registry import client as mlflow_client
from feature_repo import file_set, files
from pipelines.releases import release as releases
from pipelines.releases.release import variables
from tests.chaos.stage import Stage

if TYPE_CHECKING:
    from mlflow import MlflowClient

Change = Callable[[Path], None]
FAULT = '        """Recommend items to a user."""\n'


def registered(stage: Stage, *, k: int, ranking: Change | None = None) -> str:
    """Register the first release again, told from it by its `k`, with a changed ranking model; return its version."""
    import mlflow

    place = stage.place
    folder = releases.assembled(place, "1")
    document = copy.deepcopy(files.read_json(folder / "release.json"))
    document["serving"]["serving"]["k"] = k
    with variables(place), mlflow_client.connected() as client, tempfile.TemporaryDirectory() as scratch:
        first = client.get_model_version("shop-release", "1")
        listed = json.loads(Path(mlflow.artifacts.download_artifacts("models:/shop-release/1/files.json")).read_text())
        if ranking is not None:
            document["ranking"], listed["ranking"] = _model(client, Path(scratch), ranking)
        document["id"] = files.digest({key: value for key, value in document.items() if key != "id"})
        made = Path(scratch) / "release"
        files.write_json(made / "release.json", document)
        files.write_json(made / "files.json", listed)
        at = f"release/{document['id']}"
        client.log_artifacts(first.run_id, str(made), at)
        source = f"{client.get_run(first.run_id).info.artifact_uri}/{at}"
        tags = {key: first.tags[key] for key in ("gates", "verdict", "metrics")} | {"id": document["id"]}
        return str(client.create_model_version("shop-release", source, first.run_id, tags=tags).version)


def _model(client: "MlflowClient", scratch: Path, change: Change) -> tuple[dict[str, str], dict[str, str]]:
    """Register a changed ranking model; return what release.json and files.json say of it."""
    import mlflow

    first = client.get_model_version("shop-ranking", "1")
    whole = Path(mlflow.artifacts.download_artifacts("models:/shop-ranking/1", dst_path=str(scratch / "whole")))
    folder = whole / "artifacts" / "model"
    change(folder)
    digest = file_set.digest(folder)
    at = f"planted/{digest}"
    client.log_artifacts(first.run_id, str(whole), at)
    source = f"{client.get_run(first.run_id).info.artifact_uri}/{at}"
    made = client.create_model_version("shop-ranking", source, first.run_id, tags=first.tags | {"digest": digest})
    return {"version": str(made.version), "digest": digest}, file_set.listed(folder)


def upside_down(folder: Path) -> None:
    """Turn the ranking model's last layer around: what is best comes last."""
    from safetensors.numpy import load_file, save_file

    path = folder / "weights.safetensors"
    weights = load_file(path)
    layers = {name.rpartition(".")[0] for name in weights}
    last = max((name for name in layers if name.startswith("body.")), key=lambda name: int(name.split(".")[1]))
    turned = {"skip", last}  # the score is the sum of what these two give
    assert turned <= layers
    save_file({name: -w if name.rpartition(".")[0] in turned else w for name, w in weights.items()}, path)


def another_vocabulary(folder: Path) -> None:
    """Give the ranking model a vocabulary in which two intents have changed places, as after another run's data."""
    from dataclasses import replace

    from feature_repo.vocabulary import Vocabulary

    known = Vocabulary.load(folder / "vocabulary")
    first, second, *rest = known.targets
    shutil.rmtree(folder / "vocabulary")
    replace(known, targets=(second, first, *rest)).save(folder / "vocabulary")


def broken_code(stage: Stage, version: str, line: str) -> None:
    """Build a release's Bento and put a line into the code in it that answers /recommend."""
    place = stage.place
    _, tag = releases.built(place, version)
    source = place.home / "bentoml" / "bentos" / Path(*tag.split(":")) / "src" / "bentos" / "recommender" / "door.py"
    text = source.read_text()
    assert text.count(FAULT) == 1
    source.write_text(text.replace(FAULT, f"{FAULT}        {line}\n"))
