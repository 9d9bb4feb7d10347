"""Judge the champion's judged twin on a candidate's rows, as if it were the candidate: same users, weeks and labels.

The twin reads its own rows of these users and weeks, in its own vocabulary, and its answers are put in the order of the
candidate's targets. Of a target that it does not know it says how often the training rows fulfil it. One that has
learnt from these rows is not asked: its like, of the same spec, is trained at the candidate's cutoffs.

Letters: B rows, C targets.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components import twins
from components.intent.ensemble_train import train
from components.intent.examples import Examples, load
from components.intent.score import IntentScorer
from components.intent.spec import Intent, IntentModel
from components.intent.train import OutOfTime, Report
from feature_repo.errors import DataError
from feature_repo.rows import UserRows
from feature_repo.vocabulary import Vocabulary


@dataclass(frozen=True)
class Twin:
    """What a twin says of rows, by user and instant, in the candidate's order of targets."""

    said: np.ndarray  # [B, C] float32
    place: dict[tuple[str, int], int]  # row by user and instant

    def predict(self, rows: UserRows) -> np.ndarray:
        """Return the probability of each of the candidate's targets for each row, float32 [B, C]."""
        found: np.ndarray = self.said[twins.positions(self.place, rows)]
        return found


def asked(model: Path, rows: Path, candidate: Examples) -> tuple[Twin, OutOfTime]:
    """Ask a model folder about a folder of its own rows; return its answers for the candidate's, and its own."""
    names = {target.intent for target in Vocabulary.load(rows / "vocabulary").targets}
    own = load(rows, [Intent(name=name) for name in sorted(names)])
    kept = IntentScorer.load(model)
    if kept.vocabulary.digest != own.vocabulary.digest:
        raise DataError(f"twin_rows: vocabulary {own.vocabulary.digest}, the model has {kept.vocabulary.digest}")
    # Weeks are counted by the calendar of the data at hand, and the targets' shares are those known then.
    scorer = kept.at(own.context, own.calendar)
    said = scorer.predict(own.rows)
    twin = Twin(translated(said, scorer.names, candidate), twins.places(own.rows))
    return twin, OutOfTime(own.rows.user_id, own.week, said)


def retrained(
    spec: IntentModel, intents: list[Intent], rows: Path, candidate: Examples, *, ranking_weeks: int, report: Report
) -> tuple[Twin, OutOfTime]:
    """Train what a twin's spec asks for on its own rows; return its answers for the candidate's, and its own."""
    own = load(rows, intents)
    trained = train(own, spec, ranking_weeks=ranking_weeks, report=report)
    judging = own.rows.take(np.concatenate([own.part("validate"), own.part("test")]))
    said = translated(trained.scorer.predict(judging), trained.scorer.names, candidate)
    return Twin(said, twins.places(judging)), trained.out_of_time


def translated(said: np.ndarray, names: list[str], candidate: Examples) -> np.ndarray:
    """Put answers in the candidate's order of targets."""
    column = {name: c for c, name in enumerate(names)}
    rate = candidate.train_rate
    columns = [
        said[:, column[name]] if name in column else np.full(len(said), rate[c])
        for c, name in enumerate(candidate.vocabulary.target_names)
    ]
    return np.stack(columns, axis=1).astype(np.float32)
