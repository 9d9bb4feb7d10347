"""The step `train_session` in its frame: clean tables and the rows' split in, a judged session model out.

Where no intent has `horizon: session` the folder says so and holds nothing else, and a release has no such model.
"""

import hashlib
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from components import conditions, resamples
from components.intent.sessions.spec import SessionRule
from components.step import step
from feature_repo import columns, files
from feature_repo.calendar import Calendar

MODEL, EVALUATION = "model", "evaluation"  # folders of the artifact
NONE = "none.json"  # in an artifact without a model
TRAINING = "training.json"

if TYPE_CHECKING:
    from components.intent.sessions.score import SessionScorer


def run_train_session(rule: str, *, clean: Path, rows: Path, destination: Path, code: str = "") -> None:
    """Fit and judge the model that the slice `session` (JSON, '' where the spec asks for none) declares."""
    with step("train_session") as progress:
        if not rule:
            with files.written_folder(destination) as folder:
                files.write_json(folder / NONE, {"asked": False})
            progress.count(asked=False)
            return
        from components.intent.sessions import card
        from components.intent.sessions.learn import learn

        asked = SessionRule.model_validate_json(rule)
        events = _events(clean)
        listed = clean / "items.parquet"
        named = [columns.ITEM_ID, columns.CATEGORY]
        items = pq.read_table(listed, columns=named) if set(named) <= set(pq.read_schema(listed).names) else None
        found = learn(
            events,
            items,
            asked,
            split=_split(rows),
            calendar=_calendar(rows),
            report=progress.at,
        )
        with files.written_folder(destination) as folder:
            (folder / MODEL).mkdir()
            (folder / EVALUATION).mkdir()
            found.trained.scorer.save(folder / MODEL)
            evaluation = found.evaluation
            files.write_json(folder / EVALUATION / "metrics.json", evaluation.metrics())
            resamples.write(folder / EVALUATION, evaluation.resamples, rows_digest=evaluation.rows_digest)
            names = [intent.name for intent in asked.intents]
            text = card.write(evaluation, intents=names, told=found.told, counts=found.counts)
            (folder / EVALUATION / "card.md").write_text(text)
            about = {"epochs": [asdict(epoch) for epoch in found.trained.epochs], "visits": found.told}
            under = _conditions(asked, rows, found.trained.scorer, code)
            files.write_json(folder / TRAINING, found.counts | about | {conditions.KEY: conditions.digests(**under)})
        progress.count(
            asked=True,
            rows_in=found.counts["events"],
            visits=found.told,
            sessions=found.counts["sessions"],
            auroc=evaluation.test["auroc"],
            **{f"auroc_{name}": numbers["auroc"] for name, numbers in evaluation.baselines.items()},
        )


def run_refit_session(
    rule: str, *, code: str, refit: bool, clean: Path, rows: Path, judged: Path, destination: Path
) -> None:
    """Fit the judged session model once more, on all ripe visits; prove that nothing else differs.

    Where the spec asks for no refit, or has no intents within a visit, the folder says so and holds nothing else. The
    evaluation is the judged model's.
    """
    with step("refit_session") as progress:
        if not refit or not rule:
            conditions.unasked(destination)
            progress.count(**{conditions.ASKED: False})
            return
        from components.intent.sessions import refit as refits
        from components.intent.sessions.score import WEIGHTS, SessionScorer

        asked, training = SessionRule.model_validate_json(rule), files.read_json(judged / TRAINING)
        scorer = SessionScorer.load(judged / MODEL)
        under = conditions.digests(**_conditions(asked, rows, scorer, code))
        shared = conditions.require_same(training, under, of="refit of the session model")
        epochs = refits.epochs_of(training)
        made = refits.refit(
            _events(clean),
            asked,
            scorer,
            split=_split(rows),
            calendar=_calendar(rows),
            epochs=epochs,
            report=progress.at,
        )
        with files.written_folder(destination) as folder:
            (folder / MODEL).mkdir()
            made.scorer.save(folder / MODEL)
            shutil.copytree(judged / EVALUATION, folder / EVALUATION)
            of = hashlib.sha256((judged / MODEL / WEIGHTS).read_bytes()).hexdigest()
            about = {"weeks": made.weeks, "rows": made.rows, "epochs": epochs, "means": made.means}
            proof = {conditions.ASKED: True, conditions.JUDGED: of, conditions.KEY: shared}
            files.write_json(folder / MODEL / conditions.FILE, proof | about)
        progress.count(rows_in=made.rows, asked=True, epochs=epochs, weeks=len(made.weeks), visits=made.visits)


def _events(clean: Path) -> pa.Table:
    from components.intent.sessions import visits

    have = pq.read_schema(clean / "events.parquet").names
    return pq.read_table(clean / "events.parquet", columns=[c for c in visits.COLUMNS if c in have])


def _split(rows: Path) -> dict[str, list[int]]:
    return {name: value for name, value in files.read_json(rows / "split.json").items() if isinstance(value, list)}


def _calendar(rows: Path) -> Calendar:
    return Calendar(**files.read_json(rows / "calendar.json"))


def _conditions(rule: SessionRule, rows: Path, scorer: "SessionScorer", code: str) -> dict[str, Any]:
    """Name what a judged model and its refit share: all but the visits that they learn from."""
    from components.intent.sessions.refit import described

    return described(rule, _split(rows), _calendar(rows), scorer) | {"code": code}


def model_of(artifact: Path) -> Path | None:
    """Return the folder of the model in an artifact; None where the spec asked for none."""
    return artifact / MODEL if (artifact / MODEL).is_dir() else None
