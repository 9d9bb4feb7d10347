"""The session step as Kubeflow sees it: one import and one call. `code` does nothing but change the cache's key."""

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

    run_train_session(rule, clean=Path(clean.path), rows=Path(rows.path), destination=Path(session_model.path))
