"""The specs of the domains, each run as `make demo SPEC=…` runs it: model beside simple baselines on the same rows.

Read by domains.py; measures nothing by itself. Data that no package brings lies in a folder (`--data`) or beside the
spec; a spec without its data is skipped with the reason.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks import script
from feature_repo import files
from feature_repo.checkout import ROOT

FOLDER = ROOT / "pipelines" / "specs"
CHAINS = (
    "chain-shop",
    "chain-social",
    "chain-video",
)  # segments, then a network of another architecture (docs/segments.md)
NAMES = ("grocery", "movies", "clickstream", "music", "news", "social", "movies-loo", *CHAINS)
# What --quick runs: listening in small.
SMALL = {
    "data": {
        "source": {"type": "synthetic_music", "users": 80, "tracks": 60, "genres": 4, "days": 50, "seed": 1},
        "step": "day",
        "split": {"warmup_steps": 14, "validate_steps": 5, "test_steps": 7},
    },
    "profiles": {"windows_days": [7], "segments": {"method": "kmeans", "k": 2}},
    "intents": [{"name": "listen", "event": "listen", "level": "category", "top": 4, "horizon": "24h"}],
    "models": {
        "intent": {"architecture": "transformer", "width": 16, "layers": 1, "epochs": 1},
        "ranking": {"min_item_sessions": 2, "min_item_users": 1, "train_weeks": 10, "width": 16, "epochs": 2},
    },
}
COSTS = ("minutes", "cpu_minutes", "first_answer")
Run = Callable[[Path, Path], script.Document]  # of a spec in a folder: its verdict, `ranking` and `intent`


def measure(names: tuple[str, ...], scratch: Path, data: Path, run: Run, *, quick: bool) -> script.Document:
    """Run each spec in a state folder of its own."""
    if quick:
        return {"small": measured(_small(scratch), scratch / "small", run)}
    found = {}
    for name in names:
        script.note(f"{name}: {FOLDER / name}.yaml")
        spec, lacking = placed(FOLDER / f"{name}.yaml", data, scratch)
        found[name] = {"skipped": lacking} if spec is None else measured(spec, scratch / name, run)
    return found


def placed(spec: Path, data: Path, scratch: Path) -> tuple[Path | None, str]:
    """Return the spec, or a copy that names its files in the folder of data; None and the reason where they lack."""
    if not spec.is_file():
        return None, f"no {spec.name} in {spec.parent}"
    document = yaml.safe_load(spec.read_text())
    source, moved = document["data"]["source"], False
    for table in (source.get(name) for name in ("events", "items", "users", "offers")):
        path = table.get("path") if isinstance(table, dict) else None
        if path is None or any(spec.parent.glob(path)):
            continue
        if not (data / path).is_file():
            return None, f"no {path} in {spec.parent} or {data}"
        table["path"], moved = str((data / path).resolve()), True
    if not moved:
        return spec, ""
    copy = scratch / spec.name
    copy.write_text(yaml.safe_dump(document, sort_keys=False))
    return copy, ""


def measured(spec: Path, folder: Path, run: Run) -> script.Document:
    """Run a spec; say how many rows it read, what it cost, and how its ranker did beside every baseline.

    A busy machine stretches `minutes` and `first_answer` (minutes from the start to it), and leaves `cpu_minutes`, of
    all the run's processes, alone.
    """
    start, cpu = time.monotonic(), script.child_cpu_s()
    found = run(spec, folder)
    cost = {
        "minutes": round((time.monotonic() - start) / 60, 1),
        "cpu_minutes": round((script.child_cpu_s() - cpu) / 60, 2),
        "first_answer": _first_answer(folder),
    }
    return {"rows": _rows(folder), **cost, **found, **beside(found.get("ranking"))}


def _first_answer(folder: Path) -> float | None:
    """Read after how many minutes the service answered; None where it did not."""
    reports = [files.read_json(path) for path in folder.glob("state/*/report.json")]
    return next((round(report["first_answer_s"] / 60, 1) for report in reports), None)


def beside(ranking: Mapping[str, Any] | None) -> script.Document:
    """Return a ranker's figure, each baseline's, the best one and the interval of the difference to it.

    >>> found = {"model": 0.3, "test": {"rows": 9}, "baselines": {"popular": 0.1}, "best": "popular"}
    >>> beside(found | {"difference": (0.1, 0.3)})["beats_all"]
    True
    """
    if ranking is None:
        return {"model": None, "test": {}, "baselines": {}, "best": None, "difference": None, "beats_all": None}
    ends = ranking["difference"]
    told = {name: ranking[name] for name in ("model", "test", "baselines", "best")}
    return told | {"difference": None if ends is None else list(ends), "beats_all": ends is not None and ends[0] > 0}


def _rows(folder: Path) -> int | None:
    """Read how many events the run took in."""
    steps = [line for path in folder.glob("state/*/run.json") for line in files.read_json(path)["steps"]]
    counts = [line["events"] for line in steps if line["step"] == "ingest" and "events" in line]
    return int(counts[0]) if counts else None


def _small(scratch: Path) -> Path:
    document = {"apiVersion": "intentflow/v1", "kind": "Recommender", "name": "small"} | SMALL
    path = scratch / "small.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def text(found: script.Document) -> str:
    """Return the specs' table as Markdown, and what each verdict rests on."""
    head = ["spec", "events", "rows judged", "verdict", "NDCG@10", "recall@10", "best baseline", "difference",
            "other baselines", *COSTS]  # fmt: skip
    lines, reasons = [], []
    for name, one in found.items():
        if "skipped" in one:
            lines.append([f"{name} (skipped: {one['skipped']})", *[None] * (len(head) - 1)])
            continue
        judged = f"{one['test']['rows']:.0f} of {one['ranking']['users']} users" if one["test"] else None
        lines.append([name, one["rows"], judged, one.get("verdict"), *_sides(one), *(one[cost] for cost in COSTS)])
        if one.get("why"):
            reasons.append(f"{name}: {one['why']}")
        if "session" in one:
            told = one["session"]
            best = f"{told['baselines'][told['best']]:.4f} ({told['best']})"
            reasons.append(
                f"{name}, within visits: {told['metric']} {told['model']:.4f}, best baseline {best}, difference "
                f"{_interval(told['difference'])}, {told['users']} users"
            )
    return "\n\n".join([script.table(head, lines), *reasons])


def _sides(one: script.Document) -> list[Any]:
    if one["model"] is None:
        return [None] * 5
    baselines, best, ends = one["baselines"], one["best"], one["difference"]
    others = sorted((name for name in baselines if name != best), key=lambda name: -baselines[name])
    return [
        f"{one['model']:.4f}",
        f"{one['test']['recall_at_10']:.4f}",
        f"{baselines[best]:.4f} ({best})",
        _interval(ends),
        ", ".join(f"{baselines[name]:.3f} {name}" for name in others),
    ]


def _interval(ends: Sequence[float] | None) -> str:
    return "no interval" if ends is None else f"{ends[0]:+.4f} to {ends[1]:+.4f}"
