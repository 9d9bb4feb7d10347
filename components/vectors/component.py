"""The vectors step as Kubeflow sees it: one import and one call."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def item_vectors(ranking: str, code: str, rows: Input[Dataset], vector_rows: Output[Dataset]) -> None:
    """Encode the items' texts and read their image vectors, each distinct one once.

    Returns:
        vector_rows: The rows, with vectors of the items beside them.
    """
    from components.vectors.steps import run_item_vectors

    run_item_vectors(ranking, rows=rows.path, vector_rows=vector_rows.path)
