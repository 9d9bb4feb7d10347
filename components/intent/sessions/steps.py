"""The step `train_session` in its frame: clean tables and the rows' split in, a judged session model out.

Where no intent has `horizon: session` the folder says so and holds nothing else, and a release has no such model.
"""

from dataclasses import asdict
from pathlib import Path

import pyarrow.parquet as pq

from components import resamples
from components.intent.sessions.spec import SessionRule
from components.step import step
from feature_repo import columns, files
from feature_repo.calendar import Calendar

MODEL, EVALUATION = "model", "evaluation"  # folders of the artifact
NONE = "none.json"  # in an artifact without a model
TRAINING = "training.json"


def run_train_session(rule: str, *, clean: Path, rows: Path, destination: Path) -> None:
    """Fit and judge the model that the slice `session` (JSON, '' where the spec asks for none) declares."""
    with step("train_session") as progress:
        if not rule:
            with files.written_folder(destination) as folder:
                files.write_json(folder / NONE, {"asked": False})
            progress.count(asked=False)
            return
        from components.intent.sessions import card, visits
        from components.intent.sessions.learn import learn

        asked = SessionRule.model_validate_json(rule)
        have = pq.read_schema(clean / "events.parquet").names
        events = pq.read_table(clean / "events.parquet", columns=[c for c in visits.COLUMNS if c in have])
        listed = clean / "items.parquet"
        named = [columns.ITEM_ID, columns.CATEGORY]
        items = pq.read_table(listed, columns=named) if set(named) <= set(pq.read_schema(listed).names) else None
        found = learn(
            events,
            items,
            asked,
            split={k: v for k, v in files.read_json(rows / "split.json").items() if isinstance(v, list)},
            calendar=Calendar(**files.read_json(rows / "calendar.json")),
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
            files.write_json(folder / TRAINING, found.counts | about)
        progress.count(
            asked=True,
            rows_in=found.counts["events"],
            visits=found.told,
            sessions=found.counts["sessions"],
            auroc=evaluation.test["auroc"],
            **{f"auroc_{name}": numbers["auroc"] for name, numbers in evaluation.baselines.items()},
        )


def model_of(artifact: Path) -> Path | None:
    """Return the folder of the model in an artifact; None where the spec asked for none."""
    return artifact / MODEL if (artifact / MODEL).is_dir() else None
