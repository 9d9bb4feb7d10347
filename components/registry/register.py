"""A pipeline's result in MLflow: one run that tells what was measured, and a version of each of the two models.

The run and the versions are found again by digests, so registering twice, or once more after a crash or a lost
server, makes nothing new. Gates, releases and aliases come after, elsewhere.
"""

import math
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components import compression, resamples
from components.registry import client as mlflow_client
from components.registry import model_versions
from components.registry.lineage import PARTS, SESSION, Folders, Lineage, Part, Result, flat
from components.registry.model_versions import Version
from feature_repo import columns, env_names, fallback, file_set, files
from feature_repo.release_folder import FORECASTS

if TYPE_CHECKING:
    from mlflow import MlflowClient

RESULT = "intentflow.result"  # the run's tag by which it is found again
KUBEFLOW_RUN = "intentflow.kubeflow_run"  # its tag that names Kubeflow's run, where a pod registered it
GROUPS = ("test", "validate", "baselines", "cohorts", "privacy")  # of metrics.json
EVALUATION = (
    "card.md",
    "metrics.json",
    "served.json",
    "classification.json",
    "importance.json",
    resamples.FILE,
)  # files of an evaluation folder that people and later gates read
PARAMS_AT_ONCE = 100  # MLflow's limits of one request
METRICS_AT_ONCE = 900
# Tags of an intent model's version that compression was asked for: which of both it is, what was found, and of the one
# that does not serve the version that does.
VARIANT, COMPRESSION, VARIANT_OF = "variant", "compression", "variant_of"


@dataclass(frozen=True)
class RegisteredParts:
    """Where a result stands in the registry."""

    run_id: str
    result: Result
    versions: dict[str, Version]  # by part

    @property
    def created(self) -> bool:
        """Whether any version was made."""
        return any(version.created for version in self.versions.values())


def register(
    name: str, folders: Folders, *, lineage: Lineage, windows_days: Sequence[float] = columns.WINDOWS_DAYS
) -> RegisteredParts:
    """Log a result's run once and make a version of each model that the registry does not hold."""
    result = Result.read(folders, lineage)
    with tempfile.TemporaryDirectory() as aside, mlflow_client.connected() as client:
        scratch = Path(aside)
        within = {"intent": {"session": folders.session_model, "forecasts": folders.forecasts_model}}
        staged = {
            part: model_versions.staged(folders.model(part), scratch / part, **within.get(part, {})) for part in PARTS
        }
        digests = {part: file_set.digest(folder) for part, folder in staged.items()}
        run = _run(client, name, mark=files.digest({"models": digests, "metrics": result.metrics}))
        versions = {part: _found(client, f"{name}-{part}", digests[part], staged[part]) for part in PARTS}
        variant = _unkept_variant(client, name, folders, scratch)
        if run.info.status != "FINISHED" or None in versions.values() or variant is not None:
            _describe(client, name, run, result, scratch)
            for part in PARTS:  # the intent model first: the ranker's version names it
                tags = _tags(part, result, digest=digests[part], intent=versions["intent"])
                versions[part] = versions[part] or _made(
                    client, name, part, staged[part], run=run, result=result, tags=tags, windows_days=windows_days
                )
            if variant is not None and (beside := versions["intent"]) is not None:
                _keep_variant(client, name, variant, beside=beside, run=run, result=result, windows_days=windows_days)
            client.set_terminated(run.info.run_id)
    return RegisteredParts(run.info.run_id, result, {part: at for part, at in versions.items() if at})


def _found(client: "MlflowClient", model: str, digest: str, folder: Path) -> Version | None:
    """Return the version that holds an equal model folder, or None."""
    found = mlflow_client.version_tagged(client, model, "digest", digest)
    return Version(model, str(found.version), digest, file_set.listed(folder), created=False) if found else None


def _unkept_variant(client: "MlflowClient", name: str, folders: Folders, scratch: Path) -> Path | None:
    """Stage the model that compression held back; None where there is none, or the registry holds it."""
    if not (folders.intent / compression.OTHER).is_dir():
        return None
    folder = model_versions.staged(folders.intent / compression.OTHER, scratch / compression.OTHER)
    held = _found(client, f"{name}-intent", file_set.digest(folder), folder)
    return folder if held is None else None


def _keep_variant(
    client: "MlflowClient",
    name: str,
    folder: Path,
    *,
    beside: Version,
    run: Any,
    result: Result,
    windows_days: Sequence[float],
) -> None:
    """Make a version of the staged model that compression compared the served one with.

    No release names it, and no alias; its tags say of which version it is a variant.
    """
    told = compression.read(result.folders.intent) or {}
    tags = _tags("intent", result, digest=file_set.digest(folder), intent=None) | {
        VARIANT: compression.other(told),
        VARIANT_OF: beside.version,
    }
    for judged in ("metrics", "cohorts"):  # of the served model's test rows
        tags.pop(judged)
    _made(
        client,
        name,
        "intent",
        folder,
        run=run,
        result=result,
        tags=tags,
        windows_days=windows_days,
        named="intent_variant",
    )


def _run(client: "MlflowClient", name: str, *, mark: str) -> Any:
    """Find the run of this very result, finished or not, or open one."""
    experiment = mlflow_client.experiment_id(client, name)
    found = client.search_runs([experiment], f"tags.`{RESULT}` = '{mark}'", max_results=1)
    if found:
        return found[0]
    tags = {
        RESULT: mark,
        "mlflow.user": mlflow_client.user(),
        "mlflow.source.name": "intentflow",
        "mlflow.source.type": "JOB",
    }
    if kubeflow := os.environ.get(env_names.RUN):
        tags[KUBEFLOW_RUN] = kubeflow
    return client.create_run(experiment, tags=tags, run_name=f"{name}-{mark}")


