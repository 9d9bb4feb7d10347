"""Mutation testing finds a missing test: known sources with known faults, and runs on a small world."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from tests.mutation import __main__ as command
from tests.mutation.operators import Mutant, mutants
from tests.mutation.targets import TARGETS

SOURCE = '''"""Words of a module."""

LIMIT: int = 3


def least(a, b):
    """Words of a function."""
    return a <= b


class Slice:
    size: int = Field(default=2, ge=1, description="words for people")

    @property
    def double(self):
        return self.size * 2
'''


def after(source: str) -> list[str]:
    return [one.after for one in mutants("a.py", source)]


@pytest.mark.parametrize(
    ("source", "edits"),
    [
        ("x = a < b\n", ["x = None", "x = a <= b"]),
        ("x = a and not b\n", ["x = None", "x = a or not b", "x = a and b"]),
        ("x = 'word'\n", ["x = None", "x = 'XXwordXX'"]),
        ("def f(x: 'A | B' = 1): return x\n", ["def f(x: 'A | B' = 2): return x"]),
        ("T = TypeVar('T')\n", []),
        ("Row = Mapping[str, int]\n", []),
        (
            "class A:\n    x: int | None = Field(default=None, description='words')\n",
            ["x: int | None = Field(description='words')"],
        ),
        ("assert isinstance(x, A)\n", []),
        ("import a\nfrom b import c\n", []),
        ('"""Words."""\n', []),
    ],
)
def test_a_source_has_these_faults(source: str, edits: list[str]) -> None:
    assert after(source) == edits


def test_decorated_functions_and_class_bodies_are_mutated_and_words_for_people_are_not() -> None:
    found = mutants("a.py", SOURCE)
    assert {(one.place, one.line) for one in found} == {("", 3), ("least", 8), ("Slice", 12), ("Slice.double", 16)}
    assert not [one for one in found if "words for people" not in one.source and "size: int = None" not in one.source]
    assert "size: int = Field(default=3, ge=1, description=" in "\n".join(one.source for one in found)


def test_a_name_outlives_edits_of_other_places() -> None:
    before = {one.name for one in mutants("a.py", SOURCE)}
    assert before == {one.name for one in mutants("a.py", SOURCE.replace("LIMIT", "\n\nLIMIT"))} | set()
    assert len(before) == len(mutants("a.py", SOURCE))


def test_every_mutant_is_its_source_with_one_edit() -> None:
    original = Path("pipelines/rollout/fencing.py").read_text()
    found = mutants("pipelines/rollout/fencing.py", original)
    assert len(found) > 100
    assert sum(one.differs(original) for one in found[:40]) > 30
    for one in found[:40]:
        changed = [
            line for line in one.diff(original).splitlines() if line[0] in "+-" and line[:3] not in ("+++", "---")
        ]
        assert changed


def test_a_sample_does_not_change_where_other_mutants_come_and_go() -> None:
    sources = {"a.py": SOURCE}
    found = mutants("a.py", SOURCE)
    chosen = command.sample(found, sources, size=4, seed=1)
    gone = next(one for one in found if one not in chosen)
    assert command.sample([one for one in found if one != gone], sources, size=4, seed=1) == chosen
    assert command.sample(found, sources, size=4, seed=2) != chosen


def test_an_equivalent_mutant_must_exist_and_few_may_be() -> None:
    found = mutants("a.py", SOURCE)
    with pytest.raises(SystemExit, match="no such mutant any more"):
        command.equivalent(found, ["a.py::least: return a <= b -> return a"])
    with pytest.raises(SystemExit, match="are too many, 5% may be"):
        command.equivalent(found, [found[0].name])
    many = [Mutant("a.py", "", "a", "b", number, 1, "") for number in range(20)]
    assert command.equivalent(many, [many[0].name, "b.py::another module's"]) == {many[0].name}


def test_what_is_listed_as_equivalent_has_a_reason_and_a_target() -> None:
    for one in yaml.safe_load(command.EQUIVALENT.read_text()):
        assert one["reason"]
        assert one["mutant"].partition("::")[0] in TARGETS


def test_targets_and_their_tests_exist() -> None:
    for module, tests in TARGETS.items():
        assert all(Path(path.partition("::")[0]).is_file() for path in (module, *tests)), module


LIMITS = """
def inside(x):
    return 0 <= x < 10


def loop(n):
    while n > 0:
        n = n - 1
    return n
"""
TEST = """
import limits


def test_inside():
    assert limits.inside(5)
    assert not limits.inside(10)


def test_loop():
    assert limits.loop(3) == 0
"""
RUN = """
import sys
from pathlib import Path
from tests.mutation import __main__ as command, server
server.ROOT = Path.cwd()
server.LEAST_CPU_S = 2
command.TARGETS = {"limits.py": ("test_limits.py",)}
sys.exit(command.main(["--all", "--least", sys.argv[1]]))
"""


@pytest.mark.parametrize(("least", "code"), [("75", 0), ("76", 1)])
def test_too_few_that_are_found_are_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least: str, code: int
) -> None:
    def measured(chosen: Sequence[Mutant], report: command.Report, *, parallel: int) -> None:
        report.killed["limits.py"] = 3
        report.survivors.append(chosen[0])

    (tmp_path / "limits.py").write_text(LIMITS)
    monkeypatch.setattr(command.server, "ROOT", tmp_path)
    monkeypatch.setattr(command, "TARGETS", {"limits.py": ("test_limits.py",)})
    monkeypatch.setattr(command, "measure", measured)
    assert command.main(["--all", "--least", least]) == code


@pytest.mark.process
def test_a_survivor_is_shown_and_too_many_fail(tmp_path: Path) -> None:
    (tmp_path / "limits.py").write_text(LIMITS)
    (tmp_path / "test_limits.py").write_text(TEST)
    script = tmp_path / "run.py"
    script.write_text(RUN)
    environment = {"PYTHONPATH": f"{Path.cwd()}:{tmp_path}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, str(script), "95"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "-    return 0 <= x < 10\n+    return 1 <= x < 10" in done.stdout  # nobody asks about 0
    assert "n = n + 1" not in done.stdout  # an endless loop is found
    last = done.stdout.splitlines()[-1]
    assert last.startswith("mutants: ")
    assert "0 more are equivalent" in last
