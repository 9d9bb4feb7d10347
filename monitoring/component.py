"""The `watch` step as Kubeflow sees it."""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Metrics, Output

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
