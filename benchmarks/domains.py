"""Raw data of other domains, each from `intentflow init` alone to the verdict of the gates.

Messages, listening, groceries and a shop's funnel, as they were published (`--data`); a set whose file is not there
is skipped with the reason. Nothing is edited between `init` and the run, so that a row says what a newcomer gets.
With `--specs` the specs of the checkout run instead, one a domain, as `make demo SPEC=…` runs them (domain_specs.py):
`{spec: {rows, minutes, cpu_minutes, first_answer, model, baselines, difference, …}}`.
"""

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from benchmarks import domain_specs, script
from components import resamples, verdicts
from feature_repo import env_names, files
from feature_repo.errors import SpecError, UserError, nearest
from pipelines import init

VERDICTS = {2: "stopped", 3: "refused"}
DEMO = ("demo", "--json")  # what `make demo` calls: also a release, a service and its answer
METRICS = {"ranking": "ndcg_at_10", "intent": "map"}
KILLED_S = 30  # by when a process that was killed has ended
SESSION = ("session", "auroc")  # only where a spec asks within visits
EVALUATIONS = {
    "ranking": "ranking_evaluation",
    "intent": "intent_evaluation",
    "session": "session_model/evaluation",
}


@dataclass(frozen=True)
class RawSet:
    """The files of a set, relative to the folder of data."""

    name: str
    events: str
    items: str | None = None


SETS = (
    RawSet("messages", "collegemsg.txt"),
    RawSet("listening", "lastfm/user_artists.dat", "lastfm/artists.dat"),
    RawSet("groceries", "groceries.csv"),
    RawSet("funnel", "funnel.csv"),
)
QUICK = RawSet("made plays", "plays.dat")


def measure(asked: argparse.Namespace) -> script.Document:
    """Take each set through `init` and a training run, or each spec through a run, in a state folder of its own."""
    have = domain_specs.NAMES if asked.specs else tuple(s.name for s in SETS)
    if unknown := [name for name in asked.only or [] if name not in have]:
        what = "spec of --specs" if asked.specs else "raw set; specs are run with --specs"
        raise SpecError(f"--only: '{unknown[0]}' is no {what}; have {', '.join(have)}{nearest(unknown[0], list(have))}")
    with _scratch(asked.keep) as scratch:
        if asked.specs:
            names = tuple(name for name in have if not asked.only or name in asked.only)
            run = partial(_run, limit_s=asked.limit_s, verb=DEMO)
            return {"specs": domain_specs.measure(names, Path(scratch), asked.data, run, quick=asked.quick)}
        data = _made(Path(scratch)) if asked.quick else asked.data
        wanted = (QUICK,) if asked.quick else tuple(s for s in SETS if not asked.only or s.name in asked.only)
        return {
            "sets": {
                raw.name: _measured(raw, data, Path(scratch) / raw.name.replace(" ", "-"), asked) for raw in wanted
            }
        }


@contextlib.contextmanager
def _scratch(keep: Path | None) -> Iterator[str]:
    """Yield a folder for the states: an empty one that stays, where asked for, else one that goes."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="intentflow-domains-") as scratch:
            yield scratch
        return
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise SpecError(f"--keep: {keep} is there and not empty; name a new folder, since states must be fresh")
    keep.mkdir(parents=True, exist_ok=True)
    yield str(keep.resolve())


def _measured(raw: RawSet, data: Path, folder: Path, asked: argparse.Namespace) -> script.Document:
    script.note(f"{raw.name}: {raw.events}")
    missing = [name for name in (raw.events, raw.items) if name and not (data / name).is_file()]
    if missing:
        return {"skipped": f"no {' or '.join(missing)} in {data}"}
    folder.mkdir(parents=True)
    spec = folder / "spec.yaml"
    items = data / raw.items if raw.items else None
    start = time.monotonic()
    try:
        _, made = init.write(
            data / raw.events, items, name=raw.name.replace(" ", "-"), mapping={}, output=spec, force=False
        )
    except UserError as error:
        return {"drafted": False, "why": str(error)}
    held = {"rows": made.found.rows, "users": made.found.users, "items": made.found.items}
    step = f"{made.found.period.calendar.step}s"
    told = {"drafted": True, **held, "steps": made.found.period.weeks, "step": step, "made_times": made.found.made}
    return told | _run(spec, folder, limit_s=asked.limit_s) | {"minutes": round((time.monotonic() - start) / 60, 1)}


def _run(spec: Path, folder: Path, *, limit_s: float, verb: Sequence[str] = ("run",)) -> script.Document:
    """Train from a spec; say what the gates said, and the test metrics beside the best baseline."""
    command = [sys.executable, "-m", "pipelines.cli", verb[0], str(spec), *verb[1:]]
    environment = os.environ | {env_names.STATE: str(folder / "state")}
    done = ended(command, environment, limit_s=limit_s)
    if done is None:
        return {"verdict": "stopped", "why": f"over {limit_s:.0f} s; --limit-s allows more"}
    if done.returncode == 0:
        return {**_judged(folder / "state"), **_metrics(folder / "state")}
    said = done.stderr.strip().splitlines()
    why = said[-1] if said else ""
    return {"verdict": VERDICTS.get(done.returncode, "fault"), "why": why, **_metrics(folder / "state")}


def ended(
    command: Sequence[str], environment: Mapping[str, str], *, limit_s: float
) -> subprocess.CompletedProcess[str] | None:
    """Run a command; None where it took too long, and then nothing that it started goes on."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            said, error = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            root = psutil.Process(process.pid)
            started = [*root.children(recursive=True), root]
            for one in started:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
            psutil.wait_procs(started, timeout=KILLED_S)
            return None
    return subprocess.CompletedProcess(command, process.returncode, said, error)


