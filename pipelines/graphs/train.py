"""The training pipeline: the order of the steps, and the compiler that writes any pipeline's IR.

The same object runs in this process's own environment (pipelines/runs/local.py) and compiles to Kubeflow's IR. Pure
steps are cached by their inputs: the spec's slices, the data's digest and the digest of the code behind each.
Steps with side effects never are; they are safe to repeat. What a task gets on a cluster is platform.py's business.
"""

from pathlib import Path
from typing import Any, NamedTuple

from kfp import compiler, dsl

from components.data.component import ingest, validate
from components.intent.component import evaluate_intent, train_intent
from components.profiles.component import build_profiles, materialise, training_set
from components.ranking.component import evaluate_ranking, train_ranking
from components.registry.component import promote, register
from monitoring.component import conclude, report_failure, watch
from pipelines.environment import Kubeflow
from pipelines.graphs import index, task_settings
from pipelines.graphs.forms import described
from pipelines.graphs.kfp_frames import frames_without_source
from pipelines.graphs.task_settings import aside, effects, pure
from pipelines.spec import Recommender


class Prepared(NamedTuple):
    """Artifacts that training and monitoring begin with."""

    clean: Any
    features: Any
    rows: Any


class Models(NamedTuple):
    """Both models and what was measured of them."""

    intent: Any
    intent_evaluation: Any
    ranker: Any
    ranking_evaluation: Any


class Registered(NamedTuple):
    """The release of a run and whether it passed its gates."""

    version: Any
    passed: Any


def cleaned(*, reading: str, data: str, source: str, data_code: str) -> Any:
    """Read the source and judge it by the contract; return the clean tables."""
    ingested = ingest(data=reading, source=source, code=data_code)
    checked = validate(data=data, code=data_code, tables=ingested.outputs["tables"])
    pure(ingested, checked)
    return checked.outputs["clean"]


def prepared(clean: Any, *, profiles: str, split: str, vocabulary: str, ranking_rows: str, code: str) -> Prepared:
    """Build the profiles and the rows that models learn from and are judged by."""
    built = build_profiles(profiles=profiles, split=split, vocabulary=vocabulary, code=code, clean=clean)
    features = built.outputs["features"]
    retrieved = training_set(split=split, ranking=ranking_rows, code=code, clean=clean, features=features)
    pure(built, retrieved)
    return Prepared(clean, features, retrieved.outputs["rows"])


def modelled(
    rows: Any, *, intents: str, intent: str, ranking: str, ranking_weeks: int, intent_code: str, ranking_code: str
) -> Models:
    """Train both models and judge each on the test weeks."""
    fitted = train_intent(intents=intents, model=intent, ranking_weeks=ranking_weeks, code=intent_code, rows=rows)
    scorer = fitted.outputs["intent"]
    judged = evaluate_intent(intents=intents, code=intent_code, rows=rows, intent=scorer)
    ranked = train_ranking(ranking=ranking, code=ranking_code, rows=rows, intent=scorer)
    ranker = ranked.outputs["ranker"]
    compared = evaluate_ranking(ranking=ranking, code=ranking_code, rows=rows, intent=scorer, ranker=ranker)
    pure(fitted, judged, ranked, compared)
    return Models(scorer, judged.outputs["evaluation"], ranker, compared.outputs["evaluation"])


def released(
    name: str, at: Prepared, models: Models, *, lineage: str, promotion: str, serving: str, mode: str
) -> Registered:
    """Register the models, and where their gates are passed bring the profiles online and promote the release."""
    registered = register(
        name=name, lineage=lineage, promotion=promotion, serving=serving, clean=at.clean, **models._asdict()
    )
    effects(registered)
    release_version = registered.outputs["release_version"]
    with dsl.If(registered.outputs["Output"] == True, name="gates-passed"):  # noqa: E712 - kfp compares, Python does not
        online = materialise(name=name, release_version=release_version, features=at.features)  # before serving follows
        promoted = promote(name=name, version=release_version, mode=mode, why="passed its gates")
        promoted.after(online)
        effects(online, promoted)
    return Registered(release_version, registered.outputs["Output"])


def failure_reported(name: str, pipeline: str) -> dsl.ExitHandler:
    """Return the frame of a pipeline's steps: however they end, a failure is told of."""
    reported = report_failure(name=name, pipeline=pipeline)
    aside(reported)
    return dsl.ExitHandler(reported, name="reported")


@described
def _train(
    name: str,
    reading: str,
    data: str,
    source: str,
    split: str,
    profiles: str,
    vocabulary: str,
    intents: str,
    intent: str,
    ranking: str,
    ranking_rows: str,
    ranking_weeks: int,
    promotion: str,
    mode: str,
    serving: str,
    monitoring: str,
    lineage: str,
    data_code: str,
    profiles_code: str,
    intent_code: str,
    ranking_code: str,
) -> None:
    """Train, judge and promote one recommender."""
    with failure_reported(name, "train"):
        clean = cleaned(reading=reading, data=data, source=source, data_code=data_code)
        at = prepared(
            clean,
            profiles=profiles,
            split=split,
            vocabulary=vocabulary,
            ranking_rows=ranking_rows,
            code=profiles_code,
        )
        models = modelled(
            at.rows,
            intents=intents,
            intent=intent,
            ranking=ranking,
            ranking_weeks=ranking_weeks,
            intent_code=intent_code,
            ranking_code=ranking_code,
        )
        release = released(name, at, models, lineage=lineage, promotion=promotion, serving=serving, mode=mode)
        watched = watch(name=name, monitoring=monitoring, release_version=release.version, rows=at.rows)
        effects(watched)
        concluded = conclude(
            name=name,
            release_version=release.version,
            passed=release.passed,
            **at._asdict(),
            intent=models.intent,
            intent_evaluation=models.intent_evaluation,
            ranking_evaluation=models.ranking_evaluation,
            drift=watched.outputs["verdict"],
        )
        effects(concluded)


train = dsl.pipeline(
    name=index.PIPELINES["train"].name,
    description="Contract, profiles, models, gates, promotion, drift.",
)(_train)


def compile_ir(spec: Recommender, path: Path, *, pipeline: str = "train", kubeflow: Kubeflow | None = None) -> None:
    """Write a pipeline's IR for a cluster, the spec's values as the defaults of the run form.

    The same spec and environment give the same bytes. Without `kubeflow` the platform is one of defaults.
    """
    chosen = index.pipeline(pipeline)
    place = task_settings.Platform(spec.name, spec.compute, kubeflow or Kubeflow(host=""))
    built = chosen.build()
    with task_settings.given(place), frames_without_source():
        built = task_settings.rebuilt(built)
    compiler.Compiler().compile(built, str(path), pipeline_parameters=chosen.spec_parameters(spec))
