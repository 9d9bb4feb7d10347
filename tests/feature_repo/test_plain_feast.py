"""Feast is imported with its methods as they are written, whoever of ours imports it first."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from feature_repo.checkout import ROOT
from tests.patience import patient

# Each may be the first of a process to import Feast. `services.py` and the modules of stores are handed Feast's own
# objects, which these made.
FIRST = ("feature_repo/views.py", "feature_repo/online/feast_store.py", "feature_repo/online/feast_values.py")
HANDED = {"_view"}  # an entity

LOOKS = """
import typeguard
checked = typeguard.typechecked
from feature_repo.online import feast_values
feast_values.entity_key("user_id", "ana")
import feast
print(feast.FeatureView.__init__.__code__.co_names.count("typeguard"))
print(feast.Entity.__init__.__code__.co_names.count("typeguard"), typeguard.typechecked is checked)
"""


def importers(path: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the functions of a file that import Feast, with the names that they call."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.FunctionDef):
            named = [one.module or "" for one in ast.walk(node) if isinstance(one, ast.ImportFrom)]
            if any(name.split(".")[0] == "feast" for name in named):
                yield node.name, [ast.unparse(one.func) for one in ast.walk(node) if isinstance(one, ast.Call)]


@pytest.mark.parametrize("path", FIRST)
def test_who_may_be_the_first_to_import_feast_has_it_as_it_is_written(path: str) -> None:
    found = dict(importers(path))
    assert found, "imports Feast no more"
    assert {name for name, calls in found.items() if "plain_feast.load" not in calls} <= HANDED


@pytest.mark.process
def test_its_methods_are_not_compiled_anew_and_others_keep_their_checks() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOOKS], cwd=Path(ROOT), capture_output=True, text=True, check=True, timeout=patient(60)
    )
    assert done.stdout.split() == ["0", "0", "True"]