def _judged(state: Path) -> script.Document:
    """Say what the gates said of a run that ended well: also one that they held back, and whose baseline serves."""
    (run,) = (files.read_json(path) for path in state.glob("*/run.json"))
    (line,) = (line for line in run["steps"] if line["step"] == "register")
    return {"verdict": line["verdict"], **({"why": line["refused"]} if line.get("refused") else {})}


def _metrics(state: Path) -> script.Document:
    """Return by part the model's metric, each baseline's, and the interval of the difference to the best of them."""
    told: dict[str, Any] = {}
    for part, metric in (*METRICS.items(), SESSION):
        for path in state.glob(f"*/runs/*/*/{EVALUATIONS[part]}/metrics.json"):
            found = files.read_json(path)
            model = found["test"][metric]
            baselines = {name: row[metric] for name, row in found["baselines"].items() if metric in row}
            by = max(baselines, key=lambda name: baselines[name])
            drawn = resamples.read(path.parent)
            mine = drawn.sample(model, metric)
            judged = verdicts.better(mine, drawn.sample(baselines[by], metric, side=by), least=verdicts.Least())
            told[part] = {"metric": metric, "model": model, "baselines": baselines, "best": by,
                          "difference": judged.interval, "users": judged.users, "test": found["test"]}  # fmt: skip
    return told


def _made(folder: Path) -> Path:
    """Write a small set without times in which even users play even artists."""
    dice = random.Random(0)
    rows = [(user, 2 * dice.randrange(8) + user % 2, dice.randrange(1, 90)) for user in range(40) for _ in range(30)]
    text = "".join(f"{user}\t{artist}\t{plays}\n" for user, artist, plays in rows)
    (folder / QUICK.events).write_text(f"userID\tartistID\tplays\n{text}")
    return folder


def text(document: script.Document) -> str:
    """Return the document as Markdown."""
    head = ["set", "events", "users", "items", "steps", "verdict", "NDCG@10", "best baseline", "difference",
            "intent mAP", "best baseline", "difference", "minutes"]  # fmt: skip
    if "specs" in document:
        return domain_specs.text(document["specs"])
    lines, reasons = [], []
    for name, found in document["sets"].items():
        if "skipped" in found:
            lines.append([f"{name} (skipped: {found['skipped']})", *[None] * (len(head) - 1)])
            continue
        counts = [found.get(key) for key in ("rows", "users", "items")]
        steps = f"{found.get('steps')} {found.get('step')}" + (", made" if found.get("made_times") else "")
        verdict = found.get("verdict") if found["drafted"] else "not drafted"
        sides = [cell for part in METRICS for cell in _sides(found.get(part))]
        lines.append([name, *counts, steps, verdict, *sides, found.get("minutes")])
        if found.get("why"):
            reasons.append(f"{name}: {found['why']}")
    return "\n\n".join([script.table(head, lines), *reasons])


def _sides(found: script.Document | None) -> list[Any]:
    """Return a part's cells: model, best baseline, interval of their difference."""
    if found is None:
        return [None, None, None]
    best, ends = found["best"], found["difference"]
    difference = "no interval" if ends is None else f"{ends[0]:+.4f} to {ends[1]:+.4f}"
    return [f"{found['model']:.4f}", f"{found['baselines'][best]:.4f} ({best})", difference]


if __name__ == "__main__":
    made = script.parser(__doc__, trained=False)
    made.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the raw sets")
    made.add_argument("--specs", action="store_true", help="run the specs of the domains instead of raw sets")
    made.add_argument("--only", action="append", help="this set, or this spec; may be repeated")
    made.add_argument("--keep", type=Path, help="new folder for the states of the runs, which stay; else they go")
    made.add_argument("--limit-s", type=float, default=1800, help="seconds that a run may take")
    script.main(made, measure, text)
