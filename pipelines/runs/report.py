"""The outcome of a run, as report.json (docs/report.md has its schema) and as text."""

from pathlib import Path
from typing import Any

from components.content import words
from components.data.source_spec import Files
from components.data.spec import Data
from components.intent import inputs
from components.verdicts import UNDECIDED
from feature_repo import dropped_features, fallback, files
from feature_repo.clock import WEEK, Step
from pipelines.environment import Installation
from pipelines.releases.release import ReleasedFiles
from pipelines.runs import texts
from pipelines.runs.local import Run
from pipelines.spec import Recommender

FILE = "report.json"
INTENT_BASELINE = "decayed_rate"
RANKING_BASELINE = "personal_frequency"


def build(
    place: Installation,
    run: Run,
    released: ReleasedFiles | None,
    answer: dict[str, Any] | None,
    *,
    user: str,
    urls: dict[str, str],
    seconds: dict[str, float],
) -> dict[str, Any]:
    """Collect the report from the run's artifacts and the service's answer; a release that did not pass has none."""
    previous = read(place.home) or {}
    contract = files.read_json(run.folders["clean"] / "contract.json")
    drift = files.read_json(run.folders["drift"] / "drift.json") if "drift" in run.folders else None
    peaks = [line["peak_memory_gib"] for line in run.steps]
    timed = {line["step"]: line["seconds"] for line in run.steps} | seconds
    return {
        "name": place.spec.name,
        "spec": place.spec.digest,
        "contract": {
            "passed": contract["passed"],
            "rules": len(contract["rules"]),
            "warnings": [f"{r['table']}: {r['asks']}" for r in contract["rules"] if not r["success"]],
            "undecided": [f"{r['table']}: {r['asks']}" for r in contract["rules"] if r.get("word") == UNDECIDED],
            "quarantined": contract["quarantined"],
            "cleaned": contract["cleaned"],
        },
        "times": times(place.spec.data),
        "intent": _scores(run.folders["intent_evaluation"], INTENT_BASELINE),
        "ranking": _scores(run.folders["ranking_evaluation"], RANKING_BASELINE),
        **_forecasts(run.folders.get("forecasts")),
        "segments": _segments(run.folders["rows"]),
        "features": _features(run.folders["rows"]) | _inputs(run.folders.get("intent")),
        "release": {"version": run.release_version, "passed": run.passed, "verdict": run.verdict}
        | ({} if released is None else {"id": released.id, "version": released.version, "bento": released.bento})
        | ({"baseline": True, "instead_of": run.release_version} if run.baseline_serves else {}),
        **({} if run.passed else {"page": run.page, "held": run.held_places}),
        **({"waits": run.baseline} if run.baseline and not run.baseline_serves else {}),
        **({} if answer is None else _answer(user, answer, place.spec)),
        "drift": {} if drift is None else _drift(drift),
        "uis": urls,
        # A step whose inputs are the same does not run; its seconds are those of the run that made its artifact.
        "seconds": previous.get("seconds", {}) | timed,
        "ran": [line["step"] for line in run.steps],
        "peak_memory_gib": max([previous.get("peak_memory_gib", 0.0), *peaks]),
    }


def _answer(user: str, answer: dict[str, Any], spec: Recommender) -> dict[str, Any]:
    return {
        "user": user,
        "verb": spec.verb,
        **({} if spec.data.step == WEEK else {"step": spec.data.step}),
        "profile": answer["profile"],
        "intents": answer["intents"],
        "recommendations": answer["items"],
    }


def _drift(drift: dict[str, Any]) -> dict[str, Any]:
    found = {k: drift[k] for k in ("verdict", "share", "reason") if k in drift}
    return found | {"columns": [c for c, found in drift["columns"].items() if found["drifted"]]}


def times(data: Data) -> str:
    """Say whether the events' times were measured, or made for data that has none."""
    made = data.source.made_times if isinstance(data.source, Files) else None
    if made is None:
        return "measured"
    order = "the file's rows" if made.order == "rows" else f"chance, seed {made.seed}"
    return f"made by order ({order}) over {made.weeks} weeks, not measured"


def _forecasts(folder: Path | None) -> dict[str, Any]:
    """Return the forecasts' figures beside their baselines', where the spec has some."""
    path = None if folder is None else folder / "evaluation" / "metrics.json"
    if path is None or not path.is_file():
        return {}
    found = files.read_json(path)
    return {"forecasts": {"test": found["test"], "baselines": found["baselines"]}}


def _forecast_lines(found: dict[str, Any]) -> list[str]:
    """Return one line for each figure of each forecast: the model's, and each baseline's."""
    lines = []
    for key, value in found["test"].items():
        metric, _, name = key.partition(":")
        if not name or value is None:
            continue
        others = [f"{by} {row[key]:.4g}" for by, row in found["baselines"].items() if row.get(key) is not None]
        lines.append(f"{'':<10} {name:<22} {metric:<13} {value:.4g} ({', '.join(others)})")
    return ["Forecasts", *lines, ""]


def _segments(rows: Path) -> dict[str, Any]:
    """Say what the segments are: their names and how many users each has now, the largest when fitted first."""
    found = files.read_json(rows / fallback.FILE)
    named = [{"name": name, "users": users} for name, users in zip(found["names"], found["users"], strict=True)]
    return {"digest": found["digest"], "method": found["method"], "segments": named}


