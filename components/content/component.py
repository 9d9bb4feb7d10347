"""The step that judges a prompt with its model, as Kubeflow sees it: one import and one call."""

from kfp import dsl
from kfp.dsl import Dataset, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def judge_words(serving: str, words_evaluation: Output[Dataset]) -> None:
    """Have the language model write the texts and titles of a fixed set, and judge them.

    Returns:
        words_evaluation: What was served of them, what they are like, which bounds they break; or why nobody was asked.
    """
    from pathlib import Path

    from components.content.steps import run_judge_words

    run_judge_words(serving, destination=Path(words_evaluation.path))
