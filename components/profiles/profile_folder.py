"""Build the `profiles` folder: split the events, fit the vocabulary, write user rows block by block, then the states.

`build/plan.py` says what is computed, `build/blocks.py` runs it, `build/feature_files.py` writes it; this is the order.
The fallback of `segments/` is fitted on the rows when they are there.
"""

import dataclasses
import datetime as dt
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.profiles import segmented_users
from components.profiles.build import blocks, engine, fit_vocabulary, plan, states, training_rows
from components.profiles.build.feature_files import (
    JUDGING,
    NEWEST,
    SHOWN,
    SUMS,
    TRAINING,
    FeatureFiles,
    Sums,
    as_feature_rows,
)
from components.profiles.segments import card, fallback
from components.profiles.spec import Profiles
from feature_repo import attributes, columns, files
from feature_repo.calendar import Calendar
from feature_repo.clock import Pace
from feature_repo.dropped_features import REDUCE
from feature_repo.errors import DataError
from feature_repo.signs import Signs
from feature_repo.vocabulary import Vocabulary

SAMPLE_SEED = 0
SECOND = dt.timedelta(seconds=1)


@dataclass(frozen=True)
class Wanted:
    """What vocabularies and rows are made for."""

    intents: tuple[fit_vocabulary.IntentTargets, ...]
    rule: fit_vocabulary.ItemRule
    history_weeks: int
    whole_history: bool = False  # rows keep all items that a user ever had
    people: bool = False  # items are users, and rows say who acted on them

    @property
    def signs(self) -> Signs:
        """What kinds of events say of items."""
        return self.rule.signs

    @classmethod
    def of(cls, wanted: dict[str, Any]) -> "Wanted":
        """Read what `Recommender.vocabulary_rule` says."""
        intents = tuple(fit_vocabulary.IntentTargets(**intent) for intent in wanted["intents"])
        rule = fit_vocabulary.ItemRule(**wanted["items"], signs=Signs.of(wanted.get("signs", {})))
        whole, people = (wanted.get(name, False) for name in ("whole_history", "people"))
        return cls(intents, rule, wanted["history_weeks"], whole, people)


def build_folder(
    folder: Path,
    clean: Path,
    spec: Profiles,
    wanted: Wanted,
    snapshot: dict[str, Any],
    weeks: plan.Weeks,
    *,
    fitted: Path | None,
    training: bool,
    at: Callable[[float, str], None],
) -> dict[str, Any]:
    """Write every file of the folder; return what profiles.json says."""
    if fitted is None:
        fit_vocabulary.require_dated(wanted.rule, snapshot.get("items_undated"))
    calendar = Calendar(**snapshot["calendar"])
    connection = build_connection()
    users = pq.read_table(clean / "users.parquet")
    user_ids = users[columns.USER_ID].combine_chunks()
    known = blocks.look(connection, clean / "events.parquet")
    weeks = as_known(weeks, calendar, known)
    _require_countable(weeks, calendar.pace)
    signs = wanted.signs if fitted is None else Vocabulary.load(fitted / "vocabulary").signs
    with tempfile.TemporaryDirectory(prefix="profiles-", dir=folder.parent) as scratch:
        split = blocks.split(
            connection,
            clean / "events.parquet",
            users=user_ids,
            items=pq.read_table(clean / "items.parquet", columns=["item_id"])["item_id"].combine_chunks(),
            days=plan.days(calendar, weeks.last - 1),
            known=known,
            scratch=Path(scratch) / "events",
            bare=signs.bare,
            people=wanted.people if fitted is None else Vocabulary.load(fitted / "vocabulary").people,
            texts=spec.rows_hold_texts,
        )
        at(0.1, "events")
        vocabulary = _vocabulary(split, clean, wanted, weeks, trained=calendar.start(weeks.validate[0]), fitted=fitted)
        if fitted is None:
            seen = fit_vocabulary.seen_until(connection, clean / "events.parquet", calendar.start(weeks.validate[0]))
            declared = attributes.fit(users, seen, spec.attributes)
            vocabulary = dataclasses.replace(vocabulary, attributes=declared)
        at(0.2, "vocabularies")
        cuts = plan.cutoffs(calendar, weeks.cutoffs, data_end=known.end + SECOND)
        everyone = users.take(pc.index_in(split.user_ids, user_ids))  # nulls for whom only events name
        codes = attributes.codes(everyone, vocabulary.attributes)
        output = FeatureFiles(
            folder,
            Path(scratch),
            split.user_ids,
            split.item_ids,
            cuts,
            spec.windows_days,
            codes,
            history_limit=vocabulary.history_limit,
            sums=Sums(SUMS | SHOWN if signs.shown else SUMS),
        )
        kept = _user_rows(
            split,
            output,
            vocabulary,
            spec,
            wanted,
            weeks,
            calendar.pace,
            users=len(user_ids),
            training=training,
            at=at,
        )
        if kept is not None:
            files.write_json(folder / training_rows.FILE, kept.as_dict())
        found = segmented_users.segmented(output, vocabulary, weeks, spec, fitted=fitted, steps=calendar.pace.recent)
        vocabulary = dataclasses.replace(vocabulary, segments=found.segmentation.digest)
        vocabulary.save(folder / "vocabulary")
        none = int(found.segmentation.assign(np.zeros((1, len(vocabulary.targets))))[0])
        output.finish_profile(*found.assigned, vocabulary=vocabulary.digest, none=none)
        at(0.9, "states")
        _states(
            folder, clean, output, vocabulary, calendar, weeks, cuts=cuts if training else cuts.slice(cuts.num_rows - 1)
        )
    connection.disconnect()
    fallback.write(
        folder, found.segmentation, vocabulary, weeks=weeks, whole=snapshot["last_week_complete"], pace=calendar.pace
    )
    card.write(folder, vocabulary, trained=weeks.validate[0])
    files.write_json(folder / "calendar.json", snapshot["calendar"])
    summary = _summary(snapshot, vocabulary, known, weeks, wanted, spec) | {"users": len(user_ids)}
    files.write_json(folder / "profiles.json", summary)
    return summary


