"""How fast do events become profiles, in what memory, and how does it grow? `run_profiles` on made baskets.

One machine and one process a figure (DuckDB, all of this machine's cores): `python -m benchmarks.profiles --events N`.
From events.parquet to the finished parquet files of a profiles folder; making the events is not counted. Two figures:

  all     what a training run does: vocabulary and segments fitted, rows of every user at every cutoff
          (or of `--train-users` of them at the training cutoffs, `profiles.train_users` in a spec)
  newest  what serving needs every day: the newest row of every user, under a vocabulary and segments that are fitted

The peer is the same world a quarter as large, in the same run: `slope` is that of log seconds over log events, 1 where
seconds grow as the events do. `--materialise` also writes the newest rows into a SQLite online store, a third figure.
"""

import argparse
import json
import math
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import scattered, script
from benchmarks.script import Document
from feature_repo import env_names

SPLIT = {"warmup_weeks": 4, "validate_weeks": 1, "test_weeks": 2}
VOCABULARY = {
    "intents": [
        {"name": "buy", "event": "purchase", "column": "category", "top": 100},
        {"name": "visit", "event": None, "column": None, "top": 1},
    ],
    "items": {"event": None, "min_sessions": 20, "min_users": 5},
    "history_weeks": 8,
}
QUICK = {"events": 20_000, "users": 200, "weeks": 12}
FIGURES = ("all", "newest")
HEADLINE = ("events", "seconds", "peak_memory_gib", "events_per_second")


def measure(asked: argparse.Namespace) -> Document:
    """Build the profiles of a world and of its peer."""
    size = QUICK if asked.quick else {"events": asked.events, "users": asked.users or asked.events // 100,
                                      "weeks": asked.weeks}  # fmt: skip
    parts = FIGURES if asked.figure == "both" else (asked.figure,)
    more = {"train_users": asked.train_users, "materialise": asked.materialise, "folder": asked.folder}
    found: Document = {"weeks": size["weeks"], "train_users": asked.train_users}
    alone = asked.alone or asked.quick
    if not alone:
        quarter = size | {"events": size["events"] // 4, "users": max(size["users"] // 4, 1)}
        found["peer"] = _built(quarter, parts, **(more | {"materialise": False}))
    world = _built(size, parts, **more)
    found |= world
    if not alone:
        for part in parts:
            found[part]["slope"] = _slope(found["peer"], world, part)
    # The headline is the last figure asked for: from events to the profile of every user.
    return {name: found[parts[-1]][name] for name in HEADLINE} | {"figure": parts[-1]} | found


def _slope(small: Document, large: Document, part: str) -> float:
    grown = math.log(large[part]["seconds"] / small[part]["seconds"])
    return round(grown / math.log(large["events"] / small["events"]), 3)


def _built(
    size: dict[str, int], parts: tuple[str, ...], *, train_users: int | None, materialise: bool, folder: Path | None
) -> Document:
    """Make a world and take its figures, each in a process of its own: the peak is of the step alone."""
    script.note(f"{size['events']:,} events of {size['users']:,} users")
    with tempfile.TemporaryDirectory(prefix="intentflow-benchmark-", dir=folder) as scratch:
        home = Path(scratch)
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            events = pool.submit(_made, home / "clean", size).result()
        found: Document = {"events": events, "users": size["users"]}
        for part in ("all", "newest"):  # the newest rows need a vocabulary
            script.note(f"{part} …")
            cost = _apart(_profiles, home, part, train_users if part in parts else 1_000)
            if part in parts:
                found[part] = _figure(events, cost, home / part)
        if materialise:
            script.note("online store …")
            cost = _apart(_materialised, home)
            found["materialise"] = _rounded(cost) | {"users_per_second": round(size["users"] / cost["seconds"])}
    return found


def _made(folder: Path, size: dict[str, int]) -> int:
    return scattered.write(folder, **size)


def _apart(work: Callable[..., dict[str, float]], *asked: Any) -> dict[str, float]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *asked).result()


def _figure(events: int, cost: dict[str, float], folder: Path) -> Document:
    import pyarrow.parquet as pq

    files = list(folder.rglob("*.parquet"))
    rows = pq.read_metadata(folder / "user_profile.parquet").num_rows
    return {
        "events": events,
        **_rounded(cost),
        "events_per_second": round(events / cost["seconds"]),
        "user_rows": rows,
        "written_mib": round(sum(file.stat().st_size for file in files) / 2**20, 1),
    }


def _rounded(cost: dict[str, float]) -> Document:
    return {name: round(value, 3) for name, value in cost.items()}


def _profiles(home: Path, part: str, train_users: int | None) -> dict[str, float]:
    """Run the step and return what it cost this process."""
    from components.profiles.steps import run_profiles

    spec = json.dumps({} if train_users is None else {"train_users": train_users})
    with _Cost() as cost:
        run_profiles(
            spec,
            json.dumps(SPLIT),
            json.dumps(VOCABULARY),
            clean=home / "clean",
            destination=home / part,
            fitted=None if part == "all" else home / "all",
            training=part == "all",
        )
    return cost.found


def _materialised(home: Path) -> dict[str, float]:
    """Write the newest rows into a fresh online store."""
    store = {"type": "sqlite", "path": str(home / "state" / "online.db")}
    settings = {"registry": str(home / "state" / "registry.db"), "online_store": store}
    (home / "state").mkdir()
    os.environ |= {env_names.HOME: str(home / "state"), env_names.FEAST: json.dumps(settings)}
    from components.profiles.steps import run_materialise

    with _Cost() as cost:
        run_materialise("benchmark", profiles=home / "newest", release_version="1")
    return cost.found


class _Cost:
    """Measures its body: seconds, processor seconds, the process's peak memory."""

    def __enter__(self) -> "_Cost":
        self.start, self.cpu = time.monotonic(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.found = {
            "seconds": time.monotonic() - self.start,
            "cpu_s": time.process_time() - self.cpu,
            "peak_memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        }


def text(document: Document) -> str:
    """Write the table."""
    names = ("events", "seconds", "cpu_s", "events_per_second", "peak_memory_gib", "user_rows", "written_mib", "slope")
    lines = []
    for world, label in ((document.get("peer", {}), "a quarter: "), (document, "")):
        for part in FIGURES:
            if part in world:
                lines.append([label + part, *(world[part].get(name) for name in names)])
    shown = script.table(["", *names], lines)
    if "materialise" in document:
        shown += f"\n\nMaterialised: {json.dumps(document['materialise'])}"
    return shown


if __name__ == "__main__":
    switches = script.parser(__doc__, trained=False)
    switches.add_argument("--events", type=int, default=1_000_000, help="about so many")
    switches.add_argument("--users", type=int, help="a hundredth of the events where left out")
    switches.add_argument("--weeks", type=int, default=26)
    switches.add_argument("--train-users", type=int, help="at most so many users have rows at the training cutoffs")
    switches.add_argument("--figure", choices=("both", *FIGURES), default="both")
    switches.add_argument("--alone", action="store_true", help="no peer, no slope: half the events' disk and time")
    switches.add_argument("--materialise", action="store_true", help="also write the newest rows into an online store")
    switches.add_argument("--folder", type=Path, help="where worlds are made; needs about 150 bytes an event")
    script.main(switches, measure, text)
