"""The steps of forecasts as Kubeflow sees them: one import and one call each.

`code` changes the cache's key, and a refit's must be the judged heads'.
"""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train_forecasts(
    rule: str,
    code: str,
    clean: Input[Dataset],
    rows: Input[Dataset],
    forecasts: Output[Model],
    forecast_metrics: Output[Metrics],
) -> None:
    """Fit and judge the heads of intents of kind regression and multiclass, where the spec has some.

    Returns:
        forecasts: The heads and their evaluation; without such an intent a note that there is none.
        forecast_metrics: Figures of the test rows, named as metric:intent.
    """
    from pathlib import Path

    from components.intent.forecasts.steps import run_train_forecasts

    run_train_forecasts(
        rule,
        clean=Path(clean.path),
        rows=Path(rows.path),
        destination=Path(forecasts.path),
        code=code,
        log_metric=forecast_metrics.log_metric,
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def refit_forecasts(
    rule: str,
    refit: bool,
    code: str,
    clean: Input[Dataset],
    rows: Input[Dataset],
    forecasts: Input[Model],
    refitted_forecasts: Output[Model],
) -> None:
    """Fit the judged heads once more, on every complete step.

    Returns:
        refitted_forecasts: The heads that serve, with the judged ones' evaluation; empty where no refit is asked for.
    """
    from pathlib import Path

    from components.intent.forecasts.steps import run_refit_forecasts

    run_refit_forecasts(
        rule,
        code=code,
        refit=refit,
        clean=Path(clean.path),
        rows=Path(rows.path),
        judged=Path(forecasts.path),
        destination=Path(refitted_forecasts.path),
    )
