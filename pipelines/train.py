"""The training pipeline: the order of the steps, and what a spec puts into its parameters.

The same object runs in this process's own environment (pipelines/local.py) and compiles to Kubeflow's IR. Pure
steps are cached by their inputs: the spec's slices, the data's digest and the digest of the code behind each.
Steps with side effects never are; they are safe to repeat.
"""

from pathlib import Path
from typing import NamedTuple

from kfp import compiler, dsl

from components.data.component import ingest, validate
from components.intent.component import evaluate_intent, train_intent
from components.profiles.component import build_profiles, materialise, training_set
from components.ranking.component import evaluate_ranking, train_ranking
from components.registry.component import promote, register
from monitoring.component import watch
from pipelines.parameters import spec_parameters
from pipelines.spec import Recommender

RETRIES = 2  # of steps that talk to servers


class Outputs(NamedTuple):
    """What a run leaves behind for whoever asked for it."""

    clean: dsl.Dataset
    features: dsl.Dataset
    rows: dsl.Dataset
    intent: dsl.Model
    intent_evaluation: dsl.Dataset
    ranking_evaluation: dsl.Dataset
    drift: dsl.Dataset
    release_version: str
    passed: bool


def _has_effects(task: dsl.PipelineTask) -> None:
    """Run the task every time, and again when a server was away for a moment."""
    task.set_caching_options(False)
    task.set_retry(RETRIES, backoff_duration="5s", backoff_factor=2.0)


@dsl.pipeline(name="intentflow-train", description="Contract, profiles, models, gates, promotion, drift.")
def train(
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
) -> Outputs:
    """Train, judge and promote one recommender.

    Args:
        name: Name of the recommender; registered models begin with it.
        reading: What of the spec's `data` slice reading the source needs, JSON.
        data: The spec's `data` slice, JSON.
        source: Digest of the source's state; another digest reads the source again.
        split: The spec's `data.split`, JSON.
        profiles: The spec's `profiles` slice, JSON.
        vocabulary: What the vocabularies are fitted on: intents' levels, item thresholds; JSON.
        intents: The spec's `intents`, JSON.
        intent: The spec's `models.intent`, JSON.
        ranking: The spec's `models.ranking`, JSON.
        ranking_rows: Which weeks the ranker's rows come from, JSON.
        ranking_weeks: Last training weeks that the ranker learns from.
        promotion: The spec's `promotion`, JSON.
        mode: auto, manual or dry_run.
        serving: What the release tells the services, JSON.
        monitoring: The spec's `monitoring`, JSON.
        lineage: Digests of spec, code, lock and feature services, JSON.
        data_code: Digest of the code behind the data steps.
        profiles_code: Digest of the code behind the profile steps.
        intent_code: Digest of the code behind the intent steps.
        ranking_code: Digest of the code behind the ranking steps.
    """
    ingested = ingest(data=reading, source=source, code=data_code)
    checked = validate(data=data, code=data_code, tables=ingested.outputs["tables"])
    clean = checked.outputs["clean"]
    built = build_profiles(profiles=profiles, split=split, vocabulary=vocabulary, code=profiles_code, clean=clean)
    features = built.outputs["features"]
    retrieved = training_set(split=split, ranking=ranking_rows, code=profiles_code, clean=clean, features=features)
    rows = retrieved.outputs["rows"]
    fitted = train_intent(intents=intents, model=intent, ranking_weeks=ranking_weeks, code=intent_code, rows=rows)
    judged = evaluate_intent(intents=intents, code=intent_code, rows=rows, intent=fitted.outputs["intent"])
    ranked = train_ranking(ranking=ranking, code=ranking_code, rows=rows, intent=fitted.outputs["intent"])
    compared = evaluate_ranking(
        ranking=ranking,
        code=ranking_code,
        rows=rows,
        intent=fitted.outputs["intent"],
        ranker=ranked.outputs["ranker"],
    )
    registered = register(
        name=name,
        lineage=lineage,
        promotion=promotion,
        serving=serving,
        clean=clean,
        intent=fitted.outputs["intent"],
        intent_evaluation=judged.outputs["evaluation"],
        ranker=ranked.outputs["ranker"],
        ranking_evaluation=compared.outputs["evaluation"],
    )
    _has_effects(registered)
    with dsl.If(registered.outputs["Output"] == True, name="gates-passed"):  # noqa: E712 - kfp compares, Python does not
        release_version = registered.outputs["release_version"]
        online = materialise(name=name, release_version=release_version, features=features)  # before serving follows
        _has_effects(online)
        promoted = promote(name=name, version=release_version, mode=mode, why="passed its gates")
        promoted.after(online)
        _has_effects(promoted)
    watched = watch(
        name=name,
        monitoring=monitoring,
        release_version=registered.outputs["release_version"],
        rows=rows,
    )
    _has_effects(watched)
    return Outputs(
        clean=clean,
        features=features,
        rows=rows,
        intent=fitted.outputs["intent"],
        intent_evaluation=judged.outputs["evaluation"],
        ranking_evaluation=compared.outputs["evaluation"],
        drift=watched.outputs["verdict"],
        release_version=registered.outputs["release_version"],
        passed=registered.outputs["Output"],
    )


def compile_ir(spec: Recommender, path: Path) -> None:
    """Write Kubeflow's IR, the spec's values as the defaults of the run form."""
    compiler.Compiler().compile(train, str(path), pipeline_parameters=spec_parameters(spec))
