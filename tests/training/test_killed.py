"""Real processes, killed as the kernel kills: what the next one leaves is what an uninterrupted one leaves."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from components.intent import steps as intent_steps
from tests.distributed.worlds import INTENTS_JSON, ROOT
from tests.intent.conftest import checkerboard, write_rows
from tests.patience import patient
from tests.ranking import board

pytestmark = pytest.mark.process
MODEL: dict[str, Any] = {"architecture": "cnn", "width": 16, "layers": 1, "epochs": 2, "batch_size": 8}
CHECKPOINT = {"trainer": {"checkpoint": {"every": 5}}}
RANKING = board.SPEC.model_copy(update={"batch_size": 2}).model_dump()


def intent_words(rows: Path, model: dict[str, Any], out: Path) -> list[str]:
    given = ["--intents", INTENTS_JSON, "--model", json.dumps(model), "--ranking-weeks", "4"]
    return ["components.intent", *given, "--rows", str(rows), "--intent", str(out)]


def started(words: list[str], home: Path) -> subprocess.Popen[str]:
    variables = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "INTENTFLOW_HOME": str(home)}
    return subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(words: list[str], home: Path) -> str:
    process = started(words, home)
    said = process.communicate(timeout=patient(120))[1]
    assert process.returncode == 0, said
    return said


def killed(words: list[str], home: Path, wanted: Path) -> None:
    """Start it, and kill it once there is a checkpoint by that name."""
    process = started(words, home)
    by = time.monotonic() + patient(60)
    while not wanted.is_file():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < by, "no checkpoint was written"
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(timeout=patient(10)) == -signal.SIGKILL, "it ended before it was killed"


def uninterrupted(rows: Path, out: Path) -> None:
    intent_steps.run_train_intent(INTENTS_JSON, json.dumps(MODEL), ranking_weeks=4, rows=str(rows), intent=str(out))


def course(folder: Path) -> list[dict[str, Any]]:
    epochs = json.loads((folder / "training.json").read_text())["epochs"]
    return [{k: v for k, v in epoch.items() if k not in ("seconds", "stall_share")} for epoch in epochs]


def require_same(found: Path, want: Path) -> None:
    for mine, theirs in zip(course(found), course(want), strict=True):
        figures, wanted = mine.pop("figures", {}), theirs.pop("figures", {})
        assert {k: v for k, v in mine.items() if isinstance(v, str)} == {
            k: v for k, v in theirs.items() if isinstance(v, str)
        }
        for one, other in ((mine, theirs), (figures, wanted)):
            numbers = [name for name, value in other.items() if isinstance(value, float)]
            assert [one[name] for name in numbers] == pytest.approx([other[name] for name in numbers], abs=1e-6)
    assert (found / "weights.safetensors").read_bytes() == (want / "weights.safetensors").read_bytes()


@pytest.mark.slow  # test_resume.py has trainings that die in this process
def test_an_intent_model_survives_kill_9(tmp_path: Path) -> None:
    """Two processes that import torch, since only a real one can be killed."""
    rows, home, out = write_rows(tmp_path / "rows", checkerboard()), tmp_path / "home", tmp_path / "out" / "intent"
    kept = home / "checkpoints" / "train_intent"
    words = intent_words(rows, MODEL | CHECKPOINT, out)
    killed(words, home, kept / "full.safetensors")
    assert not out.exists()
    said = ended(words, home)
    assert '"goes_on_from": "its end"' in said, "the early stage"
    assert '"stage": "full", "goes_on_from": "step ' in said
    assert not kept.exists(), "the model is written, and no checkpoint is left"
    closing = json.loads(next(line for line in said.splitlines() if line.startswith('{"step"')))
    assert 0 <= closing["stall_share"] <= 1
    uninterrupted(rows, tmp_path / "whole")
    require_same(out, tmp_path / "whole")


@pytest.mark.slow
def test_an_intent_model_survives_three_kills_and_then_other_data_are_told_apart(tmp_path: Path) -> None:
    """Six processes that import torch, each some four seconds."""
    rows, home, out = write_rows(tmp_path / "rows", checkerboard()), tmp_path / "home", tmp_path / "out" / "intent"
    kept = home / "checkpoints" / "train_intent"
    words = intent_words(rows, MODEL | CHECKPOINT, out)
    killed(words, home, kept / "early.safetensors")
    killed(words, home, kept / "full.safetensors")
    killed(words, home, kept / "full.safetensors")
    refuses = {"trainer": {"checkpoint": {"every": 5, "other": "refuse"}}}
    other = started(intent_words(rows, MODEL | {"seed": 1} | refuses, out), home)
    said = other.communicate(timeout=patient(60))[1]
    assert other.returncode == 2
    assert "it is of another training: spec models.intent (" in said.splitlines()[-1]
    assert not out.exists()
    ended(words, home)
    uninterrupted(rows, tmp_path / "whole")
    require_same(out, tmp_path / "whole")


@pytest.mark.slow
def test_an_ensemble_survives_kill_9_and_keeps_the_member_that_was_done(tmp_path: Path) -> None:
    """Three processes that import torch and LightGBM."""
    trees = {"rounds": 20, "least": 20, "leaves": 8}
    model = MODEL | {"architecture": "ensemble", "members": ["gbdt", "cnn"], "trees": trees}
    rows, home, out = write_rows(tmp_path / "rows", checkerboard()), tmp_path / "home", tmp_path / "out" / "intent"
    kept = home / "checkpoints" / "train_intent"
    killed(intent_words(rows, model | CHECKPOINT, out), home, kept / "cnn" / "full.safetensors")
    assert not out.exists()
    said = ended(intent_words(rows, model | CHECKPOINT, out), home)
    told = [json.loads(line) for line in said.splitlines() if '"goes_on_from"' in line]
    assert [(Path(line["checkpoint"]).parent.name, line["stage"]) for line in told] == [
        ("gbdt", "early"), ("gbdt", "full"), ("cnn", "early"), ("cnn", "full"),
    ]  # fmt: skip
    assert [line["goes_on_from"] for line in told[:3]] == ["its end"] * 3
    assert not kept.exists(), "the model is written, and no checkpoint is left"
    ended(intent_words(rows, model, tmp_path / "whole"), tmp_path / "other")
    require_same(out, tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["network", "ensemble"])
def test_a_ranker_survives_kill_9(algorithm: str, tmp_path: Path) -> None:
    """Three processes that import torch and make the lists of the ranker."""
    if algorithm == "ensemble":
        pytest.importorskip("lightgbm")
    rows, intent = board.write(tmp_path, board.checkerboard())
    home, out = tmp_path / "home", tmp_path / "out" / "ranker"

    def words(spec: dict[str, Any], to: Path) -> list[str]:
        given = ["--rows", str(rows), "--intent", str(intent), "--ranker", str(to)]
        return ["components.ranking", "--ranking", json.dumps(spec), *given]

    asked = RANKING | {"algorithm": algorithm}
    killed(words(asked | CHECKPOINT, out), home, home / "checkpoints" / "train_ranking" / "full.safetensors")
    assert not out.exists()
    assert '"goes_on_from": "step ' in ended(words(asked | CHECKPOINT, out), home)
    ended(words(asked, tmp_path / "whole"), tmp_path / "other")
    require_same(out, tmp_path / "whole")
