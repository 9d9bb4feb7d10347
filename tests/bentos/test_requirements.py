"""The pins of a Bento come from the lock."""

import ast
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from bentos.build import PACKAGES, ROOT
from bentos.requirements import DIRECT, further, locked, normal, pinned
from feature_repo import files
from feature_repo.errors import SpecError

# Only an environment whose store is PostgreSQL imports the first, and installs the extra; only training the second. The
# next is imported where it is there: without it what it does fast is done exactly. A release with a text encoder in
# int8 asks for the runtime; only its training imports `onnx`.
OPTIONAL = {"psycopg", "peft", "faiss", "faiss-cpu", "onnx", "onnxruntime", "scikit-learn"}  # the last fits lists


def test_every_pin_is_the_locks_and_the_direct_ones_are_there() -> None:
    pins = dict(pin.split("==") for pin in pinned())
    versions = locked(ROOT / "requirements.lock")
    assert {"bentoml", "feast", "torch", "numpy", "pyarrow", "starlette", "uvicorn", "duckdb"} <= set(pins)
    assert {name: versions[name] for name in pins} == pins
    assert not {"mlflow", "kfp", "evidently", "great-expectations"} & set(pins), "a service needs none of them"


def test_the_image_of_services_installs_what_a_bento_needs() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    installed = {normal(Requirement(line).name) for line in groups["serving"]}
    assert {normal(Requirement(line).name) for line in DIRECT} <= installed


def test_a_release_with_an_encoder_in_int8_asks_for_what_runs_it(tmp_path: Path) -> None:
    (tmp_path / "intent").mkdir()
    config = tmp_path / "intent" / "config.json"
    for text, want in ((None, ()), ({"tokens": 64}, ()), ({"tokens": 64, "onnx": 9}, ("onnxruntime",))):
        files.write_json(config, {"network": {"architecture": "text"} | ({} if text is None else {"text": text})})
        assert further(tmp_path) == want
    assert "onnxruntime" in {pin.split("==")[0] for pin in pinned((*DIRECT, "onnxruntime"))}
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    assert "onnxruntime" in {normal(Requirement(line).name) for line in groups["serving"]}


def test_a_direct_requirement_without_a_pin_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("numpy==2.4.6\n")
    with pytest.raises(SpecError, match="no torch; write it again"):
        pinned(["numpy", "torch"], tmp_path / "lock")


def imported(module: str) -> set[str]:
    """Name what one of our modules imports, as dotted names."""
    path = Path(*module.split("."))
    file = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
    if not file.is_file():
        return set()  # a name inside a module
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_what_the_service_imports_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    ours, theirs, wanted = set[str](), set[str](), {"bentos.recommender.service"}
    while wanted:
        module = wanted.pop()
        if module.split(".")[0] not in PACKAGES:
            theirs.add(module.split(".")[0])
        elif module not in ours:
            ours.add(module)
            wanted |= imported(module)
    assert {"components.intent.score", "components.ranking.score", "feature_repo.online.profiles"} <= ours
    ships = metadata.packages_distributions()
    packages = {normal(ships.get(name, [name])[0]) for name in theirs if name not in sys.stdlib_module_names}
    assert packages - OPTIONAL <= {pin.split("==")[0] for pin in pinned()}
