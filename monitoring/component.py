"""The steps that watch, as Kubeflow sees them: drift, the decision on it, what a run left, and what made it fail.

Only `decide` is cached: the others report on the run that they are part of.
"""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Markdown, Metrics, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def watch(
    name: str,
    monitoring: str,
    mode: str,
    release_version: str,
    rows: Input[Dataset],
    verdict: Output[Dataset],
    drift_page: Output[HTML],
    drift_metrics: Output[Metrics],
) -> None:
    """Compare the test weeks with the train weeks and keep the report.

    Returns:
        verdict: Drifted, stable or no data, with every column's score (drift.json).
        drift_page: The verdict above Evidently's own report.
        drift_metrics: Share of drifted columns and each column's score.
    """
    from monitoring import steps

    steps.watch(
        name,
        monitoring,
        mode=mode,
        release=release_version,
        rows=rows.path,
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
def conclude(
    name: str,
    page: Output[Markdown],
    release_version: str = "",
    passed: bool = False,
    drifted: bool = False,
    clean: Input[Artifact] = None,
    features: Input[Artifact] = None,
    rows: Input[Artifact] = None,
    intent: Input[Artifact] = None,
    intent_evaluation: Input[Artifact] = None,
    ranking_evaluation: Input[Artifact] = None,
    drift: Input[Artifact] = None,
    intents: Input[Artifact] = None,
    recommendations: Input[Artifact] = None,
) -> None:
    """Say in one place what the run left."""
    from monitoring.runs import outcome

    made = {
        "clean": clean,
        "features": features,
        "rows": rows,
        "intent": intent,
        "intent_evaluation": intent_evaluation,
        "ranking_evaluation": ranking_evaluation,
        "drift": drift,
        "intents": intents,
        "recommendations": recommendations,
    }
    outcome.conclude(
        name,
        folders={key: None if one is None else one.path for key, one in made.items()},
        facts={"release_version": release_version, "passed": passed, "drifted": drifted},
        page=page.path,
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def report_failure(name: str, pipeline: str, mode: str, status: dsl.PipelineTaskFinalStatus) -> None:
    """Tell the registry and the alert webhook of a run that failed, and why."""
    from monitoring.runs import failure

    failure.report(
        name,
        pipeline,
        mode=mode,
        state=status.state,
        job=status.pipeline_job_resource_name,
        task=status.pipeline_task_name,
        message=status.error_message or "",
    )
