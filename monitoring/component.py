"""The steps that watch, as Kubeflow sees them: drift, the decision on it, and how a run ended.

Only `decide` is cached: the others report on the run that they are part of.
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
def outcome(name: str, pipeline: str, page: Output[Markdown]) -> str:
    """Say in sentences how the run ended, and tell of a failure; return it in a word.

    Returns:
        page: How the run ended, why, and what to do next.
    """
    from monitoring.runs import outcome

    return outcome.outcome(name, pipeline, page=page.path, metadata=page.metadata)
