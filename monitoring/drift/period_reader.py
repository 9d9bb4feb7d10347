"""Read what each period left from the folders of a run: clean tables, the source's tables, rows, a model, the log.

A period is a day or a week of a calendar of its own (`spec.signals.period`), anchored where the recommender's is. Only
periods that are over count, and a first one that the data began in the midst of does not. Features of a period are the
rows at its end; labels of a period are those that were complete when it ended and not before.

Letters: N events, B rows, C intents.
"""

import datetime as dt
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from components.volumes import REFERENCE
from feature_repo import columns, files
from feature_repo.calendar import Calendar
from feature_repo.rows import Ragged, UserRows
from feature_repo.vocabulary import Vocabulary
from monitoring.drift import answers_read, column_arrays, event_table, text_directions, usual_prices
from monitoring.drift.answers_read import Answers, OfPeriod
from monitoring.drift.event_table import EventTable
from monitoring.drift.observed import ItemTexts, ItemValues, Labels, Observed
from monitoring.drift.run_folders import Folders
from monitoring.drift.window import calendar_of
from monitoring.spec import Signals

if TYPE_CHECKING:
    from components.intent.forecasts.score import ForecastScorer

EVENTS, ITEMS = "events.parquet", "items.parquet"
NEWEST = "newest.parquet"  # of rows: the users as the data ends, whose labels nobody knows yet
SCORED = 26  # of the last periods; scoring is what takes time
SAMPLE = 400  # rows that are scored a period
LATE_S = 12 * 3600  # a first period that the data begins later in, by this or a tenth of it, is not whole
SEGMENT_AGE = dt.timedelta(days=28)  # of a user's segment that is older nothing is told
Predict = Callable[[UserRows], np.ndarray]


