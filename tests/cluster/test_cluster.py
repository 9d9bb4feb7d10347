"""The trials of `k8s/try` as tests: `INTENTFLOW_TRY_CONTEXT=kind-kind pytest -m cluster tests/cluster`.

They run in their order on one cluster, which the first of them installs on.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import install, run
from tests.cluster.field import Field
from tests.cluster.kube import Kube
from tests.cluster.trials import TRIALS, Trial

CONTEXT = "INTENTFLOW_TRY_CONTEXT"
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(5400)]


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    """Install on the cluster that the variable names, and have customers ask."""
    if CONTEXT not in os.environ:
        pytest.skip(f"{CONTEXT} names no context of kubectl")
    folder = tmp_path_factory.mktemp("try")
    made = Field(Kube(os.environ[CONTEXT], Path(__file__).with_name("recommender.yaml"), folder))
    table = run.Table(folder, about=install.about(made.kube))
    with install.installed(made, table):
        assert [row.what for row in table.rows if not row.fine] == []
        items = [item["item_id"] for item in run.first_answer(made)["items"]]
        with made.kube.customers(rate=10, users=100, items=items):
            yield made


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.name)
def test_customers_do_not_notice(field: Field, trial: Trial) -> None:
    row = run.tried(field, trial)
    assert row.fine, row
