"""The table of the domains' specs: each one's data is found or it is skipped, and the best baseline is named."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml

from benchmarks import domain_specs, domains
from components import resamples
from feature_repo import files
from tests.patience import patient

RANKING = {
    "model": 0.3, "baselines": {"popular": 0.1, "last_event": 0.31}, "best": "last_event", "difference": (-0.03, 0.01),
    "users": 50, "test": {"rows": 60.0, "recall_at_10": 0.4},
}  # fmt: skip


def spec(folder: Path, path: str) -> Path:
    document = {"data": {"source": {"type": "csv", "events": {"path": path}, "items": {"from": "users"}}}}
    (folder / "social.yaml").write_text(yaml.safe_dump(document))
    return folder / "social.yaml"


def finished(spec: Path, folder: Path) -> dict[str, Any]:
    (folder / "state/social").mkdir(parents=True)
    files.write_json(folder / "state/social/run.json", {"steps": [{"step": "ingest", "events": 59_835}]})
    files.write_json(folder / "state/social/report.json", {"first_answer_s": 150.0})
    return {"verdict": "undecided", "ranking": RANKING}


def test_a_spec_whose_data_lies_in_the_folder_of_data_is_run_on_it(tmp_path: Path) -> None:
    for name in ("specs", "data", "scratch"):
        (tmp_path / name).mkdir()
    (tmp_path / "data/messages.txt").write_text("1 2 3\n")
    found, lacking = domain_specs.placed(
        spec(tmp_path / "specs", "messages.txt"), tmp_path / "data", tmp_path / "scratch"
    )
    assert (found, lacking) == (tmp_path / "scratch/social.yaml", "")
    source = yaml.safe_load(found.read_text())["data"]["source"]
    assert source["events"]["path"] == str(tmp_path / "data/messages.txt")


def test_a_spec_without_its_data_is_skipped_and_says_which(tmp_path: Path) -> None:
    found, lacking = domain_specs.placed(spec(tmp_path, "messages.txt"), tmp_path, tmp_path)
    assert (found, lacking) == (None, f"no messages.txt in {tmp_path} or {tmp_path}")
    assert domain_specs.placed(tmp_path / "video.yaml", tmp_path, tmp_path) == (None, f"no video.yaml in {tmp_path}")


def test_a_spec_that_beats_not_all_baselines_says_so(tmp_path: Path) -> None:
    found = domain_specs.measured(tmp_path / "social.yaml", tmp_path, finished)
    assert {"rows": 59_835, "verdict": "undecided", "model": 0.3, "best": "last_event", "beats_all": False}.items() <= (
        found.items()
    )
    assert found["difference"] == [-0.03, 0.01]
    assert found["first_answer"] == 2.5
    said = domain_specs.text({"social": found, "clickstream": {"skipped": "no clickstream.yaml"}})
    told = (
        "| social | 59835 | 60 of 50 users | undecided | 0.3000 | 0.4000 | 0.3100 (last_event) | -0.0300 to +0.0100 |"
    )
    assert f"{told} 0.100 popular |" in said
    assert "clickstream (skipped: no clickstream.yaml)" in said


def test_a_run_that_stopped_has_no_figures(tmp_path: Path) -> None:
    found = domain_specs.measured(
        tmp_path / "x.yaml", tmp_path, lambda spec, folder: {"verdict": "stopped", "why": "y"}
    )
    assert (found["model"], found["difference"], found["beats_all"], found["rows"]) == (None, None, None, None)
    assert "x: y" in domain_specs.text({"x": found})


def test_what_is_asked_within_visits_is_compared_with_its_own_baselines(tmp_path: Path) -> None:
    folder = tmp_path / "shop/runs/first/train-session/session_model/evaluation"
    folder.mkdir(parents=True)
    sides = {"model": 0.7, "last_event": 0.5, "markov_1": 0.6}
    values = {name: {"auroc": value} for name, value in sides.items()}
    files.write_json(folder / "metrics.json", {"test": values.pop("model"), "baselines": values})
    drawn = np.linspace(-0.01, 0.01, 1000)
    lines = [resamples.Line("auroc", value + drawn, 900, 300, side=name) for name, value in sides.items()]
    resamples.write(folder, lines, rows_digest="")
    found = domains._metrics(tmp_path)
    assert set(found) == {"session"}
    assert (found["session"]["model"], found["session"]["best"], found["session"]["users"]) == (0.7, "markov_1", 300)
    assert found["session"]["difference"][0] > 0.09
    row = domain_specs.measured(tmp_path / "x.yaml", tmp_path, lambda spec, folder: {"verdict": "passed"} | found)
    assert "x, within visits: auroc 0.7000, best baseline 0.6000 (markov_1), difference +0." in domain_specs.text(
        {"x": row}
    )


def test_processor_minutes_are_those_of_the_runs_processes_and_not_of_others(tmp_path: Path) -> None:
    busy = "import time\nend = time.process_time() + 1.2\nwhile time.process_time() < end: pass"

    def run(spec: Path, folder: Path) -> dict[str, Any]:
        subprocess.run([sys.executable, "-c", busy], check=True)
        own = time.process_time()
        while time.process_time() < own + 1.2:  # the benchmark's own work is no cost of the run
            pass
        return {"verdict": "passed"}

    found = domain_specs.measured(tmp_path / "x.yaml", tmp_path, run)
    assert 0.02 <= found["cpu_minutes"] <= 0.03
    assert found["first_answer"] is None


@pytest.mark.process
def test_of_a_run_that_takes_too_long_nothing_goes_on(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    inner = f"import os, time; open({str(told)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}], start_new_session=True)"
    for limit_s in (1, 4, 16, patient(16)):  # a busy machine may have begun nothing within a second
        found = domains.ended([sys.executable, "-c", outer], os.environ, limit_s=limit_s)
        assert found is None
        if told.exists() and told.read_text():
            break
    assert not psutil.pid_exists(int(told.read_text()))


@pytest.mark.process
def test_a_folder_to_keep_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    done = _asked("--specs", "--only", "music", "--keep", str(tmp_path))
    assert done.returncode == 2
    assert "is there and not empty; name a new folder" in done.stderr


def _asked(*more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.domains", "--json", *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.process
def test_a_name_that_is_none_is_one_line() -> None:
    done = _asked("--specs", "--only", "musik")
    assert done.returncode == 2
    assert "--only: 'musik' is no spec of --specs; have grocery, movies, clickstream" in done.stderr
    assert "did you mean 'music'?" in done.stderr


@pytest.mark.slow
@pytest.mark.process
def test_the_quick_form_runs_a_small_spec() -> None:
    done = _asked("--specs", "--quick")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["specs"].values()
    assert found["rows"] > 1000
    assert 0 < found["model"] <= 1
    assert {"popular_now", "personal_frequency", "item_knn", "last_event"} <= set(found["baselines"])
    assert len(found["difference"]) == 2
    assert 0 < found["first_answer"] <= found["minutes"]
    assert found["cpu_minutes"] > 0
