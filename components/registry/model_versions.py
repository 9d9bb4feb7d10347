"""One part as an MLflow model: what is packed into it, how it is checked, and its version in the registry.

A model carries its folder, the code it needs and the versions it ran with, so it loads from the registry alone.
It becomes a version only after it was loaded back and asked. Runs and releases are made elsewhere.
"""

import contextlib
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from components.registry import client as mlflow_client
from components.registry import frames
from components.registry.lineage import LEFT_OUT, Part, Result
from feature_repo import columns, files
from feature_repo.checkout import ROOT
from feature_repo.errors import DataError
from feature_repo.release_folder import FORECASTS, SESSION

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Both parts in every model: one process can then load both, whichever it meets first.
CODE = (
    "components/__init__.py",
    "components/leaf_tables.py",
    "components/member_digests.py",
    "components/served_form.py",
    "components/intent",
    "components/ranking",
    "components/training",
    "components/registry/__init__.py",
    "components/registry/frames.py",
    "feature_repo",
)
REQUIREMENTS: dict[Part, tuple[str, ...]] = {
    "intent": (
        "mlflow",
        "numpy",
        "pandas",
        "pyarrow",
        "pydantic",
        "safetensors",
        "scipy",
        "tokenizers",
        "torch",
        "transformers",
    ),
    "ranking": ("mlflow", "numpy", "pandas", "pyarrow", "pydantic", "safetensors", "scipy", "torch"),
}


@dataclass(frozen=True)
class Version:
    """A version of a registered model."""

    name: str
    version: str
    digest: str  # of the model folder as registered
    files: dict[str, str]  # the folder's files: sha256
    created: bool  # False where an equal one was there


def staged(folder: Path, scratch: Path, *, session: Path | None = None, forecasts: Path | None = None) -> Path:
    """Copy a model folder, without the files that only training needs, to `scratch/model`; what goes with it into it.

    `session` and `forecasts` are the folders of the session model and of the forecasts, None where there are none.
    """
    for name in ("weights.safetensors", "config.json"):
        if not (folder / name).is_file():
            raise DataError(f"{folder}: no {name}; this is no trained model, run the pipeline again")
    copied = Path(
        shutil.copytree(folder, scratch / frames.MODEL, ignore=shutil.ignore_patterns("__pycache__", *LEFT_OUT))
    )
    for name, beside in ((SESSION, session), (FORECASTS, forecasts)):
        if beside is not None:
            shutil.copytree(beside, copied / name)
    return copied


def code(scratch: Path) -> list[str]:
    """Copy the code that a model needs, without caches, and return its top folders."""
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
    for place in CODE:
        target = scratch / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / place).is_dir():
            shutil.copytree(ROOT / place, target, ignore=ignore)
        else:
            shutil.copyfile(ROOT / place, target)
    return sorted(str(folder) for folder in scratch.iterdir())


def requirements(part: Part, folder: Path) -> list[str]:
    """Pin the packages that loading a part needs to the versions installed here."""
    from importlib.metadata import version

    names = (*REQUIREMENTS[part], *(further(folder) if part == "intent" else ()))
    return [f"{name}=={version(name).split('+')[0]}" for name in names]


def further(folder: Path) -> tuple[str, ...]:
    """Return what an intent model's folder asks for beyond REQUIREMENTS: what runs a text encoder in int8."""
    path = folder / "config.json"
    network = files.read_json(path).get("network", {}) if path.is_file() else {}
    return ("onnxruntime",) if "onnx" in (network.get("text") or {}) else ()


def example(part: Part, result: Result, *, windows_days: Sequence[float]) -> pd.DataFrame:
    """Make the input example of a part."""
    lists: tuple[str, ...] = frames.INTENT_LISTS if part == "intent" else frames.RANKING_LISTS
    if part == "ranking" and result.vocabulary.people:
        lists += columns.RECEIVED_LISTS
    if part == "intent" and result.reads_items:
        lists += columns.TOLD_LISTS
    if part == "intent" and result.reads_events:
        lists += columns.EVENT_LISTS
    if part == "intent" and result.reads_written:
        lists += columns.EVENT_TEXT_LISTS
    frame = frames.example(lists=lists, windows_days=windows_days, last=result.last, calendar=result.calendar)
    if part == "ranking":
        frame[frames.PROBABILITIES] = [[0.5] * len(result.vocabulary.targets)] * len(frame)
    return frame


def log(
    part: Part,
    folder: Path,
    *,
    result: Result,
    frame: pd.DataFrame,
    tags: dict[str, str],
    scratch: Path,
    named: str = "",
) -> str:
    """Log a staged model folder in the active run, load it back, ask it, and return the logged model's id.

    `named` is the logged model's name; left out: the part's.
    """
    import mlflow

    with _process_kept():
        info = mlflow.pyfunc.log_model(
            name=named or part,
            python_model=str(Path(__file__).with_name(f"{part}_pyfunc.py")),
            artifacts={frames.MODEL: str(folder)},
            signature=_signature(part, frame),
            input_example=frame,
            pip_requirements=requirements(part, folder),
            code_paths=code(scratch / "code"),
            metadata={"targets": result.vocabulary.target_names, "digest": tags["digest"]},
            tags=tags,
        )
        target = scratch / "loaded"
        target.mkdir(parents=True)
        answer = mlflow.pyfunc.load_model(info.model_uri, dst_path=str(target)).predict(frame)
    if len(answer) != len(frame):
        raise DataError(f"{part}: the model answered {len(answer)} rows for {len(frame)}; it was not registered")
    return str(info.model_id)


def clear(client: "MlflowClient", run_id: str, named: str) -> None:
    """Delete what an interrupted attempt logged in a run without making it a version."""
    experiment = client.get_run(run_id).info.experiment_id
    for left in client.search_logged_models([experiment], f"source_run_id = '{run_id}' AND name = '{named}'"):
        client.delete_logged_model(left.model_id)


def version(client: "MlflowClient", model: str, *, model_id: str, run_id: str, tags: dict[str, str]) -> str:
    """Make a version of a logged model, tags and all, in one step."""
    if mlflow_client.registered_model(client, model) is None:
        client.create_registered_model(model)
    return str(client.create_model_version(model, f"models:/{model_id}", run_id, tags=tags, model_id=model_id).version)


def _signature(part: Part, frame: pd.DataFrame) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array

    user = ColSpec(DataType.string, columns.USER_ID)
    if part == "intent":
        return ModelSignature(
            inputs=frames.schema(frame), outputs=Schema([user, ColSpec(Array(DataType.double), frames.PROBABILITIES)])
        )
    kinds = {"item_ids": DataType.string, "scores": DataType.double, "sources": DataType.string}
    return ModelSignature(
        inputs=frames.schema(frame),
        outputs=Schema([user, *(ColSpec(Array(kind), name) for name, kind in kinds.items())]),
        params=ParamSchema([ParamSpec("k", DataType.long, frames.DEFAULT_K)]),
    )


@contextlib.contextmanager
def _process_kept() -> Iterator[None]:
    """Load models without a trace: the import path stays, and no byte code lands in what is logged."""
    path, bytecode = list(sys.path), sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.path[:], sys.dont_write_bytecode = path, bytecode
