"""The checkerboards of intent and ranking as commands that torchrun can start."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from components.intent.spec import IntentModel
from tests.intent.conftest import INTENTS
from tests.patience import patient
from tests.ranking import board

ROOT = Path(__file__).resolve().parents[2]
# 63: 480 training rows leave a last batch of 39, and neither can be cut in two equal parts
MODEL = IntentModel(architecture="cnn", width=16, layers=1, epochs=2, batch_size=63, learning_rate=1e-2)
RANKING = board.SPEC.model_copy(update={"batch_size": 15})
INTENTS_JSON = json.dumps([intent.model_dump() for intent in INTENTS])


def intent_words(rows: Path, intent: Path, model: IntentModel = MODEL) -> list[str]:
    """Return the command line that trains an intent model."""
    words = ["--intents", INTENTS_JSON, "--model", model.model_dump_json(), "--ranking-weeks", "4"]
    return ["components.intent", *words, "--rows", str(rows), "--intent", str(intent)]


def ranking_words(rows: Path, intent: Path, ranker: Path) -> list[str]:
    """Return the command line that trains a ranker."""
    folders = ["--rows", str(rows), "--intent", str(intent), "--ranker", str(ranker)]
    return ["components.ranking", "--ranking", RANKING.model_dump_json(), *folders]


def started(words: list[str], *, processes: int, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start torchrun on this machine, on a free port."""
    torchrun = Path(sys.executable).with_name("torchrun")
    command = [str(torchrun), "--standalone", "--nproc-per-node", str(processes), "-m", *words]
    variables = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""} | (environment or {})
    return subprocess.Popen(command, cwd=ROOT, env=variables, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str], *, timeout_s: float = 120) -> tuple[int, str]:
    """Wait for the exit code and what was said on stderr."""
    _, said = process.communicate(timeout=patient(timeout_s))
    return process.returncode, said


def closing_lines(said: str) -> list[dict[str, Any]]:
    """Return the closing line of every rank's step, by rank."""
    lines = [json.loads(line) for line in re.findall(r'\{"step": .*\}', said)]
    return sorted(lines, key=lambda line: int(line.get("rank", 0)))