def _summary(
    snapshot: dict[str, Any],
    vocabulary: Vocabulary,
    known: blocks.KnownEvents,
    weeks: plan.Weeks,
    wanted: Wanted,
    spec: Profiles,
) -> dict[str, Any]:
    """Say what the folder holds, for the steps and services that read it."""
    return {
        "data": snapshot["digest"],
        "key": snapshot.get("key", ""),
        "vocabulary": vocabulary.digest,
        "data_end": (known.end + SECOND).isoformat(),
        "next": weeks.last,
        "item_event": wanted.rule.event,
        "targets": len(vocabulary.targets),
        "items": vocabulary.items.num_rows,
        "windows_days": list(spec.windows_days),
        "selection": spec.selection.model_dump(mode="json"),
        columns.MEMORY: spec.memory,
    } | ({} if spec.reduce is None else {REDUCE: spec.reduce.model_dump(mode="json")})


def build_connection() -> Any:
    """Open the engine that the environment names: DuckDB on all cores, or Spark."""
    return engine.spark() if engine.chosen() == "spark" else engine.duckdb(f"{blocks.MEMORY_MIB}MiB")


def as_known(weeks: plan.Weeks, calendar: Calendar, known: blocks.KnownEvents) -> plan.Weeks:
    """Move the newest cutoff to where knowledge ends: rows that arrived after the last event belong to it too."""
    return dataclasses.replace(weeks, last=max(weeks.last, calendar.week(known.end) + 1))


def _require_countable(weeks: plan.Weeks, pace: Pace) -> None:
    """Refuse more steps than decaying sums can hold, before they come out as infinite."""
    if weeks.last > pace.most_steps():
        raise DataError(
            f"data.half_lives.fast: the data spans {weeks.last:,} {pace.step}s, and sums that decay so fast hold "
            f"{pace.most_steps():,}; give a longer half-life, a coarser data.step, or fewer {pace.step}s of events"
        )


def _vocabulary(
    split: blocks.Blocks,
    clean: Path,
    wanted: Wanted,
    weeks: plan.Weeks,
    *,
    trained: dt.datetime,
    fitted: Path | None,
) -> Vocabulary:
    """Fit the vocabulary on the training weeks, which end at `trained`, or take the fitted one."""
    if fitted is not None:
        return Vocabulary.load(fitted / "vocabulary")
    connection = engine.duckdb(f"{blocks.MEMORY_MIB}MiB")
    items = connection.read_parquet(str(clean / "items.parquet"))
    levels, labels = fit_vocabulary.levels(items, wanted.intents, split.item_ids)
    plan = fit_vocabulary.counting(wanted.rule, until_week=weeks.validate[0] - 1)
    counts = Sums({"labels": ("intent", "label"), "items": ("item_id",)})
    for block in split.run({False: plan, True: plan}, {"levels": levels}):
        counts.add(block)
    found = fit_vocabulary.fit(
        counts.all(), items, wanted.intents, wanted.rule, labels=labels, item_ids=split.item_ids, trained=trained
    )
    connection.disconnect()
    return dataclasses.replace(found, whole_history=wanted.whole_history, signs=wanted.signs, people=wanted.people)


