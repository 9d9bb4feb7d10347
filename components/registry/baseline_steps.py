"""The registry's two steps of a baseline champion, around those that make the baselines' models: ask whether one is
wanted and of which parts, and register what was made as a release.

Both have effects or depend on what the registry holds now, so they are never cached; both may run again at any time.
They run where `register` held a candidate back. The shells for Kubeflow are in component.py.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from components.registry import aliases, champion, release
from components.registry import client as mlflow_client
from components.registry.baseline_champion import (
    WHY,
    BaselineChampion,
    baselines,
    holds_forecasts_back,
    holds_sessions_back,
    holds_words_back,
    without_model,
)
from components.registry.gate_inputs import measured
from components.registry.lineage import PARTS, Folders, Lineage, Part, Result
from components.registry.steps import UNREGISTERED, registered_parts
from components.step import step
from feature_repo import files


def need_baseline(name: str, version: str, *, evaluations: Sequence[str], baselines_file: str) -> bool:
    """Tell whether a baseline may serve instead of a version that was held back, and write which ones, by part.

    `evaluations` are the folders of the parts' evaluations, in their order. A dry run registered nothing, so it needs
    none.
    """
    with step("need_baseline") as progress:
        wanted = version != UNREGISTERED and aliases.vacant(name, version)
        found: dict[Part, str] = {}
        if wanted:
            metrics = {
                part: files.read_json(Path(at) / "metrics.json") for part, at in zip(PARTS, evaluations, strict=True)
            }
            found = baselines(champion.verdict(name, version), metrics)
        with files.written(Path(baselines_file)) as aside:
            aside.write_text(json.dumps(found))
        progress.count(wanted=wanted, **found)
        progress.tell(wanted=wanted)
    return wanted


def register_baseline(
    name: str,
    *,
    candidate: str,
    replaced: str,
    folders: Sequence[str],
    lineage: str,
    serving: str,
    why: str,
    report: str,
    release_version: str,
    forecasts: str = "",
) -> str:
    """Register the baselines as a release that may serve, and return why, for the registry's record.

    `candidate` is the version that was held back, `replaced` the baselines by part, JSON; `folders` are those of
    `lineage.Folders`, in its order. `why` is the pipeline's reason for what passed, with the run's note.
    """
    with step("register_baseline") as progress:
        at, known, slices = (
            Folders.of(folders, forecasts=forecasts),
            Lineage.model_validate_json(lineage),
            json.loads(serving),
        )
        held = champion.verdict(name, candidate)
        without = holds_sessions_back(held)
        at = replace(at, session=None) if without else at
        mute = holds_forecasts_back(held)
        at = replace(at, forecasts=None) if mute else at
        speechless = holds_words_back(held)
        slices = without_model(slices) if speechless else slices
        result = Result.read(at, known)
        metrics = measured(result.metrics, result.served, segments=result.vocabulary.segments)
        registered = registered_parts(name, at, lineage=known, slices=slices)
        stands_in = BaselineChampion(
            _release_id(name, candidate),
            json.loads(replaced),
            without_sessions=without,
            without_forecasts=mute,
            without_words=speechless,
        )
        with tempfile.TemporaryDirectory() as scratch:
            made = release.make(
                name,
                registered,
                serving=slices,
                verdict=stands_in,
                metrics=metrics.overall.values,
                scratch=Path(scratch),
            )
        aliases.challenge(name, made.version, passed=True, who=aliases.pipeline(), why=WHY)
        with files.written(Path(report)) as aside:
            aside.write_text(stands_in.page(f"Release {made.id} of {name} (version {made.version})"))
        with files.written(Path(release_version)) as aside:
            aside.write_text(made.version)
        progress.tell(version=made.version, release=made.id, baselines=dict(stands_in.baselines))
        progress.count(release=made.id, version=made.version, created=made.created, **stands_in.baselines)
    return "; ".join([WHY, *filter(None, [why.partition("; ")[2]])])


def _release_id(name: str, version: str) -> str:
    with mlflow_client.connected() as client:
        return str(client.get_model_version(release.model_name(name), version).tags["id"])
