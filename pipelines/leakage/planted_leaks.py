"""Plant leaks in copies of a run's tables and verify that `checks.py` names them: the detector's own test.

Without it a detector that finds nothing proves nothing. It changes nothing of the run.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.leakage import alternative_futures, compare, labels, purge, skill
from feature_repo import columns
from pipelines.leakage import checks
from pipelines.leakage.checks import Observe
from pipelines.leakage.rebuild import FinishedRun, SampledRows, at_week, rebuilt

PLANTED = "planted_future"
FORWARD = "rows that carry the state of a week later"
CROSSED = "event times permuted across the cutoff"
COLUMN = "a column made from the label week"
ADDED = "the label week's events added to an honest column"
LABELS = "labels of the following week"
INTENTS = "intents scored by the final model"
HORIZON = "a split that ends where the next part begins, with labels of 28 days"
LONGER = "labels that look ahead longer than declared"
LONG_DAYS = 28


@dataclass(frozen=True)
class Plant:
    """A planted leak, and which checks named it."""

    name: str
    caught: bool
    by: list[str]  # table.column, or the check


def prove(
    made: FinishedRun, chosen: SampledRows, scratch: Path, *, observe: Observe = lambda share, note: None
) -> list[Plant]:
    """Plant every kind of leak; `scratch` is where `examine` left its rebuilt worlds."""
    cutoff = chosen.cutoffs[-1]
    past, other = scratch / f"past-{cutoff.week}", scratch / f"other-{cutoff.week}"
    happened = checks.happenings(made, chosen)
    plants: list[Callable[[], Plant]] = [
        lambda: forward(made, chosen, cutoff, past=past),
        lambda: crossed(made, chosen, cutoff, past=past, scratch=scratch),
        lambda: future_column(made, chosen, cutoff, other=other, happened=happened),
        lambda: added(made, chosen, cutoff, other=other, happened=happened),
        lambda: later_labels(made, chosen, happened=happened),
        lambda: longer_labels(made, chosen, happened=happened),
        lambda: unpurged(made),
    ]
    if made.intent is not None:
        plants.append(lambda: final_intents(made, chosen))
    found = []
    for number, plant in enumerate(plants):
        observe(number / len(plants), "planted leaks")
        found.append(plant())
    return found


def forward(made: FinishedRun, chosen: SampledRows, cutoff: alternative_futures.Cutoff, *, past: Path) -> Plant:
    """Give each row of a cutoff what was known a week later."""
    by: list[str] = []
    silent: list[str] = []
    for name, path in made.tables().items():
        again = past / name.partition("/")[0] / path.name
        later = at_week(path, cutoff.week + 1, chosen.users)
        if not again.is_file() or not later.num_rows:
            continue
        week = pa.array(np.full(later.num_rows, cutoff.week), later.schema.field(compare.WEEK).type)
        planted = later.set_column(later.schema.get_field_index(compare.WEEK), compare.WEEK, week)
        if moved(planted, at_week(path, cutoff.week, chosen.users)):
            caught = moved(planted, at_week(again, cutoff.week, chosen.users))
            (by if caught else silent).append(name)
    return Plant(FORWARD, bool(by) and not silent, by)


def moved(planted: pa.Table, rows: pa.Table) -> bool:
    """Tell whether a comparison names a column other than the time of the state."""
    found = compare.differences(planted, rows, table="", how="", whole=False)
    return any(leak.column not in (columns.EVENT_TIMESTAMP, columns.STATE_AT) for leak in found)


def crossed(
    made: FinishedRun, chosen: SampledRows, cutoff: alternative_futures.Cutoff, *, past: Path, scratch: Path
) -> Plant:
    """Build from events whose times were exchanged across the cutoff."""
    change = alternative_futures.crossed(cutoff, np.random.default_rng(cutoff.week))
    planted = rebuilt(made, change, cutoff, scratch / "crossed", users=chosen.users)
    mine = replace(made, profiles=planted / "profiles")
    found = checks.compared(mine, past, chosen, cutoff, how=compare.WITHOUT_FUTURE)
    return Plant(CROSSED, bool(found), sorted({leak.table for leak in found}))


def future_column(
    made: FinishedRun, chosen: SampledRows, cutoff: alternative_futures.Cutoff, *, other: Path, happened: pa.Table
) -> Plant:
    """Add a column that counts what the user fulfils in the label week."""
    rows = _with_counts(at_week(made.rows / "intent.parquet", cutoff.week, chosen.users), happened, PLANTED)
    again = at_week(other / "rows" / "intent.parquet", cutoff.week, chosen.users)
    found = compare.differences(rows, again, table="intent", how=compare.PERMUTED)
    by = [compare.MISSING] if any(leak.column == PLANTED for leak in found) else []
    trained, names = checks.training_rows(made, chosen), made.vocabulary().target_names
    label = skill.noticeable(trained, names)
    if label is not None:
        trained = trained.append_column(PLANTED, pa.array(label.now.astype(np.float64)))
        by += [skill.HOW for leak in skill.suspicious(trained, names) if leak.column == PLANTED]
    return Plant(COLUMN, len(by) == 1 + (label is not None), by)


def added(
    made: FinishedRun, chosen: SampledRows, cutoff: alternative_futures.Cutoff, *, other: Path, happened: pa.Table
) -> Plant:
    """Add the label week's count to every number column of honest rows."""
    rows = at_week(made.rows / "intent.parquet", cutoff.week, chosen.users)
    names = [f.name for f in rows.schema if pa.types.is_floating(f.type)]
    count = _with_counts(rows, happened, PLANTED)[PLANTED]
    for name in names:
        values = pc.add(rows[name].cast(pa.float64()), count).cast(rows.schema.field(name).type)
        rows = rows.set_column(rows.schema.get_field_index(name), name, values)
    again = at_week(other / "rows" / "intent.parquet", cutoff.week, chosen.users)
    found = {leak.column for leak in compare.differences(rows, again, table="intent", how=compare.PERMUTED)}
    moved = bool(pc.any(pc.greater(count, 0)).as_py())  # else nobody did anything in that week
    return Plant(ADDED, found >= {*names} or not moved, sorted(found & {*names}))