def _user_rows(
    split: blocks.Blocks,
    output: FeatureFiles,
    vocabulary: Vocabulary,
    spec: Profiles,
    wanted: Wanted,
    weeks: plan.Weeks,
    pace: Pace,
    *,
    users: int,
    training: bool,
    at: Callable[[float, str], None],
) -> training_rows.TrainingRows | None:
    """Write the rows of every block of users; return how many of the training weeks there are."""
    bound = _bound(split, output.cutoffs, spec, weeks, pace, users=users) if training else Bound()
    plans = {
        late: plan.plan(
            late=late,
            windows_days=spec.windows_days,
            item_event=wanted.rule.event,
            users=_declared(split, users),
            training=training,
            sampled=bound.sampled,
            one_in=bound.one_in,
            from_week=weeks.train[0] if training else weeks.last - _labels_kept(pace, weeks),
            pace=pace,
            memories=training and spec.rows_hold_events,
            texts=spec.rows_hold_texts,
            signs=vocabulary.signs,
            people=vocabulary.people,
        )
        for late in {False, split.known.late}
    }
    cuts, week = output.cutoffs, output.cutoffs[columns.WEEK].to_numpy()
    judging = (week >= weeks.validate[0]) & (week < weeks.last)
    trained = (week < weeks.validate[0]) if bound.bounded else (week < weeks.last)
    ranked = week >= weeks.train[-wanted.history_weeks :][0]
    tables = plan.keys(vocabulary, split.item_ids) | {
        NEWEST: cuts.filter(week == weeks.last),
        TRAINING: cuts.filter(trained),
        f"{TRAINING}_ranking": cuts.filter(trained & ranked),
        JUDGING: cuts.filter(judging),
        f"{JUDGING}_ranking": cuts.filter(judging & ranked),
        "sampled": pa.table({"user_id": _sampled(users, spec.train_users)}),
    }
    kept = 0
    for done, block in enumerate(split.run(plans, tables), start=1):
        output.add(block)
        if training:
            kept += int((block[f"{TRAINING}_profile"]["cutoff"].to_numpy() < weeks.validate[0]).sum())
        at(0.2 + 0.65 * done / max(len(split.folders), 1), "user rows")
    output.close_users()
    return training_rows.TrainingRows(bound.possible or kept, kept, bound.one_in) if training else None


def _labels_kept(pace: Pace, weeks: plan.Weeks) -> int:
    """Return how many steps of what happened a build without training rows keeps, for the fallback."""
    return pace.lately + 1 + weeks.horizon


@dataclass(frozen=True)
class Bound:
    """What bounds the rows of the training weeks; rows of weeks that judge a model are never bounded."""

    sampled: bool = False  # only some users have them
    one_in: int = 1  # of the silent rows is kept
    possible: int | None = None  # rows, if counted

    @property
    def bounded(self) -> bool:
        """Tell whether the training weeks lack rows that the others have."""
        return self.sampled or self.one_in > 1


def _bound(split: blocks.Blocks, cuts: pa.Table, spec: Profiles, weeks: plan.Weeks, pace: Pace, *, users: int) -> Bound:
    """Count the rows that the training weeks could have, and find one in how many silent ones is kept."""
    sampled = spec.train_users is not None and spec.train_users < users
    if spec.silent_one_in == 1:
        return Bound(sampled)
    tried = training_rows.tried(spec.silent_one_in)
    counting = plan.count_plan(users=_declared(split, users), sampled=sampled, one_in=tried, pace=pace)
    week = cuts[columns.WEEK].to_numpy()
    tables = {
        TRAINING: cuts.filter(week < weeks.validate[0]),
        "sampled": pa.table({"user_id": _sampled(users, spec.train_users)}),
    }
    found = {"possible": 0, "kept": 0}
    for block in split.run({False: counting, True: counting}, tables):
        found = {name: n + int(block["row_counts"][name][0].as_py()) for name, n in found.items()}
    return Bound(sampled, training_rows.one_in(spec.silent_one_in, **found), found["possible"])


def _declared(split: blocks.Blocks, users: int) -> int | None:
    """Return below which place users are declared, None where all are."""
    return users if users < len(split.user_ids) else None


def _sampled(users: int, most: int | None) -> pa.Array:
    """Choose which users have training rows, by their place: places do not depend on a pseudonym's key."""
    if most is None or most >= users:
        return pa.array(np.arange(users, dtype=np.int32))
    return pa.array(np.sort(np.random.default_rng(SAMPLE_SEED).choice(users, most, replace=False)).astype(np.int32))


def _states(
    folder: Path,
    clean: Path,
    output: FeatureFiles,
    vocabulary: Vocabulary,
    calendar: Calendar,
    weeks: plan.Weeks,
    *,
    cuts: pa.Table,
) -> None:
    """Write the states of items and targets at cutoffs from the sums over all users, and from offers."""
    connection = engine.duckdb(f"{blocks.MEMORY_MIB}MiB")
    connection.raw_sql("SET threads = 1")  # floats add up in one order
    for name, table in output.sums.all().items():
        engine.stored(connection, name, table)
    engine.stored(connection, "cutoffs", cuts)
    engine.stored(connection, "item_targets", vocabulary.item_targets)
    index = engine.stored(connection, "item_index", vocabulary.items.select(["item_id", "item_index"]))
    end = output.cutoffs[columns.STATE_AT][-1].as_py()
    weekly = states.weekly_offers(connection, clean, index, calendar, weeks, data_end=end)
    for name, sql in states.compiled(
        offers=weekly is not None, shown=bool(vocabulary.signs.shown), pace=calendar.pace
    ).items():
        rows = as_feature_rows(connection.con.sql(sql).to_arrow_table())
        pq.write_table(rows, folder / f"{name}.parquet", compression="zstd", row_group_size=1 << 16)
    connection.disconnect()
