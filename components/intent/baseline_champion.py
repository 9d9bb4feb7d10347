"""The intent part of a baseline champion: a rate in the network's place, or the network where its own gates passed it.

Runs after the gates held a first candidate back, which name what is replaced. What it leaves is what training and
evaluation leave, so that it is registered, served and compared with in the ordinary way.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from components.intent import examples
from components.intent.examples import Examples
from components.intent.spec import Intent
from components.intent.steps import OUT_OF_TIME, TRAINING, judge, out_of_time_table
from components.step import step
from feature_repo import files

PART = "intent"
_INTENTS = TypeAdapter(list[Intent])


def run_baseline_intent(
    intents: str,
    baselines: str,
    *,
    rows: str,
    intent: str,
    intent_evaluation: str,
    baseline_intent: str,
    baseline_evaluation: str,
) -> None:
    """Write the model folder and the evaluation of the intent part that serves; `baselines` is JSON by part."""
    with step("baseline_intent") as progress:
        name = str(json.loads(baselines).get(PART, ""))
        if not name:
            for source, target in ((intent, baseline_intent), (intent_evaluation, baseline_evaluation)):
                with files.written_folder(Path(target)) as folder:
                    shutil.copytree(source, folder, dirs_exist_ok=True)
            progress.count(baseline="", rows_in=0)
            return
        found = examples.load(Path(rows), _INTENTS.validate_json(intents))
        prior = files.read_json(Path(intent_evaluation) / "metrics.json")["prior_weeks"].get(name, 0.0)
        with files.written_folder(Path(baseline_intent)) as folder:
            write(folder, name, found, instead_of=Path(intent), prior_weeks=float(prior))
        result, _ = judge(Path(baseline_intent), found, Path(baseline_evaluation), report=progress.at)
        progress.count(baseline=name, rows_in=int(result.test["rows"] or 0), map=result.test["map"])


def write(folder: Path, name: str, found: Examples, *, instead_of: Path, prior_weeks: float) -> None:
    """Write a rate's model folder, of the shape of a trained one; its scores are of the weeks that the other scored."""
    from components.intent.rate_net import RateNet
    from components.intent.score import IntentScorer
    from components.intent.train import OutOfTime

    like = IntentScorer.load(instead_of)
    net = RateNet.of(name, like.shape, rate=found.train_rate, prior_weeks=prior_weeks)
    scorer = IntentScorer(net, like.vocabulary, like.context, like.calendar, like.profile, events=like.events)
    scorer.save(folder)
    weeks = np.unique(pq.read_table(instead_of / OUT_OF_TIME, columns=[examples.WEEK])[examples.WEEK].to_numpy())
    scored = np.flatnonzero(np.isin(found.week, weeks))
    rows = found.rows.take(scored)
    table = out_of_time_table(OutOfTime(rows.user_id, found.week[scored], scorer.predict(rows)))
    pq.write_table(table, folder / OUT_OF_TIME, compression="zstd")
    learnt = found.part("train")
    training = {
        "baseline": name,
        "prior_weeks": prior_weeks,
        "rows": {"train": len(learnt)},
        "weeks": {"full": [int(week) for week in np.unique(found.week[learnt])]},
        "epochs": [],
    }
    files.write_json(folder / TRAINING, training)
