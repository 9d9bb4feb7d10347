"""The steps of forecasts in their frame: clean tables and the intent model's rows in, judged heads out.

Where no intent is of kind regression or multiclass the folder says so and holds nothing else, and a release has none.
"""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components import conditions, resamples
from components.intent.forecasts.spec import ForecastRule
from components.step import step
from feature_repo import columns, files

MODEL, EVALUATION = "model", "evaluation"  # folders of the artifact
NONE = "none.json"  # in an artifact without a model
TRAINING = "training.json"


def run_train_forecasts(
    rule: str,
    *,
    clean: Path,
    rows: Path,
    destination: Path,
    code: str = "",
    log_metric: Callable[[str, float], None] = lambda name, value: None,
) -> None:
    """Fit and judge the heads that the slice `forecast` (JSON, '' where the spec asks for none) declares."""
    with step("train_forecasts") as progress:
        if not rule:
            with files.written_folder(destination) as folder:
                files.write_json(folder / NONE, {"asked": False})
            progress.count(asked=False)
            return
        from components.intent import examples
        from components.intent.forecasts import card
        from components.intent.forecasts.learn import described, document, learn

        asked, whole = ForecastRule.model_validate_json(rule), examples.load(rows)
        events, items = _tables(clean, asked)
        found = learn(events, items, asked, whole, report=progress.at)
        evaluation = found.evaluation
        with files.written_folder(destination) as folder:
            (folder / MODEL).mkdir()
            (folder / EVALUATION).mkdir()
            found.scorer.save(folder / MODEL)
            files.write_json(folder / EVALUATION / "metrics.json", evaluation.metrics())
            resamples.write(folder / EVALUATION, evaluation.resamples, rows_digest=evaluation.rows_digest)
            text = card.write(evaluation, intents=asked.intents, step=whole.calendar.step, counts=found.counts)
            (folder / EVALUATION / "card.md").write_text(text)
            under = conditions.digests(**described(asked, whole, found.scorer), code=code)
            files.write_json(
                folder / TRAINING, found.counts | {"epochs": document(found.epochs), conditions.KEY: under}
            )
        for name, value in evaluation.test.items():
            if value is not None:
                log_metric(f"forecast.{name}", value)
        progress.count(asked=True, rows_in=sum(found.counts["rows"].values()), **_said(evaluation.test))


def run_refit_forecasts(
    rule: str, *, code: str, refit: bool, clean: Path, rows: Path, judged: Path, destination: Path
) -> None:
    """Fit the judged heads once more, on all ripe steps; prove that nothing else differs.

    Where the spec asks for no refit, or has no forecasts, the folder says so and holds nothing else. The evaluation is
    the judged heads'.
    """
    with step("refit_forecasts") as progress:
        if not refit or not rule:
            conditions.unasked(destination)
            progress.count(**{conditions.ASKED: False})
            return
        from components.intent import examples
        from components.intent.forecasts import refit as refits
        from components.intent.forecasts.learn import described
        from components.intent.forecasts.score import WEIGHTS, ForecastScorer

        asked, training = ForecastRule.model_validate_json(rule), files.read_json(judged / TRAINING)
        whole = examples.load(rows)
        targets = len(whole.vocabulary.targets)
        scorer = ForecastScorer.load(judged / MODEL, context=whole.context, calendar=whole.calendar, targets=targets)
        under = conditions.digests(**described(asked, whole, scorer), code=code)
        shared = conditions.require_same(training, under, of="refit of the forecasts")
        events, items = _tables(clean, asked)
        made = refits.refit(events, items, asked, whole, scorer, epochs=training["epochs"], report=progress.at)
        with files.written_folder(destination) as folder:
            (folder / MODEL).mkdir()
            made.scorer.save(folder / MODEL)
            shutil.copytree(judged / EVALUATION, folder / EVALUATION)
            of = hashlib.sha256((judged / MODEL / WEIGHTS).read_bytes()).hexdigest()
            about = {"weeks": made.weeks, "rows": made.rows, "epochs": made.epochs, "losses": made.losses}
            proof = {conditions.ASKED: True, conditions.JUDGED: of, conditions.KEY: shared}
            files.write_json(folder / MODEL / conditions.FILE, proof | about)
        progress.count(rows_in=made.rows, asked=True, weeks=len(made.weeks))


def _tables(clean: Path, rule: ForecastRule) -> tuple[pa.Table, pa.Table | None]:
    """Read the columns that labels are made of."""
    wanted = (columns.USER_ID, columns.ITEM_ID, columns.EVENT, columns.TIMESTAMP, columns.CREATED_AT)
    named = [*wanted, *(one.value for one in rule.intents)]
    path = clean / "events.parquet"
    have = pq.read_schema(path).names
    events = pq.read_table(path, columns=list(dict.fromkeys(name for name in named if name in have)))
    listed, levels = clean / "items.parquet", [one.column for one in rule.intents if one.column]
    if not levels or not listed.is_file():
        return events, None
    have = pq.read_schema(listed).names
    return events, pq.read_table(
        listed, columns=[name for name in dict.fromkeys([columns.ITEM_ID, *levels]) if name in have]
    )


def _said(test: dict[str, Any]) -> dict[str, Any]:
    """Return what the step's line says: of each intent the figure that people ask for first."""
    return {name.replace(":", "_"): value for name, value in test.items() if name.startswith(("rmse:", "accuracy:"))}
