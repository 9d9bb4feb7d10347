"""The search step as Kubeflow sees it: one import and one call.

`code` changes the cache's key, and the study's name.
"""

from kfp import dsl
from kfp.dsl import Dataset, Input, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def search_intent(
    name: str,
    intents: str,
    model: str,
    ranking_weeks: int,
    mode: str,
    code: str,
    rows: Input[Dataset],
    intent_search: Output[Dataset],
) -> str:
    """Look for better settings of the intent model; return those to train with.

    Returns:
        intent_search: Every trial with its settings and losses (search.json), and the proposal as a diff of the spec.
    """
    from components.intent.search.steps import run_search_intent

    return run_search_intent(
        name,
        intents,
        model,
        ranking_weeks=ranking_weeks,
        mode=mode,
        code=code,
        rows=rows.path,
        search=intent_search.path,
    )
