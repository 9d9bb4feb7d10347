"""Where a pipeline's result came from: its folders, and the digests that name spec, data, code and features.

Read once at the start of registering; every tag in the registry is made from here. No MLflow in this module.
"""

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from components import resamples
from components.resamples import Resamples
from feature_repo import files
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError
from feature_repo.slice import Slice
from feature_repo.vocabulary import Vocabulary

Part = Literal["intent", "ranking"]
PARTS: tuple[Part, ...] = ("intent", "ranking")
SESSION = "session"  # measured as a part is; its model travels in the intent model's folder
# Needed by training only. The first names users; the second holds timings, so equal models would differ; a refit begins
# with the third.
LEFT_OUT = ("out_of_time.parquet", "training.json", "early.safetensors")


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

    @property
    def session_model(self) -> Path | None:
        """Return the session model's folder, if there is one; it travels in the intent model's."""
        return self._of_session("model")

    @property
    def session_evaluation(self) -> Path | None:
        """Return the folder of the session model's evaluation, if there is one."""
        return self._of_session("evaluation")

    def _of_session(self, name: str) -> Path | None:
        folder = None if self.session is None else self.session / name
        return folder if folder is not None and folder.is_dir() else None

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
        vocabularies = {part: Vocabulary.load(folders.model(part) / "vocabulary") for part in PARTS}
        if vocabularies["intent"].digest != vocabularies["ranking"].digest:
            raise DataError(
                f"{folders.ranking}: vocabulary {vocabularies['ranking'].digest}, but the intent model in "
                f"{folders.intent} has {vocabularies['intent'].digest}; train both on one `profiles` artifact"
            )
        evaluations = {part: folders.evaluation(part) for part in PARTS}
        session = folders.session_evaluation
        judged: dict[str, Path] = {**evaluations} | ({SESSION: session} if session is not None else {})
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
        return "events" in config or self._text.get("reads") == "events"

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


def _served(folders: Folders, part: Part) -> dict[str, Any]:
    """Return what an evaluation says of serving a part, with the size of the model's files."""
    path = folders.evaluation(part) / "served.json"
    found = files.read_json(path) if path.is_file() else {}
    kept = [file for file in folders.model(part).rglob("*") if file.is_file() and file.name not in LEFT_OUT]
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
