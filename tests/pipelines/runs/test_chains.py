"""The three chains, end to end on made worlds: segments, a network of their own, an answer of what users do next.

Each is the spec of the checkout with another source, a smaller split and smaller models: minutes in all, so `slow`.
"""

import csv
import datetime as dt
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from components.intent.forecasts.score import ForecastScorer
from components.intent.score import IntentScorer
from feature_repo import files
from tests.patience import patient

ROOT = Path(__file__).resolve().parents[3]
SPECS = ROOT / "pipelines" / "specs"
START = dt.datetime(2024, 1, 1, 9, tzinfo=dt.UTC)  # a Monday
USERS, GROUPS, ITEMS = 60, 3, 6  # items of each of six categories
SPLIT = {"week": {"warmup_weeks": 4, "validate_weeks": 2, "test_weeks": 3}}
DAYS = {"warmup_steps": 14, "validate_steps": 5, "test_steps": 7}
SMALL = {"width": 16, "layers": 1, "epochs": 2}
pytestmark = [pytest.mark.slow, pytest.mark.process]


def happened(*, steps: int, days: int, seed: int = 4) -> Iterator[tuple[int, int, dt.datetime, float]]:
    """Yield (user, item, time, value): a user of group g takes turns between categories 2g and 2g + 1."""
    rng = np.random.default_rng(seed)
    for step in range(steps):
        for user in range(USERS):
            if rng.random() > 0.7:
                continue
            group = user % GROUPS
            category = 2 * group + (step + user) % 2
            at = START + dt.timedelta(days=days * step, minutes=int(rng.integers(600)))
            for n in range(2):
                item = category * ITEMS + int(rng.integers(ITEMS))
                yield user, item, at + dt.timedelta(minutes=n), round(float(rng.uniform(4, 6)) * (1 + group), 2)


def made(folder: Path, chain: str, kind: str, *, step: str) -> Path:
    """Write the files of a world, and the chain's spec over them."""
    rows = list(happened(steps=24 if step == "week" else 60, days=7 if step == "week" else 1))
    with (folder / "events.csv").open("w", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow(["user", "item", "event", "time", "value"])
        lines.writerows([f"u{u:02}", f"i{i:03}", kind, at.isoformat(), v] for u, i, at, v in rows)
    with (folder / "items.csv").open("w", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow(["item", "category", "genres"])
        lines.writerows([f"i{i:03}", f"C{i // ITEMS}", f"C{i // ITEMS}"] for i in range(2 * GROUPS * ITEMS))
    document: dict[str, Any] = yaml.safe_load((SPECS / f"{chain}.yaml").read_text())
    columns = {"user_id": "user", "item_id": "item", "event": "event", "timestamp": "time", "value": "value"}
    document["data"] = {
        "source": {
            "type": "csv",
            "events": {"path": "events.csv", "columns": columns},
            "items": {"path": "items.csv", "columns": {"item_id": "item", "category": "category", "genres": "genres"}},
        },
        "split": SPLIT["week"] if step == "week" else DAYS,
    } | ({} if step == "week" else {"step": step})
    document["profiles"] |= {"windows_days": [7], "segments": document["profiles"]["segments"] | {"k": GROUPS}}
    document["models"]["intent"] |= SMALL
    document["models"]["forecast"] = {"width": 8, "epochs": 4}
    ranking = {"min_item_sessions": 2, "min_item_users": 1, "train_weeks": 8, "width": 16, "epochs": 1}
    document["models"]["ranking"] |= ranking
    document["models"]["ranking"].pop("repeat", None)
    document["promotion"] = {"gates": [{"metric": "intent.map", "limit": 0.05}]}
    spec = folder / f"{chain}.yaml"
    spec.write_text(yaml.safe_dump(document, sort_keys=False))
    return spec


def run(spec: Path, *arguments: str) -> Path:
    """Take a verb of the command line; return the state folder."""
    state = spec.parent / "state"
    environment = os.environ | {"INTENTFLOW_STATE": str(state), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pipelines.cli", *arguments, str(spec)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=patient(240), check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-2000:]
    return state / spec.stem


@pytest.mark.parametrize(
    ("chain", "kind", "step", "method", "architecture", "forecast"),
    [
        ("chain-shop", "purchase", "week", "kmeans", "lstm", "spend"),
        ("chain-social", "follow", "day", "lda", "rnn", "next_topic"),
        ("chain-video", "watch", "day", "encoder", "cnn", "watched"),
    ],
)
def test_a_chain_runs_from_files_to_a_release(
    tmp_path: Path, chain: str, kind: str, step: str, method: str, architecture: str, forecast: str
) -> None:
    spec = made(tmp_path, chain, kind, step=step)
    home = run(spec, "run")
    folders = {name: Path(at) for name, at in files.read_json(home / "run.json")["folders"].items()}
    segments = files.read_json(folders["rows"] / "segments.json")
    assert (segments["method"], len(segments["names"])) == (method, GROUPS)
    scorer = IntentScorer.served(folders["intent"])
    assert scorer.shape.architecture == architecture
    metrics = files.read_json(folders["forecasts"] / "evaluation" / "metrics.json")
    assert any(key.endswith(f":{forecast}") for key in metrics["test"])
    if chain != "chain-shop":
        return
    scored = files.read_json(run(spec, "job", "score") / "scores" / "latest.json")["folder"]
    table = pq.read_table(home / "scores" / scored / "forecasts.parquet").to_pylist()
    assert {(row["name"], row["kind"], row["unit"]) for row in table} == {("spend", "regression", "USD")}
    assert len({row["user_id"] for row in table}) == USERS
    held = next(home.rglob("forecasts/forecasts.json")).parents[1]  # the intent model's folder in the registry
    served = ForecastScorer.served(held)
    assert served is not None
    assert served.names == ["spend"]
