"""Every benchmark runs in its quick form and prints one document of finite numbers."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = {
    "models": {"intent", "ranking"},
    "drift": {"noise_floor"},
    "profiles": set(),
    "demo": {"runs", "largest_difference"},
}
OWN_WORLD = ("profiles", "demo")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that keeps the made world from one script to the next."""
    return tmp_path_factory.mktemp("benchmarks") / "world"


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            yield from _numbers(entry)
    elif isinstance(value, float):
        yield value


def test_there_is_a_case_and_a_line_for_every_benchmark() -> None:
    text = Path("benchmarks/README.md").read_text()
    runnable = {p.stem for p in Path("benchmarks").glob("*.py") if '__name__ == "__main__"' in p.read_text()}
    assert runnable == set(SCRIPTS)
    assert all(f"benchmarks.{name}`" in text for name in runnable)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n == "demo" else []) for n in SCRIPTS])
def test_the_quick_form_prints_one_document(name: str, world: Path) -> None:
    more = [] if name in OWN_WORLD else ["--world", str(world)]
    command = [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--json", *more]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["quick"] is True
    assert SCRIPTS[name] <= set(document)
    assert all(math.isfinite(n) for n in _numbers(document))
