"""docs/extending.md is true: its modules and diffs go into a copy of the checkout, and the contracts pass there."""

import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from feature_repo.checkout import ROOT
from tests.checkouts import copy_tree

pytestmark = pytest.mark.process

PAGE = ROOT / "docs" / "extending.md"
COPIED = ("bentos", "components", "feature_repo", "monitoring", "pipelines", "tests")
BLOCK = re.compile(r"^```(python|diff)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MOST_LINES = 30
EXAMPLES = {  # what the page adds, and the contract that judges it
    "mixer": "tests/intent/test_train.py",
    "rising": "tests/ranking/test_sources.py",
    "linear": "tests/ranking/test_models.py",
    "swapped@1": "tests/policy/test_policies.py",
    "short@1": "tests/content/test_writers.py",
    "ranking.not_found": "tests/registry/test_gate_metrics.py",
    "hellinger": "tests/monitoring/drift/test_statistics.py",
    "shared_sqlite": "tests/feature_repo/online/test_stores.py",
}


def blocks() -> Iterator[tuple[str, str, str]]:
    """Yield language, path and text of every example: a module names its path in a comment, a diff behind dashes."""
    for language, text in BLOCK.findall(PAGE.read_text()):
        first, _, rest = text.partition("\n")
        yield language, first.removeprefix("# ").removeprefix("--- "), rest


def patched(old: str, diff: str) -> str:
    """Apply a diff of one place, whose context must stand there exactly once."""
    lines = diff.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] in " -")
    after = "".join(line[1:] for line in lines if line[0] in " +")
    assert old.count(before) == 1, before
    return old.replace(before, after)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the checkout with every example in it."""
    copy = tmp_path_factory.mktemp("extended")
    for name in COPIED:
        copy_tree(ROOT / name, copy / name)
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, copy)
    for language, path, text in blocks():
        file = copy / path
        assert file.exists() == (language == "diff"), path
        file.write_text(patched(file.read_text(), text) if language == "diff" else text)
    return copy


@pytest.fixture(scope="module")
def outcomes(copy: Path) -> dict[str, list[str]]:
    """Run the contracts in the copy; return by example what was reported."""
    report, names = copy / "report.xml", " or ".join(name.partition("@")[0].rpartition(".")[2] for name in EXAMPLES)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", f"--junitxml={report}",
         "-k", names, *EXAMPLES.values()],
        cwd=copy, env=os.environ | {"PYTHONPATH": str(copy)}, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert report.is_file(), done.stdout[-2000:] + done.stderr[-2000:]
    found: dict[str, list[str]] = {name: [] for name in EXAMPLES}
    for case in ElementTree.parse(report).iter("testcase"):
        for name in EXAMPLES:
            if re.search(rf"[\[-]{re.escape(name)}[\]-]", str(case.get("name"))):
                kinds = {child.tag for child in case} & {"failure", "error", "skipped"}
                found[name].append(f"{case.get('name')}: {kinds.pop() if kinds else 'passed'}")
    return found


@pytest.mark.slow  # another pytest on a copy of the checkout; CI runs it
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_of_the_page_passes_the_contract_of_its_kind(name: str, outcomes: dict[str, list[str]]) -> None:
    said = outcomes[name]
    assert len([line for line in said if line.endswith(": passed")]) >= 3, said
    assert not [line for line in said if line.endswith((": failure", ": error"))]


CHANGED = """
import json
from pathlib import Path

from bentos.endpoints.operations import OPERATIONS
from bentos.router import requests
from components.data import ingest
from components.data.spec import Data
from components.profiles.spec import Profiles
from pipelines import spec
from pipelines.cli import cli
from pipelines.graphs import index
from pipelines.graphs.kfp_pipeline import compile_ir
import pyarrow.parquet as pq

days = [f"2024-{month:02}-{day:02}" for month in (1, 2, 3) for day in (1, 8, 15, 22)]
lines = [f"1,tea,{day}T10:00:00Z,{'app' if day.endswith('1') else 'web'}" for day in days]
Path("sold.csv").write_text("\\n".join(["who,what,at,through", *lines]))
mapped = {"user_id": "who", "item_id": "what", "timestamp": "at", "channel": "through"}
data = Data.model_validate({"source": {"type": "csv", "events": {"path": "sold.csv", "columns": mapped}}})
ingest.ingest(data, Path("tables"), key="00" * 16, base=Path(), now=None)
grocery = spec.load(Path("pipelines/specs/grocery.yaml"))
compile_ir(grocery, Path("ir.yaml"))
print("FOUND", json.dumps({
    "endpoint": [operation.path for operation in OPERATIONS],
    "router": requests.endpoint_of("POST", "/segment"),
    "verb": cli.commands["weeks"].help,
    "step": "count-rows:" in Path("ir.yaml").read_text(),
    "reads": index.reads()["count_rows"],
    "channel": sorted(set(pq.read_table("tables/events.parquet")["channel"].to_pylist())),
    "ttl": Profiles().ttl_days,
}))
"""


@pytest.fixture(scope="module")
def changed(copy: Path) -> dict[str, Any]:
    """Return what the copy says of what is no part of a spec or release."""
    environment = os.environ | {"PYTHONPATH": str(copy)}
    command = [sys.executable, "-W", "ignore", "-c", CHANGED]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    found: dict[str, Any] = json.loads(line.removeprefix("FOUND "))
    return found


def test_an_endpoint_is_a_file_and_a_row(changed: dict[str, Any]) -> None:
    assert "/segment" in changed["endpoint"]
    assert changed["router"] == "/segment"


def test_a_verb_is_a_function(changed: dict[str, Any]) -> None:
    assert changed["verb"] == "Say how the weeks are split."


def test_a_step_is_a_function_a_row_and_a_line(changed: dict[str, Any]) -> None:
    assert changed["step"]
    assert changed["reads"] == [["data_code"], ["validate"]]


def test_an_event_column_is_a_name_and_a_default(changed: dict[str, Any]) -> None:
    assert changed["channel"] == ["app", "web"]


def test_a_default_has_one_home(changed: dict[str, Any]) -> None:
    assert changed["ttl"] == 90


def test_examples_are_short() -> None:
    for language, path, text in blocks():
        assert len(text.splitlines()) < MOST_LINES, (language, path)


def test_the_page_names_every_contract() -> None:
    text = PAGE.read_text()
    assert all(f"`{contract}`" in text for contract in EXAMPLES.values())
