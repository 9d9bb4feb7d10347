"""What the steps leave: each artifact has words. That their names differ in each layer is test_layout.py's matter."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines import spec
from pipelines.graphs import index
from pipelines.graphs.kfp_pipeline import compile_ir

GROCERY = spec.load(Path("pipelines/specs/grocery.yaml"))


@pytest.fixture(scope="module", params=list(index.PIPELINES))
def ir(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The IR of each pipeline."""
    path = tmp_path_factory.mktemp("ir") / "ir.yaml"
    compile_ir(GROCERY, path, pipeline=request.param)
    document: dict[str, Any] = next(yaml.load_all(path.read_text(), yaml.CSafeLoader))
    return document


def _artifacts(ir: dict[str, Any], component: str) -> dict[str, Any]:
    found: dict[str, Any] = ir["components"][component].get("outputDefinitions", {}).get("artifacts", {})
    return found


def test_every_artifact_of_a_step_says_what_it_is(ir: dict[str, Any]) -> None:
    steps = [name for name, one in ir["components"].items() if "executorLabel" in one]
    silent = [(step, key) for step in steps for key, one in _artifacts(ir, step).items() if not one.get("description")]
    assert silent == []
