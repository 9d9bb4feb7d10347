"""Where a pipeline's result came from: its folders, and the digests that name spec, data, code and features.

Read once at the start of registering; every tag in the registry is made from here. No MLflow in this module.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from components import compression, resamples
from components.registry.gate_metrics import FORECAST
from components.resamples import Resamples
from feature_repo import files
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError
from feature_repo.slice import Slice
from feature_repo.vocabulary import Vocabulary

Part = Literal["intent", "ranking"]
PARTS: tuple[Part, ...] = ("intent", "ranking")
SESSION = "session"  # measured as a part is; its model travels in the intent model's folder, as forecasts do
SETTINGS = "settings.json"  # of an intent model's folder, where a search may have chosen them
# Needed by training only. The first names users; the second holds timings, so equal models would differ; a refit begins
# with the third. The last two are the model that compression held back, kept as a version of its own, and why.
LEFT_OUT = ("out_of_time.parquet", "training.json", "early.safetensors", compression.OTHER, compression.FILE)


class Lineage(Slice):
    """What the pipeline knows before it runs."""

    spec: str = Field(description="Digest of the spec")
    git: str = Field(description="Commit of the code; '-dirty' where files were changed")
    lock: str = Field(description="Digest of requirements.lock")
    feature_services: dict[str, str] = Field(description="Name: digest; one begins with intent, one with ranking")
    params: dict[str, Any] = Field(default={}, description="The spec's slices that a person compares runs by")

    @model_validator(mode="after")
    def _each_part_has_a_service(self) -> "Lineage":
        for part in PARTS:
            if not any(name.startswith(part) for name in self.feature_services):
                raise ValueError(f"feature_services: none begins with '{part}'; have {sorted(self.feature_services)}")
        return self

    def service(self, part: Part) -> tuple[str, str]:
        """Return the name and digest of the feature service that a part reads."""
        return next((name, mark) for name, mark in self.feature_services.items() if name.startswith(part))


@dataclass(frozen=True)
class Folders:
    """The artifacts of one pipeline run."""

    clean: Path
    intent: Path
    intent_evaluation: Path
    ranking: Path
    ranking_evaluation: Path
    session: Path | None = None  # model/ and evaluation/ of intents within a visit; empty where the spec asks for none
    forecasts: Path | None = None  # likewise, of intents of kind regression and multiclass

    @classmethod
    def of(cls, folders: Sequence[str], *, forecasts: str = "") -> "Folders":
        """Name the artifacts of a run, in this order; `forecasts` is '' where the pipeline has no such step."""
        return cls(*map(Path, folders), **({"forecasts": Path(forecasts)} if forecasts else {}))

    @property
    def session_model(self) -> Path | None:
        """Return the session model's folder, if there is one; it travels in the intent model's."""
        return self._of_session("model")

    @property
    def session_evaluation(self) -> Path | None:
        """Return the folder of the session model's evaluation, if there is one."""
        return self._of_session("evaluation")

    @property
    def forecasts_model(self) -> Path | None:
        """Return the forecasts' folder, if there are some; it travels in the intent model's."""
        return _within(self.forecasts, "model")

    @property
    def forecasts_evaluation(self) -> Path | None:
        """Return the folder of the forecasts' evaluation, if there are some."""
        return _within(self.forecasts, "evaluation")

    def _of_session(self, name: str) -> Path | None:
        return _within(self.session, name)

    def model(self, part: Part) -> Path:
        """Return the model folder of a part."""
        return self.intent if part == "intent" else self.ranking

    def evaluation(self, part: Part) -> Path:
        """Return the evaluation folder of a part."""
        return self.intent_evaluation if part == "intent" else self.ranking_evaluation


