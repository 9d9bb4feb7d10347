"""Feast is imported with its methods as they are written, whoever of ours imports it first."""

import ast
import json
import os
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


READS = """
import json, os, sys
from feature_repo.documents.opened import document_log_if_any
from feature_repo.online.feast_store import Online
Online.open("toy", windows_days=(7, 28))
document_log_if_any("toy")
print(json.dumps([name for name in sys.argv[1:] if name in sys.modules]))
"""
STORE = """
import json, sys
from feature_repo import plain_feast
plain_feast.load()
import feast
kept = [n for n, m in sys.modules.items() if n.startswith("feast.") and getattr(m, "FeatureStore", None) is object]
before = "feast.feature_store" in sys.modules
from feast import FeastVectorStore, FeatureStore
assert FeastVectorStore.__module__ == "feast.vector_store"
from feast.errors import HttpStatusCode
from feast.repo_operations import is_valid_name
import fastapi
names = ["a_b", "_a", "-a", "a-b", "a b", "", "é1", "a.b", "0a"]
print(json.dumps([
    kept, before, FeatureStore.__module__, feast.FeatureStore is FeatureStore, HttpStatusCode.HTTP_404_NOT_FOUND,
    fastapi.FastAPI.__name__, [is_valid_name(n) == plain_feast.is_valid_name(n) for n in names],
]))
"""


def _run(program: str, *words: str, **variables: str) -> object:
    done = subprocess.run(
        [sys.executable, "-c", program, *words], env=os.environ | variables, capture_output=True, text=True,
        timeout=patient(120), check=True, cwd=ROOT,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.process
def test_a_process_that_reads_rows_imports_no_database_tools_and_no_web_server(tmp_path: Path) -> None:
    settings = {"registry": f"{tmp_path}/r.db", "online_store": {"type": "sqlite", "path": f"{tmp_path}/o.db"}}
    heavy = ("sqlalchemy", "fastapi", "ibis", "duckdb", "sqlglot", "gunicorn", "torch", "feast.feature_store")
    assert _run(READS, *heavy, INTENTFLOW_FEAST=json.dumps(settings), INTENTFLOW_PSEUDONYM_KEY="00ff") == []


@pytest.mark.process
def test_the_feature_store_is_the_real_one_for_whoever_asks_for_it() -> None:
    kept, before, module, same, status, web, equal = _run(STORE)  # type: ignore[misc]
    assert kept == [], "a module of Feast's keeps what stood in for the store"
    assert (before, module, same) == (False, "feast.feature_store", True)
    assert (status, web) == (404, "FastAPI")
    assert all(equal), "a name that Feast takes and we do not, or the other way round"