def _describe(client: "MlflowClient", name: str, run: Any, result: Result, scratch: Path) -> None:
    """Log parameters, metrics, tags, data and reports; saying it twice says it once."""
    from mlflow.entities import Metric, Param, RunTag

    run_id = run.info.run_id
    params = [Param(key, _text(value)) for key, value in flat(result.lineage.params).items()]
    # One time for all: a repeated batch is the same rows, not more of them.
    metrics = [Metric(key, value, run.info.start_time, 0) for key, value in _metrics(result).items()]
    metrics += [Metric(key, value, run.info.start_time, step) for key, value, step in _curves(result)]
    for at in range(0, len(params), PARAMS_AT_ONCE):
        client.log_batch(run_id, params=params[at : at + PARAMS_AT_ONCE])
    for at in range(0, len(metrics), METRICS_AT_ONCE):
        client.log_batch(run_id, metrics=metrics[at : at + METRICS_AT_ONCE])
    client.log_batch(run_id, tags=[RunTag(key, value) for key, value in result.tags().items()])
    client.log_inputs(run_id, [_dataset(name, result)])
    client.log_artifacts(run_id, str(_reports(result, scratch / "reports")))


def _made(
    client: "MlflowClient",
    name: str,
    part: Part,
    folder: Path,
    *,
    run: Any,
    result: Result,
    tags: dict[str, str],
    windows_days: Sequence[float],
    named: str = "",
) -> Version:
    """Log a model that the registry does not hold, `named` as the part where nothing else is said; make a version."""
    import mlflow

    run_id = run.info.run_id
    model_versions.clear(client, run_id, named or part)
    frame = model_versions.example(part, result, windows_days=windows_days)
    with mlflow.start_run(run_id=run_id):
        model_id = model_versions.log(
            part, folder, result=result, frame=frame, tags=tags, scratch=folder.parent, named=named
        )
    number = model_versions.version(client, f"{name}-{part}", model_id=model_id, run_id=run_id, tags=tags)
    return Version(f"{name}-{part}", number, tags["digest"], file_set.listed(folder), created=True)


def _tags(part: Part, result: Result, *, digest: str, intent: Version | None) -> dict[str, str]:
    """Return what a version of a part carries."""
    service, mark = result.lineage.service(part)
    document = result.metrics[part]
    tags = result.tags() | {
        "digest": digest,
        "feature_service": service,
        "feature_service_digest": mark,
        "metrics": files.canonical(document.get("test", {})),
        "cohorts": files.canonical(document.get("cohorts", {})),
    }
    if part == "intent" and (told := compression.read(result.folders.intent)) is not None:
        tags |= {VARIANT: told["taken"], COMPRESSION: files.canonical(told)}
    if intent is not None:  # the intents that a ranker saw in training
        tags |= {"intent_version": intent.version, "intent_digest": intent.digest}
    return tags


def _metrics(result: Result) -> dict[str, float]:
    """Name every measured number, as intent.test.map or ranking.baselines.popular.ndcg_at_10."""
    found: dict[str, float] = {}
    for part in result.metrics:
        document = {group: result.metrics[part].get(group, {}) for group in GROUPS}
        for key, value in flat(document, part).items():
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                found[re.sub(r"[^\w\-. :/]", "_", key)[:250]] = float(value)
    return dict(list(found.items())[:METRICS_AT_ONCE])


def _curves(result: Result) -> list[tuple[str, float, int]]:
    """Return how training went, as metrics by epoch: intent.full.validate_bce and so on, value and number from 1."""
    found: list[tuple[str, float, int]] = []
    for part in PARTS:
        path, step = result.folders.model(part) / "training.json", Counter[str]()
        for epoch in files.read_json(path).get("epochs", []) if path.is_file() else []:
            stage = str(epoch.get("stage", "full"))
            step[stage] += 1
            told = epoch | epoch.get("figures", {})
            found += [
                (f"{part}.{stage}.{name}", float(value), step[stage])
                for name, value in told.items()
                if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            ]
    return found


def _dataset(name: str, result: Result) -> Any:
    """Describe the data by source, digest and counts."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    about = {key: result.snapshot[key] for key in ("rows", "first", "last", "weeks") if key in result.snapshot}
    source = str(result.snapshot.get("source", "unknown"))
    data = Dataset(name, result.data, source, files.canonical({"source": source}), profile=files.canonical(about))
    return DatasetInput(data, [InputTag("mlflow.data.context", "training")])


def _reports(result: Result, target: Path) -> Path:
    """Gather the files that people read into one folder."""
    folders = result.folders
    wanted = {Path("contract") / file: folders.clean / file for file in ("contract.json", "contract.html")}
    for part in PARTS:
        wanted |= {Path(part) / file: folders.evaluation(part) / file for file in EVALUATION}
        wanted[Path(part) / "training.json"] = folders.model(part) / "training.json"
    if (session := folders.session_evaluation) is not None:
        wanted |= {Path(SESSION) / file: session / file for file in EVALUATION}
    if (forecasts := folders.forecasts_evaluation) is not None:
        wanted |= {Path(FORECASTS) / file: forecasts / file for file in EVALUATION}
    wanted |= {Path("segments") / file: folders.evaluation("ranking") / file for file in fallback.CARDS}
    target.mkdir(parents=True)
    for place, file in wanted.items():
        if file.is_file():
            (target / place).parent.mkdir(exist_ok=True)
            shutil.copyfile(file, target / place)
    return target


def _text(value: Any) -> str:
    return value if isinstance(value, str) else files.canonical(value)
