"""The session step as Kubeflow sees it: one import and one call.

`code` changes the cache's key, and a refit's must be the judged model's.
"""

from kfp import dsl
from kfp.dsl import Dataset, Input, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train_session(
    rule: str,
    code: str,
    clean: Input[Dataset],
    rows: Input[Dataset],
    session_model: Output[Model],
) -> None:
    """Fit and judge the model of intents within a visit, where the spec has some.

    Returns:
        session_model: The model and its evaluation; without an intent of `horizon: session` a note that there is none.
    """
    from pathlib import Path

    from components.intent.sessions.steps import run_train_session

    run_train_session(
        rule, clean=Path(clean.path), rows=Path(rows.path), destination=Path(session_model.path), code=code
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def refit_session(
    rule: str,
    refit: bool,
    code: str,
    clean: Input[Dataset],
    rows: Input[Dataset],
    session_model: Input[Model],
    refitted_session: Output[Model],
) -> None:
    """Fit the judged session model once more, on every visit whose end the data shows.

    Returns:
        refitted_session: The model that serves, with the judged one's evaluation; empty where no refit is asked for.
    """
    from pathlib import Path

    from components.intent.sessions.steps import run_refit_session

    run_refit_session(
        rule,
        code=code,
        refit=refit,
        clean=Path(clean.path),
        rows=Path(rows.path),
        judged=Path(session_model.path),
        destination=Path(refitted_session.path),
    )
