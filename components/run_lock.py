"""One run of a recommender at a time, where runs share its state folder (a cluster's claim).

The first step takes the lock, the last frees it. A run that was stopped frees nothing, so a lock whose run has said
nothing for two hours counts no more. On one machine `intentflow run` holds run.lock itself. Where pods share no folder
there is no lock: aliases then move one by one, and recurring runs wait by Kubeflow's own limit.
"""

import contextlib
import datetime as dt
import json
import os
import time
from pathlib import Path

from components.step import ENDED_S, progress_file
from feature_repo import env_names, files
from feature_repo.errors import SpecError

FILE = "running.json"


def take(name: str) -> None:
    """Take the lock for this run; refuse while another run has it. Taking it again is no mistake: a step is retried."""
    run, home = os.environ.get(env_names.RUN), os.environ.get(env_names.HOME)
    if not run or not home:
        return
    path = Path(home) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = _holder(path)
    if holder == run:
        return
    if holder and _silent_s(path, holder) > ENDED_S:
        with contextlib.suppress(FileNotFoundError):  # another run was first; one of both makes the file anew
            path.rename(path.with_name(f".{FILE}.{run}"))
            path.with_name(f".{FILE}.{run}").unlink()
    try:
        with path.open("x", encoding="utf-8") as stream:
            at = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
            json.dump({"run": run, "recommender": name, "at": at}, stream)
    except FileExistsError:
        raise SpecError(
            f"run: {_holder(path) or 'another run'} of '{name}' is under way; start this one when it has ended, or, "
            f"if it was stopped, delete {path}"
        ) from None


def free() -> None:
    """Free the lock, if this run has it."""
    run, home = os.environ.get(env_names.RUN), os.environ.get(env_names.HOME)
    if run and home and _holder(Path(home) / FILE) == run:
        (Path(home) / FILE).unlink(missing_ok=True)


def _holder(path: Path) -> str:
    """Return the run that has the lock, '' for none; a file that is being written has no name yet."""
    try:
        return str(files.read_json(path)["run"])
    except FileNotFoundError:
        return ""
    except ValueError:
        return "another run"


def _silent_s(path: Path, holder: str) -> float:
    """Return for how long the run has said nothing."""
    said = [one for one in (path, progress_file(holder)) if one is not None and one.is_file()]
    return time.time() - max((one.stat().st_mtime for one in said), default=0.0)
