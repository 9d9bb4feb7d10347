"""Time and memory of the whole job: `intentflow demo` in a fresh state folder, then again.

The second demo must do nothing anew and say the same. Memory is the sum of the process tree's proportional shares,
sampled. `--fresh N` runs N fresh states, each with a pseudonym key of its own, and compares them: runs on one machine
must agree.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks import script
from feature_repo import env_names
from feature_repo.errors import ServerError

SAMPLE_S = 0.5
KEYS = {"intent": ("map", "macro_auroc", "bce", "ece"), "ranking": ("ndcg_at_10", "recall_at_10", "phr_at_10")}


def measure(asked: argparse.Namespace) -> script.Document:
    """Run the demo in as many fresh states as asked, and each a second time."""
    with tempfile.TemporaryDirectory(prefix="intentflow-demo-") as scratch:
        folder = Path(scratch)
        spec = _small(folder) if asked.quick else asked.spec
        runs = []
        for number in range(asked.fresh):
            state = folder / f"state-{number}"
            script.note(f"fresh state {number + 1} of {asked.fresh}")
            first, second = (_demo(spec, state) for _time in range(2))
            same = all(first["report"][key] == second["report"][key] for key in ("release", "recommendations"))
            runs.append(_summary(first, second) | {"second_is_the_same": same})
        alike = {key: all(run[key] == runs[0][key] for run in runs) for key in ("release", "recommended")}
        return {"spec": str(spec.name), "runs": runs, "largest_difference": _difference(runs), "alike": alike}


def _summary(first: dict[str, Any], second: dict[str, Any]) -> script.Document:
    report = first["report"]
    return {
        "seconds": {"first": first["seconds"], "second": second["seconds"]},
        "cpu_s": {"first": first["cpu_s"], "second": second["cpu_s"]},
        "steps": report["seconds"],
        "peak_memory_gib": max(first["peak_memory_gib"], second["peak_memory_gib"]),
        "metrics": {f"{part}.{m}": report[part]["test"][m] for part, names in KEYS.items() for m in names},
        "baselines": {part: report[part]["baseline"] for part in KEYS},
        "release": report["release"]["id"],
        "recommended": [item["item_id"] for item in report["recommendations"]],
        "ran_anew_the_second_time": second["report"]["ran"],
    }


def _difference(runs: list[script.Document]) -> float:
    """Return the largest difference of a metric between two fresh states."""
    return max(abs(float(run["metrics"][m]) - float(runs[0]["metrics"][m])) for run in runs for m in runs[0]["metrics"])


def _demo(spec: Path, state: Path) -> dict[str, Any]:
    """Run one demo and sample its process tree."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment[env_names.STATE] = str(state)
    command = [sys.executable, "-m", "pipelines.cli", "demo", str(spec), "--json"]
    start, cpu, peak = time.monotonic(), script.child_cpu_s(), 0
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=sys.stderr, text=True) as process:
        while True:
            peak = max(peak, _memory(process.pid))
            try:
                said, _error = process.communicate(timeout=SAMPLE_S)
                break
            except subprocess.TimeoutExpired:
                continue
    if process.returncode:
        raise ServerError(f"the demo ended with {process.returncode}")
    seconds = round(time.monotonic() - start, 1)
    report = json.loads(said)
    return {
        "seconds": seconds,
        "cpu_s": round(script.child_cpu_s() - cpu, 1),
        "peak_memory_gib": round(peak / 2**30, 2),
        "report": report,
    }


def _memory(pid: int) -> int:
    total = 0
    try:
        tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in tree:
        try:
            total += process.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total


def _small(folder: Path) -> Path:
    """Write a shop of CSV files whose spec trains in seconds."""
    from tests.pipelines.conftest import GATES, open_shop

    shop = open_shop(folder)
    shop.edit(promotion={"gates": GATES})
    return shop.spec


def text(document: script.Document) -> str:
    """Return the document as Markdown."""
    lines = [
        [n, r["seconds"]["first"], r["seconds"]["second"], r["peak_memory_gib"], *r["metrics"].values()]
        for n, r in enumerate(document["runs"], 1)
    ]
    head = ["run", "first s", "second s", "peak GiB", *document["runs"][0]["metrics"]]
    steps = [[step, *(run["steps"].get(step) for run in document["runs"])] for step in document["runs"][0]["steps"]]
    alike = ", ".join(f"{key} {'the same' if same else 'DIFFERENT'}" for key, same in document["alike"].items())
    return "\n\n".join(
        [
            script.table(head, lines),
            script.table(["seconds of", *(f"run {n}" for n in range(1, len(steps[0])))], steps),
            f"Between fresh states: largest difference of a metric {document['largest_difference']:.2e}; {alike}.",
        ]
    )


if __name__ == "__main__":
    made = script.parser(__doc__, trained=False)
    made.add_argument("--spec", type=Path, default=script.GROCERY)
    made.add_argument("--fresh", type=int, default=1, help="fresh states to run and compare")
    script.main(made, measure, text)