@dataclass(frozen=True)
class Result:
    """A pipeline's result: folders, lineage and what the folders say about themselves."""

    folders: Folders
    lineage: Lineage
    vocabulary: Vocabulary
    snapshot: dict[str, Any]  # of the data
    metrics: dict[str, Any]  # by part, as in metrics.json
    served: dict[str, Any] = field(default_factory=dict)  # by part, as in served.json
    resamples: dict[str, Resamples] = field(default_factory=dict, repr=False)  # by part; empty in older evaluations

    @classmethod
    def read(cls, folders: Folders, lineage: Lineage) -> "Result":
        """Read what registering needs, and refuse folders that do not belong together."""
        snapshot = _document(folders.clean / "snapshot.json")
        lineage = _resolved(lineage, folders)
        vocabularies = {part: Vocabulary.load(folders.model(part) / "vocabulary") for part in PARTS}
        if vocabularies["intent"].digest != vocabularies["ranking"].digest:
            raise DataError(
                f"{folders.ranking}: vocabulary {vocabularies['ranking'].digest}, but the intent model in "
                f"{folders.intent} has {vocabularies['intent'].digest}; train both on one `profiles` artifact"
            )
        evaluations = {part: folders.evaluation(part) for part in PARTS}
        beside = {SESSION: folders.session_evaluation, FORECAST: folders.forecasts_evaluation}
        judged: dict[str, Path] = {**evaluations} | {name: at for name, at in beside.items() if at is not None}
        return cls(
            folders=folders,
            lineage=lineage,
            vocabulary=vocabularies["intent"],
            snapshot=snapshot,
            metrics={part: _document(at / "metrics.json") for part, at in judged.items()},
            served={part: _served(folders, part) for part in PARTS},
            resamples={part: resamples.read(at) for part, at in judged.items()},
        )

    @property
    def reads_items(self) -> bool:
        """Tell whether the intent model reads which items users had, as one that writes them as text does."""
        return self._text.get("reads") == "items"

    @property
    def _text(self) -> dict[str, Any]:
        return dict(_document(self.folders.model("intent") / "config.json").get("network", {}).get("text") or {})

    @property
    def reads_events(self) -> bool:
        """Tell whether the intent model reads the rows' event memory."""
        config = _document(self.folders.model("intent") / "config.json")
        return "events" in config or self._text.get("reads") == "events" or self.reads_written

    @property
    def reads_written(self) -> bool:
        """Tell whether the intent model reads what users wrote."""
        return self._text.get("reads") == "written"

    @property
    def data(self) -> str:
        """Return the digest of the data."""
        return str(self.snapshot["digest"])

    @property
    def calendar(self) -> Calendar:
        """Return the calendar of the data."""
        return Calendar(**self.snapshot["calendar"])

    @property
    def last(self) -> dt.datetime:
        """Return the instant of the last event."""
        return dt.datetime.fromisoformat(self.snapshot["last"])

    def tags(self) -> dict[str, str]:
        """Return the lineage as tags."""
        lineage = self.lineage
        return {
            "spec": lineage.spec,
            "data": self.data,
            "vocabulary": self.vocabulary.digest,
            "git": lineage.git,
            "lock": lineage.lock,
        } | ({"segments": self.vocabulary.segments} if self.vocabulary.segments else {})


def _resolved(lineage: Lineage, folders: Folders) -> Lineage:
    """Return the lineage with the settings that the model was trained with, where a search chose them."""
    path = folders.intent / SETTINGS
    if not path.is_file():
        return lineage
    return lineage.model_copy(update={"params": lineage.params | {"intent": files.read_json(path)}})


def _within(artifact: Path | None, name: str) -> Path | None:
    """Return a folder of an artifact, if it is there."""
    folder = None if artifact is None else artifact / name
    return folder if folder is not None and folder.is_dir() else None


def _served(folders: Folders, part: Part) -> dict[str, Any]:
    """Return what an evaluation says of serving a part, with the size of the model's files."""
    path = folders.evaluation(part) / "served.json"
    found = files.read_json(path) if path.is_file() else {}
    model = folders.model(part)
    kept = [f for f in model.rglob("*") if f.is_file() and not {*f.relative_to(model).parts} & {*LEFT_OUT}]
    mib = round(sum(file.stat().st_size for file in kept) / 2**20, 3)
    return found | {"memory": {"model_mib": mib} | found.get("memory", {})}


def _document(path: Path) -> Any:
    if not path.is_file():
        raise DataError(
            f"{path}: no such file; the step that makes this folder has not finished, run the pipeline again"
        )
    return files.read_json(path)


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Name the leaves of nested dicts with dots.

    >>> flat({"test": {"map": 0.3}, "weeks": [1, 2]})
    {'test.map': 0.3, 'weeks': [1, 2]}
    """
    if not isinstance(value, dict):
        return {prefix: value}
    leaves: dict[str, Any] = {}
    for key, inner in value.items():
        leaves |= flat(inner, f"{prefix}.{key}" if prefix else str(key))
    return leaves
