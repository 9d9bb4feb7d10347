"""A run that is killed, or that finds the disk full, leaves nothing half-written and goes on where it was."""

import compileall
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.patience import patient
from tests.pipelines.conftest import GATES, ROOT, open_shop


@pytest.mark.slow  # two runs of a shop; CI runs it
def test_killed_between_two_steps_a_run_goes_on_where_it_was(tmp_path: Path) -> None:
    shop = open_shop(tmp_path)
    shop.edit(promotion={"gates": GATES})
    command = [sys.executable, "-m", "pipelines.cli", "run", str(shop.spec)]
    running = subprocess.Popen(
        command, env=shop.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    progress = shop.home / "progress.jsonl"
    deadline = time.monotonic() + patient(200)
    while not (progress.is_file() and '"step": "profiles", "seconds"' in progress.read_text()):
        assert running.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, "the profiles step did not end in time"
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert not list(shop.home.rglob("*.part/report.json"))
    text = shop.spec.read_text()
    assert shop.json("run", str(shop.spec))["passed"] is True
    assert shop.spec.read_text() == text
    ran = {line["step"] for line in map(json.loads, progress.read_text().splitlines()) if "seconds" in line}
    assert {"ingest", "validate"} & ran == set(), "finished steps ran again"
    assert {"training_set", "register", "materialise"} <= ran


@pytest.mark.slow  # two runs of a shop; CI runs it
@pytest.mark.process
@pytest.mark.parametrize("most", [20_000, 60_000], ids=["log", "table"])
def test_a_disk_that_is_full_leaves_nothing_half_written(most: int, tmp_path: Path) -> None:
    """A file size limit stands in for the full disk: the write fails in the run's log, or amid a table."""
    # Python would keep a .pyc that the limit cuts short, and fail on it from then on.
    for package in ("components", "feature_repo", "pipelines", "monitoring", "bentos"):
        compileall.compile_dir(ROOT / package, quiet=2)
    shop = open_shop(tmp_path)
    code = f"import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most}))\n"
    code += f"from pipelines.cli import main; main(['run', {str(shop.spec)!r}])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=shop.environment(),
        capture_output=True,
        text=True,
        timeout=patient(120),
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("intentflow: "), done.stderr
    assert not list(shop.home.rglob("*.part"))
    for table in (shop.home / "runs").rglob("*.parquet"):
        pq.ParquetFile(table)  # whole, or it would not open
