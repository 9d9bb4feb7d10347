"""docs/extending.md is true: its modules and diffs go into a copy of the checkout, and the contracts pass there."""

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

import pytest

from feature_repo.checkout import ROOT

PAGE = ROOT / "docs" / "extending.md"
COPIED = ("bentos", "components", "feature_repo", "monitoring", "pipelines", "tests")
BLOCK = re.compile(r"^```(python|diff)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MOST_LINES = 30
EXAMPLES = {  # what the page adds, and the contract that judges it
    "gru": "tests/intent/test_train.py",
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
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Run the contracts in a copy with every example in it; return by example what was reported."""
    copy = tmp_path_factory.mktemp("extended")
    for name in COPIED:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    for language, path, text in blocks():
        file = copy / path
        assert file.exists() == (language == "diff"), path
        file.write_text(patched(file.read_text(), text) if language == "diff" else text)
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
            if f"[{name}]" in str(case.get("name")):
                kinds = {child.tag for child in case} & {"failure", "error", "skipped"}
                found[name].append(f"{case.get('name')}: {kinds.pop() if kinds else 'passed'}")
    return found


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_of_the_page_passes_the_contract_of_its_kind(name: str, outcomes: dict[str, list[str]]) -> None:
    said = outcomes[name]
    assert len([line for line in said if line.endswith(": passed")]) >= 3, said
    assert not [line for line in said if line.endswith((": failure", ": error"))]


def test_examples_are_short() -> None:
    for language, path, text in blocks():
        assert len(text.splitlines()) < MOST_LINES, (language, path)


def test_the_page_names_every_contract() -> None:
    text = PAGE.read_text()
    assert all(f"`{contract}`" in text for contract in EXAMPLES.values())
