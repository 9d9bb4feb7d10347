"""Pages and docstrings tell the truth about the tree: every link, every path and every file name in them exists."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from feature_repo.checkout import ROOT

PACKAGES = ("pipelines", "components", "feature_repo", "bentos", "monitoring", "benchmarks")
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "k8s/README.md", ROOT / "benchmarks/README.md"]
)
CODE = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)")
FILE = re.compile(r"(?<![\w/.*<>{}$-])((?:[\w-]+/)*[\w-]+\.py)\b")
MADE = re.compile(r"^```python\n# (\S+\.py)$", re.MULTILINE)  # files that a page has a reader make
NAMES = {path.name for path in ROOT.glob("**/*.py") if ".venv" not in path.parts}


def unknown(text: str) -> Iterator[str]:
    """Yield the Python files that a text names and the tree does not have."""
    made = set(MADE.findall(text))
    for name in FILE.findall(text):
        there = (
            (ROOT / name).is_file() if name.split("/")[0] in (*PACKAGES, "tests", "k8s") else Path(name).name in NAMES
        )
        if not there and name not in made:
            yield name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    links = [link for link, _ in LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_a_page_names_exist(page: Path) -> None:
    assert list(unknown(page.read_text())) == []


def test_files_that_docstrings_and_comments_name_exist() -> None:
    found = [f"{path.relative_to(ROOT)}: {name}" for path in CODE for name in unknown(path.read_text())]
    assert found == []


def test_a_file_that_is_gone_is_found() -> None:
    assert list(unknown("see pipelines/nowhere.py and `gone_for_good.py`, not pipelines/cli.py")) == [
        "pipelines/nowhere.py",
        "gone_for_good.py",
    ]


def test_the_readme_is_read_in_two_minutes() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_the_map_names_every_page() -> None:
    text = (ROOT / "docs" / "README.md").read_text()
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")} - {"README.md"}
    assert sorted(page for page in pages if f"]({page})" not in text) == []