def later_labels(made: FinishedRun, chosen: SampledRows, *, happened: pa.Table) -> Plant:
    """Give rows the labels of the week after theirs."""
    weeks = sorted(pc.unique(happened[compare.WEEK]).to_pylist())
    found: list[str] = []
    for week, later in itertools.pairwise(weeks):
        truth, planted = (happened.filter(pc.equal(happened[compare.WEEK], w)) for w in (week, later))
        planted = planted.set_column(1, compare.WEEK, truth[compare.WEEK])
        for leak in compare.differences(
            planted, truth, table="intent", how=compare.LABEL_WEEK, chosen=(labels.FULFILLED, labels.BOUGHT)
        ):
            found.append(leak.column)
    return Plant(LABELS, bool(found), sorted({*found}))


def longer_labels(made: FinishedRun, chosen: SampledRows, *, happened: pa.Table) -> Plant:
    """Give rows the labels of 28 days, or of one step more where steps are long or labels look so far ahead."""
    steps = made.calendar.pace.steps(LONG_DAYS)
    week = min(pc.unique(happened[compare.WEEK]).to_pylist())
    honest = made.vocabulary()
    longer = [replace(target, horizon=max(steps, target.horizon + 1)) for target in honest.targets]
    planted = checks.happenings(made, chosen, vocabulary=replace(honest, targets=tuple(longer)), weeks=(week,))
    truth = happened.filter(pc.equal(happened[compare.WEEK], week))
    found = compare.differences(planted, truth, table="intent", how=compare.LABEL_WEEK, chosen=(labels.FULFILLED,))
    moved = planted[labels.FULFILLED].to_pylist() != truth[labels.FULFILLED].to_pylist()  # else nobody did more
    return Plant(LONGER, bool(found) or not moved, sorted({leak.column for leak in found}))


def unpurged(made: FinishedRun) -> Plant:
    """Let training weeks go on to the first validation cutoff, while labels look ahead 28 days or as far as they do."""
    first = min(made.split["validate"])
    weeks = range(min(made.split["train"]), first)
    horizon = max(made.horizon, made.calendar.pace.steps(LONG_DAYS))
    found = purge.overlaps(made.split | {"train": [*weeks]}, horizon=horizon)
    return Plant(HORIZON, any(leak.week is not None and leak.week < first for leak in found), [purge.UNPURGED])


def final_intents(made: FinishedRun, chosen: SampledRows) -> Plant:
    """Give the ranker what the final model says of weeks that it was trained on."""
    from components.intent import leaks as of_intents

    scorer, rows, week, stored = checks.scored(made, chosen)
    weeks = of_intents.assumed(made.split, horizon=made.horizon)
    said = scorer.predict(rows)
    kind = stored.schema.field(of_intents.COLUMN).type
    planted = pa.table(
        {
            columns.USER_ID: pa.array(rows.user_id.astype(str)),
            compare.WEEK: week,
            of_intents.COLUMN: pa.array(list(said), kind),
        }
    )
    found = of_intents.scores(scorer, rows, week, stored=planted, weeks=weeks)
    return Plant(INTENTS, {leak.week for leak in found} >= {*weeks["scored_by_early"]}, [of_intents.SCORES])


def _with_counts(rows: pa.Table, happened: pa.Table, name: str) -> pa.Table:
    """Add how many targets each row's user fulfilled in the row's week."""
    keys = zip(happened[columns.USER_ID].to_pylist(), happened[compare.WEEK].to_pylist(), strict=True)
    counts = dict(zip(keys, pc.list_value_length(happened[labels.FULFILLED]).to_pylist(), strict=True))
    wanted = zip(rows[columns.USER_ID].to_pylist(), rows[compare.WEEK].to_pylist(), strict=True)
    return rows.append_column(name, pa.array([float(counts.get(key, 0)) for key in wanted]))
