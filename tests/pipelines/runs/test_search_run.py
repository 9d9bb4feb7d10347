"""A run whose search is killed midway goes on with its finished trials; what it finds is trained, gated and released.

Its state is a new one, beside that of the shop whose demo has run: what was computed there is found in the cache.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.intent.search.study import JOURNAL
from feature_repo import files
from tests.patience import patient
from tests.pipelines.conftest import Shop

# Two whole runs, of which one is killed, and six trainings in a process of their own.
pytestmark = [pytest.mark.slow, pytest.mark.process, pytest.mark.timeout(1800)]

TRIALS = 6
SEARCH = {
    "trials": TRIALS,
    "mode": "auto",
    "space": {"learning_rate": {"low": 1e-4, "high": 0.05, "log": True}, "dropout": [0.0, 0.2]},
}
FINISHED = b'"op_code":6'  # Optuna's record of a trial that changes its state; `state` 1 is complete, 2 pruned


@dataclass(frozen=True)
class SearchingShop(Shop):
    """The same files, with a search for the intent model's settings."""

    state: Path

    @property
    def spec(self) -> Path:
        return self.folder / "searching.yaml"

    @property
    def home(self) -> Path:
        return self.state / "shop"

    def environment(self) -> dict[str, str]:
        return super().environment() | {"INTENTFLOW_STATE": str(self.state)}

    def ended(self) -> int:
        """Count the trials that have ended."""
        lines = [line for path in self.home.glob(f"search/*/{JOURNAL}") for line in path.read_bytes().splitlines()]
        return sum(FINISHED in line and (b'"state":1' in line or b'"state":2' in line) for line in lines)


@pytest.fixture
def searching(shop: Shop, tmp_path: Path) -> SearchingShop:
    found = SearchingShop(shop.folder, tmp_path / "state")
    document = yaml.safe_load(shop.spec.read_text())
    own = document.get("models", {}).get("intent", {}) | {"learning_rate": 1e-4, "search": SEARCH}
    document["models"] = document.get("models", {}) | {"intent": own}
    document["promotion"] = {"gates": [{"metric": "intent.bce", "against": "value", "limit": 100.0}]}
    found.spec.write_text(yaml.safe_dump(document, sort_keys=False))
    for kept in ("secrets", "runs/.kfp_cache"):
        shutil.copytree(shop.home / kept, found.home / kept)
    return found


def test_a_run_that_is_killed_in_its_search_goes_on_and_releases_what_it_found(searching: SearchingShop) -> None:
    command = [sys.executable, "-m", "pipelines.cli", "run", str(searching.spec)]
    first = subprocess.Popen(command, env=searching.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + patient(300)
    while searching.ended() < 2:
        assert first.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline, "no trial ended"
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGKILL)
    first.wait(timeout=patient(20))
    time.sleep(1)  # its steps end with it
    before = searching.ended()
    assert 2 <= before < TRIALS

    done = searching.run("run", str(searching.spec), timeout=600)
    assert done.returncode == 0, done.stderr
    assert searching.ended() == TRIALS, "finished trials were kept, and none was run twice"
    assert f"A search tried {TRIALS} settings of the intent model" in done.stdout
    assert "The model was trained with these settings, and the gates judged it:" in done.stdout

    (study,) = (path.parent for path in searching.home.glob(f"search/*/{JOURNAL}"))
    (found,) = (files.read_json(path) for path in searching.home.rglob("intent_search/search.json"))
    assert found["study"] == study.name
    best = next(one for one in found["trials"] if one["number"] == found["best"])
    assert found["better"], "the spec's own learning rate is far too small"

    released = searching.json("release", str(searching.spec))
    folder = Path(next(value for key, value in released.items() if key in ("folder", "path")))
    settings = files.read_json(next(folder.rglob("settings.json")))
    assert settings["learning_rate"] == best["chosen"]["learning_rate"], "the release tells what it was trained with"
    _logged(searching, found, settings)

    again = searching.json("run", str(searching.spec))
    assert "search_intent" not in [line["step"] for line in again["steps"]], "its result is in the cache"


def _logged(shop: SearchingShop, found: dict[str, Any], settings: dict[str, Any]) -> None:
    """Read MLflow: a nested run for each trial, and the result's own parameters are the best trial's."""
    import mlflow

    (database,) = shop.home.rglob("mlflow.db")
    client = mlflow.MlflowClient(f"sqlite:///{database}")
    experiment = client.get_experiment_by_name("shop")
    runs = client.search_runs([experiment.experiment_id])
    nested = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(nested) == len(found["trials"]) == TRIALS
    (parent,) = {run.data.tags["mlflow.parentRunId"] for run in nested}
    assert float(client.get_run(parent).data.params["intent.learning_rate"]) == settings["learning_rate"]