class Periods:
    """The periods of a recommender that are over, read as they are asked for."""

    def __init__(
        self, folders: Folders, spec: Signals, *, scored: int = SCORED, predict: Predict | None = None
    ) -> None:
        self.folders = folders
        self.clock = calendar_of(folders.rows)
        step = spec.period or ("day" if self.clock.step == "hour" else self.clock.step)
        self.calendar = Calendar(self.clock.first_day, self.clock.timezone, step)
        self.days = round(self.calendar.pace.days)
        self.vocabulary = Vocabulary.load(folders.rows / "vocabulary")
        self._predict = predict
        self._scored = scored

    @cached_property
    def numbers(self) -> list[int]:
        """Number the periods that are over, ascending."""
        told = files.read_json(self.folders.clean / "snapshot.json")
        begins, over = dt.datetime.fromisoformat(told["first"]), self._over(told)
        found = [n for n in range(1, self.calendar.week(over) + 1) if self.calendar.start(n + 1) <= over]
        late_s = max(LATE_S, self.calendar.pace.seconds / 10)
        whole = begins <= self.calendar.start(1) + dt.timedelta(seconds=late_s)
        return found if whole else found[1:]

    def _over(self, told: dict[str, Any]) -> dt.datetime:
        """Return the instant up to which the data is whole: of days in a week that is not over, the newest's start."""
        over = self.clock.start(told["weeks"] + bool(told["last_week_complete"]))
        if self.calendar.step == self.clock.step or "last" not in told:
            return over
        newest = self.calendar.start(self.calendar.week(dt.datetime.fromisoformat(told["last"])))
        return max(over, newest)

    def starts(self, period: int) -> str:
        """Return when a period starts, ISO, as the clock on the wall shows it."""
        return self.calendar.local_start(period).isoformat()

    def observed(self, period: int) -> Observed:
        """Read one period."""
        begin, end = self._events_of(period)
        events = self._events.iloc[begin:end]
        frame, weight, segment = self._frame(period)
        ingested, unknown = self._ingested(period)
        logged = OfPeriod() if self._answers is None else self._answers.of(period, events)
        return Observed(
            period=period,
            days=self.days,
            events=events,
            values=self._values,
            texts=self._texts,
            new_items=self._new[begin:end],
            usual=usual_prices.usual(events, self._events.iloc[self._events_of(period - REFERENCE)[0] : begin]),
            age=period if self.numbers and self.numbers[0] == 1 else None,
            segment=self._segment_of(period, events),
            segments=self.segments,
            ingested=ingested,
            unknown=unknown,
            frame=frame,
            weight=weight,
            row_segment=segment,
            scores=self._scores(period),
            forecasts=self._forecasts(period),
            served=logged.served,
            served_by=logged.served_by,
            labels=self._labels(period),
            answers=logged.answers,
            shown=logged.shown,
        )

    @cached_property
    def segments(self) -> tuple[str, ...]:
        """Name the segments that rows count: numbers mean what the fit of that digest says."""
        path = self.folders.rows / "segments.json"
        told = files.read_json(path) if path.is_file() else {}
        return tuple(f"{str(told['digest'])[:4]}.{place}" for place in range(len(told.get("names", []))))

    # Events -------------------------------------------------------------------------------------------------------

    @cached_property
    def _read(self) -> EventTable:
        return event_table.read(self.folders.clean / EVENTS, self.calendar)

    @property
    def _events(self) -> pd.DataFrame:
        return self._read.events

    def _events_of(self, period: int) -> tuple[int, int]:
        begin, end = np.searchsorted(self._read.period, [period, period + 1])
        return int(begin), int(end)

    @cached_property
    def _new(self) -> np.ndarray:
        """Tell of each event whether its item was in no event of an earlier period, bool [N]."""
        events, period = self._events, self._read.period
        first = np.full(len(self._read.items), np.iinfo(np.int64).max)
        np.minimum.at(first, events["item"].to_numpy(), period)
        return np.asarray(first[events["item"].to_numpy()] == period)

    @cached_property
    def _values(self) -> ItemValues | None:
        """Return which values of the intents' item columns each item has."""
        from scipy.sparse import csr_matrix

        targets = self.vocabulary.targets
        names = list(dict.fromkeys(f"{t.column}.{t.value}" for t in targets if t.value is not None))
        if not names:
            return None
        place = np.asarray([names.index(f"{t.column}.{t.value}") if t.value is not None else -1 for t in targets])
        held = self.vocabulary.item_targets
        item = pc.index_in(held[columns.ITEM_ID].cast(pa.string()), self._read.items.cast(pa.string()))
        at = place[held[columns.TARGET_ID].to_numpy()]
        item = pc.fill_null(item, -1).to_numpy()
        pairs = np.unique(np.stack([item, at])[:, (item >= 0) & (at >= 0)], axis=1)
        matrix = csr_matrix((np.ones(pairs.shape[1]), pairs), shape=(len(self._read.items), len(names)))
        return ItemValues(tuple(names), matrix)

    @cached_property
    def _texts(self) -> ItemTexts | None:
        """Return what each item's text is about."""
        return None if self.folders.vectors is None else text_directions.read(self.folders.vectors, self._read.items)

    def lists(self, signal: str) -> bool:
        """Tell whether the catalogue, or the events, still have what events.share.category.SOUP names."""
        column, _, value = signal.partition(".")[2].partition(".")[2].partition(".")
        if signal.startswith("events.kind."):
            return signal.removeprefix("events.kind.") in self._events["event"].cat.categories
        table = pq.read_table(self.folders.clean / ITEMS)
        if column not in table.column_names:
            return False
        held = table[column].combine_chunks()
        held = held.flatten() if pa.types.is_list(held.type) else held
        return bool(pc.any(pc.equal(held.cast(pa.string()), value)).as_py())

    @cached_property
    def _source(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return of each event that the source gave its period, and whether the source does not list its item."""
        folder = self.folders.tables
        if folder is None or not (folder / EVENTS).is_file():
            return None
        table = pq.read_table(folder / EVENTS, columns=[columns.ITEM_ID, columns.TIMESTAMP])
        period = self.calendar.weeks(column_arrays.seconds(table[columns.TIMESTAMP].fill_null(0)))
        listed = pq.read_table(folder / ITEMS, columns=[columns.ITEM_ID])[columns.ITEM_ID]
        unknown = ~pc.is_in(table[columns.ITEM_ID], value_set=listed.combine_chunks()).to_numpy()
        return period, unknown

    def _ingested(self, period: int) -> tuple[int | None, int | None]:
        if self._source is None:
            return None, None
        here = self._source[0] == period
        return int(here.sum()), int(self._source[1][here].sum())

    # Rows ---------------------------------------------------------------------------------------------------------

    @cached_property
    def _intent(self) -> ds.Dataset:
        return ds.dataset(self.folders.rows / "intent.parquet")

    @cached_property
    def _newest(self) -> ds.Dataset | None:
        """Return the rows as the data ends; None of a run that wrote none yet."""
        path = self.folders.rows / NEWEST
        return ds.dataset(path) if path.is_file() else None

    @cached_property
    def _cutoffs(self) -> list[dt.datetime]:
        """Return the instants that rows were asked about at, ascending."""
        parts = [self._intent, *([] if self._newest is None else [self._newest])]
        weeks = [pc.unique(part.to_table(columns=[columns.WEEK])[columns.WEEK]).to_pylist() for part in parts]
        return sorted({self.clock.start(week) for some in weeks for week in some})

    def _rows_at(self, instant: dt.datetime, names: list[str] | None = None) -> pa.Table:
        """Read the rows that were asked about at an instant; none where it is no cutoff."""
        week = self.clock.week(instant)
        if self.clock.start(week) != instant:
            return self._intent.schema.empty_table()
        found = self._intent.to_table(columns=names, filter=ds.field(columns.WEEK) == week, use_threads=False)
        if found.num_rows or self._newest is None:
            return found
        there = None if names is None else [name for name in names if name in self._newest.schema.names]
        newest = self._newest.to_table(columns=there, filter=ds.field(columns.WEEK) == week, use_threads=False)
        return newest if newest.num_rows else found

    def _frame(self, period: int) -> tuple[pd.DataFrame | None, np.ndarray | None, np.ndarray | None]:
        """Return the numbers of the rows at a period's end, what each stands for, and its segment."""
        names = [f.name for f in self._intent.schema if pa.types.is_floating(f.type) and f.name != columns.ROW_WEIGHT]
        here = [n for n in ("now", "last_at", columns.SEGMENT, columns.ROW_WEIGHT) if n in self._intent.schema.names]
        table = self._rows_at(self.calendar.start(period + 1), [*names, *here])
        if not table.num_rows:
            return None, None, None
        frame = pd.DataFrame({name: table[name].to_numpy().astype(np.float64) for name in names})
        if "last_at" in here:
            now, last = (column_arrays.whole(table[name]) for name in ("now", "last_at"))
            frame["recency_days"] = (now - last) / 86_400
        segment = column_arrays.whole(table[columns.SEGMENT]) if columns.SEGMENT in here and self.segments else None
        return frame, column_arrays.weights(table), segment

    def _segment_of(self, period: int, events: pd.DataFrame) -> np.ndarray | None:
        """Return for each event the segment of its user as last known before the period; -1 of who was not there yet.

        Rows may lie at some days of a week only, and at none of weeks that nobody trains on.
        """
        begins = self.calendar.start(period)
        known = [at for at in self._cutoffs if at <= begins] if self.segments else []
        if not known or begins - known[-1] > SEGMENT_AGE:
            return None
        table = self._rows_at(known[-1], [columns.USER_ID, columns.SEGMENT])
        if not table.num_rows:
            return None
        user = pc.fill_null(pc.index_in(table[columns.USER_ID], self._read.users), -1).to_numpy()
        of_user = np.full(len(self._read.users), -1, dtype=np.int64)
        of_user[user[user >= 0]] = column_arrays.whole(table[columns.SEGMENT])[user >= 0]
        return np.asarray(of_user[events["user"].to_numpy()])

    # The model ----------------------------------------------------------------------------------------------------

    @cached_property
    def _predictor(self) -> Predict | None:
        if self._predict is not None or self.folders.intent is None:
            return self._predict
        from components.intent.context import FILE, TargetContext
        from components.intent.score import IntentScorer

        scorer = IntentScorer.served(self.folders.intent)
        if scorer.vocabulary.digest != self.vocabulary.digest:
            return None  # its rows would mean something else
        context = TargetContext.load(self.folders.rows / FILE, n_targets=len(self.vocabulary.targets))
        return scorer.at(context, self.clock).predict

    @cached_property
    def intents(self) -> tuple[str, ...]:
        """Name the intents."""
        return tuple(dict.fromkeys(t.intent for t in self.vocabulary.targets))

    @cached_property
    def _forecaster(self) -> "ForecastScorer | None":
        """The champion's forecasts, None where it has none, or a vocabulary of its own."""
        if self.folders.intent is None:
            return None
        from components.intent.context import FILE, TargetContext
        from components.intent.forecasts.score import ForecastScorer

        scorer = ForecastScorer.served(self.folders.intent)
        own = Vocabulary.load(self.folders.intent / "vocabulary").digest if scorer is not None else ""
        if scorer is None or own != self.vocabulary.digest:
            return None
        context = TargetContext.load(self.folders.rows / FILE, n_targets=len(self.vocabulary.targets))
        return scorer.at(context, self.clock)

    def by_intent(self, by_target: np.ndarray) -> np.ndarray:
        """Sum numbers by target [B, targets] to numbers by intent, float64 [B, C]."""
        of = np.asarray([t.intent for t in self.vocabulary.targets])
        return np.stack([by_target[:, of == intent].sum(axis=1, dtype=np.float64) for intent in self.intents], axis=1)

    def _scores(self, period: int) -> pd.DataFrame | None:
        scored = self._scored_at(self.calendar.start(period + 1)) if period in self.numbers[-self._scored :] else None
        return None if scored is None else pd.DataFrame(self.by_intent(scored[1]), columns=list(self.intents))

    def _forecasts(self, period: int) -> pd.DataFrame | None:
        """Return what the champion's forecasts are of a sample of the rows at a period's end."""
        if self._forecaster is None or period not in self.numbers[-self._scored :]:
            return None
        found = self._sample_at(self.calendar.start(period + 1))
        return None if found is None else pd.DataFrame(self._forecaster.watched(found[1]))

    def _scored_at(self, instant: dt.datetime) -> tuple[np.ndarray, np.ndarray] | None:
        """Return a sample of an instant's rows, by their places [b], and the probability of each target [b, targets].

        What is asked for one period's scores is asked again for the next one's labels, and kept until then.
        """
        if self._predictor is None:
            return None
        if instant in self._kept:
            return self._kept[instant]
        found = self._sample_at(instant)
        if found is None:
            return None
        self._kept[instant] = found[0], self._predictor(found[1])
        return self._kept[instant]

    def _sample_at(self, instant: dt.datetime) -> tuple[np.ndarray, UserRows] | None:
        """Return a sample of an instant's rows, by their places [b], and the rows."""
        table = self._rows_at(instant)
        if not table.num_rows:
            return None
        chosen = np.sort(np.random.default_rng(0).permutation(table.num_rows)[:SAMPLE])
        table = table.take(chosen)
        drop = [n for n in (columns.WEEK, "label_ids", columns.ROW_WEIGHT) if n in table.column_names]
        return chosen, UserRows.from_arrow(table.drop(drop))

    @cached_property
    def _kept(self) -> dict[dt.datetime, tuple[np.ndarray, np.ndarray]]:
        return {}

    def _labels(self, period: int) -> Labels | None:
        """Return the labels that this period completed, by intent: of intents of several horizons each its own rows."""
        end = self.clock.week(self.calendar.start(period + 1))
        horizons = {t.intent: t.horizon for t in self.vocabulary.targets}
        if self.clock.start(end) != self.calendar.start(period + 1) or len(set(horizons.values())) > 1:
            horizons = {name: steps for name, steps in horizons.items() if steps == min(horizons.values())}
        instant = self.clock.start(end - min(horizons.values()))
        scored = self._scored_at(instant) if period in self.numbers[-self._scored :] else None
        wanted = ["label_ids", *([columns.ROW_WEIGHT] if columns.ROW_WEIGHT in self._intent.schema.names else [])]
        table = self._rows_at(instant, wanted)
        if not table.num_rows or "label_ids" not in table.column_names:
            return None
        labels = Ragged.from_arrow(table["label_ids"].combine_chunks(), np.int64)
        done = np.zeros((table.num_rows, len(self.vocabulary.targets)), dtype=np.float32)
        done[labels.row_of_value(), labels.values] = 1
        keep = [place for place, intent in enumerate(self.intents) if intent in horizons]
        expected = None if scored is None else self.by_intent(scored[1])[:, keep]
        names = tuple(self.intents[place] for place in keep)
        sample = None if scored is None else scored[0]
        return Labels(names, self.by_intent(done)[:, keep], column_arrays.weights(table), expected, sample)

    def _logged(self) -> pa.Table | None:
        """Return the log's answers: of the store where doors ship to one, else of the folder; None where none is."""
        if self.folders.store:
            return answers_read.shipped(self.folders.store, days=self._scored * self.days)
        folder = self.folders.log
        return answers_read.kept(folder) if folder is not None and folder.is_dir() else None

    @cached_property
    def _answers(self) -> "Answers | None":
        table = self._logged()
        if table is None:
            return None
        return Answers.of_table(
            table,
            calendar=self.calendar,
            users=self._read.users,
            items=self._read.items,
            targets=len(self.vocabulary.targets),
            by_intent=lambda by_target: pd.DataFrame(self.by_intent(by_target), columns=list(self.intents)),
            acts=[kind for kind in self._events["event"].unique() if self.vocabulary.signs.is_act(str(kind))],
        )
