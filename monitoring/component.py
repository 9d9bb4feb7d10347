"""The steps that watch, as Kubeflow sees them: drift, the decision on it, and how a run ended.

Only `decide` is cached: the others report on the run that they are part of, or keep the state of retraining.
"""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Markdown, Metrics, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def watch(
    name: str,
    monitoring: str,
    mode: str,
    release_version: str,
    rows: Input[Dataset],
    clean: Input[Dataset],
    tables: Input[Dataset],
    verdict: Output[Dataset],
    drift_page: Output[HTML],
    drift_metrics: Output[Metrics],
) -> None:
    """Compare the test weeks with the train weeks, judge the newest period by its signals, and keep the report.

    Returns:
        verdict: Drifted, stable, lost, faulty or undecided, with every column's score and what moved (drift.json).
        drift_page: The verdict above Evidently's own report.
        drift_metrics: Share of drifted columns, each column's score, and signals that alarm.
    """
    from monitoring import steps

    steps.watch(
        name,
        monitoring,
        mode=mode,
        release=release_version,
        rows=rows.path,
        clean=clean.path,
        tables=tables.path,
        verdict=verdict.path,
        report=drift_page.path,
        log_metric=drift_metrics.log_metric,
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def decide(verdict: Input[Dataset]) -> bool:
    """Tell whether a verdict asks for training."""
    from monitoring.drift import decision

    return decision.decide(verdict.path)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def decide_retraining(
    name: str, monitoring: str, mode: str, refit: bool, verdict: Input[Dataset], rows: Input[Dataset]
) -> bool:
    """Tell whether a training follows from a reason, by the state of retraining."""
    from monitoring.retraining import steps

    return steps.decide(name, monitoring, mode=mode, refit=refit, verdict=verdict.path, rows=rows.path)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def weigh(
    name: str,
    monitoring: str,
    mode: str,
    passed: bool,
    version: str,
    intent_evaluation: Input[Dataset],
    ranking_evaluation: Input[Dataset],
    champion_intent: Input[Dataset],
    champion_ranking: Input[Dataset],
) -> bool:
    """Tell whether a retrained candidate may be promoted: passed by its gates, and better on the same rows."""
    from monitoring.retraining import steps

    return steps.weigh(
        name,
        monitoring,
        mode=mode,
        passed=passed,
        version=version,
        candidate=[intent_evaluation.path, ranking_evaluation.path],
        champion=[champion_intent.path, champion_ranking.path],
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def promote_retrained(name: str, version: str, monitoring: str, mode: str, why: str) -> str:
    """Make a retrained release the champion where the spec leaves that to the pipeline, and end the attempt."""
    from monitoring.retraining import steps

    return steps.promote(name, version, monitoring, mode=mode, why=why)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def outcome(name: str, pipeline: str, page: Output[Markdown]) -> str:
    """Say in sentences how the run ended, and tell of a failure; return it in a word.

    Returns:
        page: How the run ended, why, and what to do next.
    """
    from monitoring.runs import outcome

    return outcome.outcome(name, pipeline, page=page.path, metadata=page.metadata)
