"""Find what a finished run stored that depends on its own future: `doctor --leaks`.

Builds features again, with the steps' own code, from clean events without a future and with another future, and
compares every cell of sampled users at sampled cutoffs with what is stored. Then labels, vocabularies, segments,
intents and, as a smoke test, each column's skill. It changes nothing of the run. `planted_leaks.py` proves that it
finds leaks.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.leakage import alternative_futures, compare, labels, purge, skill
from components.leakage.alternative_futures import Cutoff
from components.profiles.segments.fit import Segmentation
from feature_repo import columns, files
from feature_repo.leak import Leak
from feature_repo.rows import UserRows
from feature_repo.vocabulary import Vocabulary
from pipelines.leakage.rebuild import FinishedRun, SampledRows, at_week, rebuilt, with_rows

if TYPE_CHECKING:
    from components.intent.score import IntentScorer

RANKING = "ranking"  # rows that exist because of what happened in their week
Observe = Callable[[float, str], None]


@dataclass(frozen=True)
class Findings:
    """What the checks found, and what they looked at."""

    leaks: list[Leak]
    checked: dict[str, Any]

    @property
    def real(self) -> list[Leak]:
        """Return the findings that are no mere warnings."""
        return [leak for leak in self.leaks if leak.severity == "leak"]


def examine(
    made: FinishedRun, chosen: SampledRows, scratch: Path, *, observe: Observe = lambda share, note: None
) -> Findings:
    """Run every check on a run's artifacts; `scratch` is an empty folder that is filled."""
    found: list[Leak] = []
    tables = made.tables()
    for number, cutoff in enumerate(chosen.cutoffs):
        observe(0.7 * number / len(chosen.cutoffs), f"cutoff of week {cutoff.week}")
        found += recomputed(made, chosen, cutoff, scratch)
    observe(0.7, "labels")
    found += labels_of(made, chosen)
    found += purge.overlaps(made.split, horizon=made.horizon)
    observe(0.75, "vocabularies and segments")
    found += refitted(made, scratch)
    observe(0.9, "intents")
    found += intents_of(made, chosen)
    observe(0.95, "skill of each column")
    found += skill.suspicious(training_rows(made, chosen), made.vocabulary().target_names)
    checked = {
        "cutoffs": [cutoff.week for cutoff in chosen.cutoffs],
        "users": len(chosen.users),
        "tables": {name: pq.read_schema(path).names for name, path in tables.items()},
        "columns": sum(len(pq.read_schema(path).names) - 2 for path in tables.values()),  # without key and week
        "labels": made.split["train"] + made.split["validate"] + made.split["test"],
        "intents": made.intent is not None,
    }
    return Findings(compare.merged(found), checked)


def recomputed(made: FinishedRun, chosen: SampledRows, cutoff: Cutoff, scratch: Path) -> list[Leak]:
    """Compare what is stored of a cutoff with what two worlds give: one without a future, one with another."""
    rng = np.random.default_rng(cutoff.week)
    past = rebuilt(
        made, alternative_futures.without_future(cutoff), cutoff, scratch / f"past-{cutoff.week}", users=chosen.users
    )
    found = compared(made, past, chosen, cutoff, how=compare.WITHOUT_FUTURE)
    other = rebuilt(
        made, alternative_futures.permuted(cutoff, rng), cutoff, scratch / f"other-{cutoff.week}", users=chosen.users
    )
    with_rows(other, cutoff)
    moved = compared(made, other, chosen, cutoff, how=compare.PERMUTED)
    if not moved:
        return found
    # Something moved: was it the future itself, or only what came late?
    change = alternative_futures.permuted(cutoff, rng, late=False)
    punctual = rebuilt(made, change, cutoff, scratch / f"punctual-{cutoff.week}", users=chosen.users)
    with_rows(punctual, cutoff)
    still = {(leak.table, leak.column) for leak in compared(made, punctual, chosen, cutoff, how=compare.PERMUTED)}
    late = [leak if (leak.table, leak.column) in still else replace(leak, how=compare.LATE) for leak in moved]
    return found + late


def compared(made: FinishedRun, folder: Path, chosen: SampledRows, cutoff: Cutoff, *, how: str) -> list[Leak]:
    """Compare every stored table that the rebuilt world has too, at one cutoff."""
    found = []
    for name, path in made.tables().items():
        part, _, table = name.partition("/")
        again = folder / part / path.name
        if (folder / part).is_dir():
            stored = at_week(path, cutoff.week, chosen.users)
            if not stored.num_rows:
                continue  # a week that this table is not kept for
            if not again.is_file():
                found.append(Leak(name, "(table)", cutoff.week, "", how, compare.MISSING))
                continue
            rows = at_week(again, cutoff.week, chosen.users)
            found += compare.differences(stored, rows, table=name, how=how, whole=table != RANKING)
    return found


