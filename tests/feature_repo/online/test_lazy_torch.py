"""Feast is imported without torch, and gets it when it asks."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from feature_repo import lazy_torch


def test_feast_takes_nothing_but_get_torch_of_the_module_that_is_replaced() -> None:
    found = importlib.util.find_spec("feast")
    assert found is not None
    assert found.origin is not None
    taken = [
        line.strip()
        for path in Path(found.origin).parent.rglob("*.py")
        if path.name != "torch_wrapper.py"
        for line in path.read_text().splitlines()
        if re.search(r"\btorch_wrapper\b", line)
    ]
    assert set(taken) == {"from feast.torch_wrapper import get_torch"}


@pytest.mark.process
@pytest.mark.slow  # seven seconds of imports; tests/bentos/test_torchless.py has a door without torch
def test_feast_comes_without_torch_and_gives_it_where_it_is_asked_for() -> None:
    code = (
        "import sys; from feature_repo import lazy_torch; lazy_torch.defer()\n"
        "from feast.infra.provider import get_provider\n"
        "from feast.infra.offline_stores.offline_store import get_torch\n"
        "before = 'torch' in sys.modules; print(before, get_torch().__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=280, check=False)
    assert done.stdout.split() == ["False", "torch"], done.stderr[-2000:]


def test_a_feast_that_was_imported_before_keeps_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    there = object()
    monkeypatch.setitem(sys.modules, lazy_torch.WRAPPER, there)
    lazy_torch.defer()
    assert sys.modules[lazy_torch.WRAPPER] is there
