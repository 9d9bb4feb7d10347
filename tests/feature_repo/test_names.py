"""A name that many places share is written once: columns in columns.py, variables in env_names.py."""

import re
from pathlib import Path

import pytest

from feature_repo import columns, env_names
from feature_repo.checkout import ROOT
from tests import source_texts

PACKAGES = ("pipelines", "components", "feature_repo", "bentos", "monitoring")
HOMES = {"feature_repo/columns.py", "feature_repo/env_names.py", "feature_repo/clock.py"}  # a step may be a week
# Where the word means a period of the calendar, or the English word, not the column.
PERIODS = {
    f"{name}.py"
    for name in (
        *("components/content/grounding/tokens", "components/content/writers/chinese"),
        *("components/content/writers/template", "components/data/measures", "components/data/page"),
        *("components/data/rules", "monitoring/spec"),
    )
}
VARIABLE = re.compile(r"INTENTFLOW_[A-Z0-9_]+")


def typed_again(root: Path) -> list[str]:
    """Name every place that types a shared name instead of taking it from its home."""
    found = []
    for path in sorted(file for package in PACKAGES for file in (root / package).rglob("*.py")):
        place = path.relative_to(root).as_posix()
        if place in HOMES:
            continue
        for line, text in source_texts.of(path):
            column = text in (columns.STATE_AT, columns.EVENT_TIMESTAMP) or (
                text == columns.WEEK and place not in PERIODS
            )
            if column or VARIABLE.fullmatch(text):
                found.append(f"{place}:{line}: {text}")
    return found


def test_shared_names_are_typed_once() -> None:
    assert typed_again(ROOT) == []


@pytest.mark.parametrize("line", ['NAME = "state_at"', 'table["week"]', 'os.environ["INTENTFLOW_HOME"]'])
def test_a_name_typed_again_is_found(tmp_path: Path, line: str) -> None:
    (tmp_path / "components").mkdir()
    (tmp_path / "components" / "planted.py").write_text(line + "\n")
    assert len(typed_again(tmp_path)) == 1


def test_manifests_name_only_variables_that_the_code_reads() -> None:
    known = {value for name, value in vars(env_names).items() if name.isupper()}
    for path in (ROOT / "pipelines" / "environments").glob("*.yaml"):  # what an environment fills in
        known |= set(VARIABLE.findall(path.read_text()))
    for path in (ROOT / "k8s").rglob("environment.yaml"):  # and what one of a cluster says that it asks with
        known |= set(re.findall(r"key_env: (INTENTFLOW_\w+)", path.read_text()))
    for path in sorted((ROOT / "k8s").rglob("*.yaml")):
        assert set(VARIABLE.findall(path.read_text())) <= known, path
