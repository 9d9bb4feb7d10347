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
    release_version: str,
    rows: Input[Dataset],
    verdict: Output[Dataset],
    report: Output[HTML],
    metrics: Output[Metrics],
) -> None:
    """Compare the test weeks with the train weeks and keep the report."""
    from monitoring import steps

    steps.watch(
        name,
        monitoring,
        release=release_version,
        rows=rows.path,
        verdict=verdict.path,
        report=report.path,
        log_metric=metrics.log_metric,
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def decide(verdict: Input[Dataset]) -> bool:
    """Tell whether a verdict asks for training."""
    from monitoring.drift import decision

    return decision.decide(verdict.path)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def outcome(name: str, pipeline: str, page: Output[Markdown]) -> str:
    """Say in sentences how the run ended, and tell of a failure; return it in a word."""
    from monitoring.runs import outcome

    return outcome.outcome(name, pipeline, page=page.path, metadata=page.metadata)