def _features(rows: Path) -> dict[str, Any]:
    """Say which stored numbers the models do without, and which moved most; the rows' features.json has the rest."""
    tables = files.read_json(rows / dropped_features.FILE)["tables"]
    return {
        name: {"kept": len(table["kept"])} | {k: table[k] for k in ("dropped", "constant", "duplicate", "unstable")}
        for name, table in tables.items()
    }


def _inputs(intent: Path | None) -> dict[str, Any]:
    """Say what the intent model sees of the profile, where the spec asks for less than all its numbers."""
    found = inputs.read(intent) if intent else {}
    return {"inputs": found | {"text": inputs.sentence(found)}} if found else {}


def write(home: Path, report: dict[str, Any]) -> Path:
    """Write report.json."""
    path = home / FILE
    files.write_json(path, report)
    return path


def read(home: Path) -> dict[str, Any] | None:
    """Return the last report."""
    path = home / FILE
    return dict(files.read_json(path)) if path.is_file() else None


def _scores(evaluation: Path, baseline: str) -> dict[str, Any]:
    metrics = files.read_json(evaluation / "metrics.json")
    return {
        "test": metrics["test"],
        "baseline": {"name": baseline} | metrics["baselines"][baseline],
        "baselines": metrics["baselines"],
        "unbeaten": {
            name: ends
            for name, ends in metrics.get("gain", {}).items()
            if name in metrics["baselines"] and ends[0] <= 0
        },
    }


def _unbeaten(scores: dict[str, Any]) -> list[str]:
    """Name the baselines that the model is not clearly better than, each with the interval of the difference."""
    found = scores.get("unbeaten", {})
    named = ", ".join(f"{name} ({low:+.4f} to {high:+.4f})" for name, (low, high) in found.items())
    return [f"{'':<10} the model is not clearly better than {named}"] if found else []


def text(report: dict[str, Any]) -> str:
    """Return the report as a person reads it."""
    contract, drift = report["contract"], report["drift"]
    quarantined = sum(contract["quarantined"].values())
    lines = [
        f"Contract   {'passed' if contract['passed'] else 'FAILED'}: {contract['rules']} rules, "
        f"{quarantined:,} rows quarantined, {sum(contract['cleaned'].values()):,} set aside by `clean`",
        *([f"Times      {report['times']}"] if report["times"] != "measured" else []),
        "",
        *_table("Intent", report["intent"], ("map", "macro_auroc", "bce", "ece")),
        "",
        *_table("Ranking", report["ranking"], ("ndcg_at_10", "recall_at_10", "phr_at_10")),
        *_unbeaten(report["ranking"]),
        "",
        *(_forecast_lines(report["forecasts"]) if "forecasts" in report else []),
        *_segment_lines(report["segments"]),
        *([f"Inputs     {seen['text']}"] if (seen := report.get("features", {}).get("inputs")) else []),
        "",
        *([] if report["release"]["passed"] else report["page"].splitlines()),
        *(["", *_release_lines(report)] if report["release"].get("baseline") else []),
        *(_release_lines(report) if report["release"]["passed"] else []),
    ]
    if drift:
        lines += ["", f"Drift      {drift['verdict']}" + (f": {drift['reason']}" if drift.get("reason") else "")]
    return "\n".join(lines)


def _release_lines(report: dict[str, Any]) -> list[str]:
    release = report["release"]
    answered = report | {"items": report["recommendations"]}
    answer = answer_text(report["user"], answered, did=report.get("verb", words.CHOSE), step=report.get("step", WEEK))
    kind = "champion: a baseline" if release.get("baseline") else "champion"
    head = f"Release    {release['id']} (version {release['version']}, {kind})"
    return [head, "", answer, *texts.lines(report)]


def _segment_lines(found: dict[str, Any]) -> list[str]:
    """Return one line a segment, the largest first."""
    named = sorted(found["segments"], key=lambda one: -one["users"])
    total = max(sum(one["users"] for one in named), 1)
    head = f"Segments   {len(named)} by {found['method']}, fitted on training weeks"
    return [head, *(f"{'':<10} {one['users']:>8,} {one['users'] / total:>5.0%}  {one['name']}" for one in named)]


def _table(title: str, scores: dict[str, Any], metrics: tuple[str, ...]) -> list[str]:
    """Return one line for the model and one for each baseline."""
    rows = {"model": scores["test"]} | scores["baselines"]
    head = f"{title:<10} {'':<22}" + "".join(f"{m:>14}" for m in metrics)
    return [head] + [
        f"{'':<10} {name:<22}" + "".join(f"{row[m]:>14.4f}" if m in row else f"{'':>14}" for m in metrics)
        for name, row in rows.items()
    ]


def _recommended(number: int, item: dict[str, Any], did: str, step: Step) -> str:
    reasons = ", ".join(
        words.reason(name, value, did, step) for name, value in list(item.get("reasons", {}).items())[:4]
    )
    return f"  {number}. {item['title']}  [{item['source']}]  {reasons}"


def answer_text(user: str, answer: dict[str, Any], *, did: str, step: Step = WEEK) -> str:
    """Return an answer of the service as a person reads it; `did` is what users do to items, `step` the clock's."""
    about = ", ".join(f"{i['name']} {i['probability']:.0%}" for i in answer["intents"][:5])
    profile = answer["profile"]
    rung = profile["rung"] + (f", {profile['reason']}" if profile.get("reason") else "")
    segment = f"; segment: {profile['segment']}" if profile.get("segment") else ""
    lines = [f"User {user} (profile {rung}{segment}) is about to: {about}", "Recommendations:"]
    return "\n".join(lines + [_recommended(n, item, did, step) for n, item in enumerate(answer["items"], 1)])
