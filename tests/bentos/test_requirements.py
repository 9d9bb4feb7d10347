"""The pins of a Bento come from the lock."""

from pathlib import Path

import pytest

from bentos.requirements import locked, pinned
from feature_repo.errors import SpecError


def test_every_pin_is_the_locks_and_the_direct_ones_are_there() -> None:
    pins = dict(pin.split("==") for pin in pinned())
    versions = locked(Path("requirements.lock").resolve())
    assert {"bentoml", "feast", "torch", "numpy", "pyarrow", "starlette", "uvicorn", "duckdb"} <= set(pins)
    assert {name: versions[name] for name in pins} == pins
    assert not {"mlflow", "kfp", "evidently", "great-expectations"} & set(pins), "a service needs none of them"


def test_a_direct_requirement_without_a_pin_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("numpy==2.4.6\n")
    with pytest.raises(SpecError, match="no torch; write it again"):
        pinned(["numpy", "torch"], tmp_path / "lock")
