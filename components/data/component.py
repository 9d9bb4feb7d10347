"""The data steps as Kubeflow sees them: one import and one call each.

`source` and `code` are digests of the source's state and of this package; they do nothing but change the
cache's key, since Kubeflow sees neither the files behind `data` nor the code behind these few lines.
"""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Metrics, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def ingest(data: str, source: str, code: str, tables: Output[Dataset]) -> None:
    """Read the source into canonical tables.

    Returns:
        tables: Events, items and users under pseudonyms, and a snapshot of counts and times.
    """
    from components.data.steps import run_ingest

    run_ingest(data, tables.path)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def validate(
    data: str,
    code: str,
    tables: Input[Dataset],
    clean: Output[Dataset],
    contract_page: Output[HTML],
    contract_metrics: Output[Metrics],
) -> None:
    """Judge the tables by the contract, set bad rows aside and let the others through.

    Returns:
        clean: The tables that the contract let through; rows that it set aside are counted in contract.json.
        contract_page: Every rule with what it found, and the events by week.
        contract_metrics: Rows kept by table, events set aside or cleaned, rules and warnings.
    """
    from components.data.steps import run_validate

    run_validate(data, tables.path, clean=clean.path, report=contract_page.path, log_metric=contract_metrics.log_metric)
