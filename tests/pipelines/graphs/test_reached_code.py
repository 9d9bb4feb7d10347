"""The code part of a step's cache key moves with what the step reaches by imports, and with nothing else."""

import ast
import functools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from feature_repo.checkout import ROOT
from pipelines.graphs import reached_code
from pipelines.graphs.parameters import CODES
from pipelines.graphs.reached_code import Known, Tree

COMPONENTS = ("data", "profiles", "intent", "ranking", "registry")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of our sources, which every test leaves as it was."""
    tree = tmp_path_factory.mktemp("tree")
    for package in ("components", "feature_repo"):
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tree


def _digests(tree: Path) -> dict[str, str]:
    read = Tree(tree)
    return {name: read.digest(name) for name in COMPONENTS}


@functools.cache
def _before(tree: Path) -> dict[str, str]:
    return _digests(tree)


def _moved(tree: Path, file: str) -> set[str]:
    """Edit a file, name the components whose digest is another one for it, and undo the edit."""
    before, path = _before(tree), tree / file
    held = path.read_bytes()
    path.write_bytes(held + b"\n# edited\n")
    after = _digests(tree)
    path.write_bytes(held)
    return {name for name in COMPONENTS if before[name] != after[name]}


def test_every_component_with_a_digest_among_the_parameters_is_looked_at() -> None:
    assert set(COMPONENTS) == set(CODES)


@pytest.mark.parametrize(
    ("file", "moved"),
    [
        ("feature_repo/logs/request_log.py", set()),  # the reader of the request log: no step of these reads it
        ("components/distributed/ranks.py", {"intent", "ranking"}),  # both trainers share it
        ("components/intent/model.py", {"intent"}),  # imported inside functions only
        ("components/intent/networks/lstm.py", {"intent"}),  # loaded by a name in the spec
        ("components/ranking/models/listwise_mlp.py", {"ranking"}),
        ("components/ranking/sources/popular.py", {"ranking"}),
        ("components/intent/__main__.py", {"intent"}),  # what torchrun starts
        ("components/data/synthetic.py", {"data"}),
        ("components/data/contract.html.jinja", {"data"}),
        ("components/profiles/segments/segments.html.jinja", {"profiles"}),
        ("components/profiles/online/__init__.py", {"profiles"}),
        ("feature_repo/feature_store.yaml", {"profiles", "ranking"}),  # in a folder above the module that reads it
        ("feature_repo/columns.py", set(COMPONENTS)),
        (
            "feature_repo/privacy/tombstones.py",
            {"data", "profiles", "ranking"},
        ),  # rows online leave people out, answers too
        ("components/leakage/compare.py", set()),  # a check, no step
        ("components/registry/rollout_tags.py", set()),  # the loop's
    ],
)
def test_a_change_moves_the_digests_of_the_steps_that_reach_it(tree: Path, file: str, moved: set[str]) -> None:
    assert _moved(tree, file) == moved


def test_a_change_in_any_file_that_is_reached_moves_the_digest_and_in_no_other(tree: Path) -> None:
    whole = [str(path.relative_to(tree)) for path in sorted(tree.rglob("*")) if path.is_file()]
    reached = {name: set(Tree(tree).reached(name)) for name in COMPONENTS}
    for file in whole[::31]:  # each takes a tenth of a second
        assert _moved(tree, file) == {name for name in COMPONENTS if file in reached[name]}, file


PROBE = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
names = ("components", "feature_repo", "monitoring", "bentos", "pipelines")
files = [m.__file__ for n, m in sys.modules.items() if n.partition(".")[0] in names and getattr(m, "__file__", None)]
print("FILES", json.dumps(files))
"""


@pytest.mark.parametrize("component", ["data", "ranking"])
def test_what_python_really_loads_is_among_what_is_reached(component: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", PROBE, f"components.{component}.steps"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("FILES ")]
    loaded = {str(Path(file).relative_to(ROOT)) for file in json.loads(line.removeprefix("FILES "))}
    assert f"components/{component}/steps.py" in loaded
    assert loaded - set(Tree(ROOT).reached(component)) == set()


def test_types_alone_reach_nothing_and_a_relative_import_reaches_its_module(tmp_path: Path) -> None:
    def write(file: str, text: str) -> None:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)

    write("components/toy/__init__.py", "")
    write("components/toy/component.py", "def run():\n    from components.toy import steps\n")
    write(
        "components/toy/steps.py",
        "from typing import TYPE_CHECKING\nfrom .near import value\nimport feature_repo.far.away\n"
        "if TYPE_CHECKING:\n    from components.toy.typed import Kind\nelse:\n    import components.toy.plain\n",
    )
    for name in ("near", "typed", "plain"):
        write(f"components/toy/{name}.py", "")
    write("feature_repo/far/__init__.py", "")
    write("feature_repo/far/away.py", "")
    assert Tree(tmp_path).reached("toy") == [
        "components/toy/__init__.py",
        "components/toy/component.py",
        "components/toy/near.py",
        "components/toy/plain.py",
        "components/toy/steps.py",
        "feature_repo/far/__init__.py",
        "feature_repo/far/away.py",
    ]


def test_the_same_code_elsewhere_and_later_has_the_same_digest(tree: Path) -> None:
    for path in tree.rglob("*.py"):
        path.touch()
    assert _digests(tree) == _digests(ROOT)


SOURCE = b"from . import near\nimport feature_repo.far as far\nTEMPLATE = 'page.jinja'\nfar.import_module(far)\n"


def test_what_a_source_leads_to_is_parsed_by_the_first_process_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file, another = tmp_path / "cache" / "kept.json", SOURCE.replace(b"far", b"near")
    first = Known(file)
    leads = first.leads(SOURCE)
    assert set(leads) == {
        (reached_code.FROM, 1, "", "near"),
        (reached_code.IMPORT, "feature_repo.far"),
        (reached_code.FILE, "page.jinja"),
        (reached_code.BESIDE,),
    }
    first.keep()
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    with monkeypatch.context() as patch:
        patch.setattr(ast, "parse", lambda _: pytest.fail("parsed again"))
        assert Known(file).leads(SOURCE) == leads
    assert (reached_code.IMPORT, "feature_repo.near") in Known(file).leads(another), "another source is another key"
    assert not Known(file).leads(b"")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"by": "another"}', '{"by": "OWN", "found": {"x": 1}}'])
def test_what_was_kept_by_other_code_or_half_written_is_parsed_anew(tmp_path: Path, text: str) -> None:
    file = tmp_path / "kept.json"
    expected = Known(file).leads(SOURCE)
    file.write_text(text.replace("OWN", Known(file).own))
    assert Known(file).leads(SOURCE) == expected


def test_where_byte_code_may_not_be_written_nothing_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for written, file in ((True, tmp_path / "kept.json"), (False, Path("/proc/nowhere/kept.json"))):
        monkeypatch.setattr(sys, "dont_write_bytecode", written)
        known = Known(file)
        known.leads(SOURCE)
        known.keep()
        assert not file.exists()
