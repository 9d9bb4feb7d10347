"""Every file of the corpus, crashes that were mended among them, is read as documented."""

import importlib.util
import subprocess
import sys

import pytest

from feature_repo.checkout import ROOT
from tests.fuzz.targets import CORPUS, TARGETS, quiet
from tests.patience import patient

FILES = sorted(path for path in CORPUS.rglob("*") if path.is_file())
LARGEST = 256 << 10  # of the corpus, so that a checkout stays small
WITHOUT_ATHERIS = pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="`make fuzz` installs atheris")


@pytest.mark.parametrize("name", TARGETS)
def test_a_reader_has_seeds_and_no_seeds_are_of_a_reader_that_is_gone(name: str) -> None:
    assert {path.parent.name for path in FILES} == set(TARGETS)
    assert any(path.parent.name == name for path in FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_seed_is_taken_or_refused_as_documented(path) -> None:
    with quiet():
        TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_cut_short_or_empty_is_taken_or_refused_as_documented(name: str) -> None:
    with quiet():
        for path in (path for path in FILES if path.parent.name == name):
            data = path.read_bytes()
            for end in {0, 1, len(data) // 3, len(data) // 2, len(data) - 1}:
                TARGETS[name](data[:end])


def test_the_corpus_stays_small() -> None:
    assert sum(path.stat().st_size for path in FILES) < LARGEST


@pytest.mark.process
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "requsts"], "--only: no reader 'requsts'; have backups"),
        (["--minutes", "0"], "--minutes: 0 is not allowed"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(words: list[str], said: str) -> None:
    done = subprocess.run([sys.executable, "-m", "tests.fuzz", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.process
@WITHOUT_ATHERIS
@pytest.mark.timeout(3600)
def test_no_reader_falls_over_in_ten_minutes() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--minutes", "10"],
        cwd=ROOT, capture_output=True, text=True, timeout=patient(1500),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert f"{len(TARGETS)} of {len(TARGETS)} readers held" in done.stdout


@pytest.mark.slow
@pytest.mark.process
@WITHOUT_ATHERIS
def test_a_planted_fault_is_found(tmp_path) -> None:
    """Known answer: a reader that falls over at three letters, which chance alone would not hit in this time."""
    planted = tmp_path / "planted.py"
    planted.write_text(
        "import sys\nimport tests.fuzz.targets as targets\n"
        "def reader(data):\n"
        "    if data[:1] == b'f':\n        if data[1:2] == b'o':\n            if data[2:3] == b'x':\n"
        "                raise LookupError('found')\n"
        "import atheris\ntargets.TARGETS['planted'] = atheris.instrument_func(reader)\n"
        "sys.argv = ['one_target', 'planted', '-max_total_time=60', f'-artifact_prefix={sys.argv[1]}/']\n"
        "from tests.fuzz.one_target import main\nmain()\n"
    )
    done = subprocess.run(
        [sys.executable, str(planted), str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=patient(120), env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )  # fmt: skip
    assert done.returncode != 0
    assert "LookupError: found" in done.stdout + done.stderr