def labels_of(made: FinishedRun, chosen: SampledRows) -> list[Leak]:
    """Compare the stored labels of the sampled users with what their events of each week say."""
    happened = happenings(made, chosen)
    found = []
    for table, label in (("intent", labels.FULFILLED), (RANKING, labels.BOUGHT)):
        where = pc.field(columns.USER_ID).isin(chosen.users)
        stored = pq.read_table(
            made.rows / f"{table}.parquet", columns=[columns.USER_ID, compare.WEEK, label], filters=where
        )
        for week in pc.unique(stored[compare.WEEK]).to_pylist():
            rows, truth = (t.filter(pc.equal(t[compare.WEEK], week)) for t in (stored, happened))
            found += compare.differences(rows, truth, table=f"rows/{table}", how=compare.LABEL_WEEK, chosen=(label,))
    return found


def happenings(
    made: FinishedRun,
    chosen: SampledRows,
    *,
    vocabulary: Vocabulary | None = None,
    weeks: tuple[int, ...] | None = None,
) -> pa.Table:
    """Derive the sampled users' labels of every label week from clean events; or of other targets, or weeks."""
    wanted = [columns.USER_ID, columns.ITEM_ID, columns.EVENT, columns.TIMESTAMP]
    have = pq.read_schema(made.clean / "events.parquet").names
    where = pc.field(columns.USER_ID).isin(chosen.users)
    events = pq.read_table(
        made.clean / "events.parquet", columns=[name for name in wanted if name in have], filters=where
    )
    split, vocabulary = made.split, vocabulary or made.vocabulary()
    return pa.concat_tables(
        labels.of_week(
            events,
            chosen.users,
            week=week,
            calendar=made.calendar,
            vocabulary=vocabulary,
            item_event=made.item_event,
            items_ahead=made.items_ahead,
        )
        for week in weeks or (*split["train"], *split["validate"], *split["test"])
    )


def refitted(made: FinishedRun, scratch: Path) -> list[Leak]:
    """Fit vocabularies and segments again, on what was known when the training weeks ended."""
    first = made.split["validate"][0]
    # The week before is the world's only training week, so that fitting ends where the run's own did.
    cutoff = replace(Cutoff.of(made.calendar, first - 1), at=made.calendar.start(first))
    change = alternative_futures.without_future(cutoff)
    again = rebuilt(made, change, cutoff, scratch / "fitted", fit=True)
    return fitted_apart(made, again / "profiles", first)


def fitted_apart(made: FinishedRun, again: Path, first: int) -> list[Leak]:
    """Compare what a run fitted with what was fitted again, in a folder of profiles, without weeks from `first` on."""
    mine, theirs = made.vocabulary(), Vocabulary.load(again / "vocabulary")
    found = []
    for column, have, fair in (
        ("targets", mine.target_names, theirs.target_names),
        ("items", mine.item_ids, theirs.item_ids),
        ("attributes", _declared(mine), _declared(theirs)),
    ):
        if have != fair:
            extra = [value for value in have if value not in fair]
            what = f"has {extra[0]!r}, which" if extra else "has another order or lacks some: this"
            what = f"{what} the training weeks alone do not give"
            found.append(Leak("vocabulary", column, first, "", compare.REFITTED, what, max(len(extra), 1)))
    if found:
        return found  # segments are of the vocabulary: no use in comparing them
    # segments.json also says what members did of late, for answers without models: that is as fresh as it can be.
    stored, alone = (
        Segmentation.from_dict(files.read_json(folder / "segments.json")).as_dict() for folder in (made.profiles, again)
    )
    return [*compare.fitted(stored, alone, table="segments", week=first)]


def _declared(vocabulary: Vocabulary) -> list[str]:
    return [f"{name} {value}" for name, values in vocabulary.attributes.items() for value in values]


def intents_of(made: FinishedRun, chosen: SampledRows) -> list[Leak]:
    """Check that the ranker's intents came from a model that had not seen the weeks."""
    if made.intent is None:
        return []
    from components.intent import leaks as of_intents
    from components.intent.steps import TRAINING

    weeks = files.read_json(made.intent / TRAINING).get("weeks")
    found = of_intents.recorded(weeks, made.split, horizon=made.horizon)
    scorer, rows, week, stored = scored(made, chosen)
    weeks = weeks or of_intents.assumed(made.split, horizon=made.horizon)
    return found + of_intents.scores(scorer, rows, week, stored=stored, weeks=weeks)


def scored(made: FinishedRun, chosen: SampledRows) -> tuple["IntentScorer", UserRows, np.ndarray, pa.Table]:
    """Read the final model, the sampled users' rows of the ranking weeks with their weeks, and the stored scores."""
    from components.intent.score import IntentScorer
    from components.intent.steps import OUT_OF_TIME

    assert made.intent is not None
    where = pc.field(columns.USER_ID).isin(chosen.users)
    table = pq.read_table(
        made.rows / "intent.parquet", filters=where & pc.field(compare.WEEK).isin(made.split["ranking"])
    )
    rows = UserRows.from_arrow(table.drop([compare.WEEK, labels.FULFILLED]))
    stored = pq.read_table(made.intent / OUT_OF_TIME, filters=where)
    return IntentScorer.load(made.intent), rows, table[compare.WEEK].to_numpy(), stored


def training_rows(made: FinishedRun, chosen: SampledRows) -> pa.Table:
    """Read the sampled users' intent rows of the training weeks."""
    where = pc.field(columns.USER_ID).isin(chosen.users) & pc.field(compare.WEEK).isin(made.split["train"])
    return pq.read_table(made.rows / "intent.parquet", filters=where)
