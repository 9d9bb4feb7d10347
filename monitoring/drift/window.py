"""Turn user rows into the two frames that the drift check compares: a reference window and a current one.

Reads the `rows` artifact (user-weeks as known at their cutoff) and, where there is one, the window of served rows. A
frame has one row for each user-week: floats are numbers, strings are categories. Scores and verdicts are made in
compare.py.

Counts and tenure grow by construction (on the grocery data the share of repeat purchases goes from .23 to .47 in a
year only because histories get longer), so lifetime totals, lifetime shares, first-seen times and windows longer
than the history at the first reference row are left out: they would drift in a world that does not change.

Letters: B rows, N list elements over all rows.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from feature_repo import columns, files
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError
from feature_repo.rows import UserRows
from feature_repo.vocabulary import Target, Vocabulary
from monitoring.drift.served_window import ServedWindow

Kind = Literal["train", "test", "served"]
DAY_S = 86_400
KEY = [columns.USER_ID, columns.WEEK]  # of a frame's rows
MIX_VALUES = 40  # values of a level that the mix tells apart, the reference's most frequent; the rest is OTHER
OTHER = "(other)"
BATCH_ROWS = 8_192  # a row's lists hold hundreds of elements: whole tables of them would need gigabytes


@dataclass(frozen=True)
class Window:
    """A frame of user-weeks and where in time it lies."""

    kind: Kind
    frame: pd.DataFrame  # index: user_id, week
    first: dt.datetime  # earliest and latest instant that rows were asked about, UTC
    last: dt.datetime

    def __str__(self) -> str:
        return f"{self.kind} weeks {self.weeks[0]}-{self.weeks[1]}, {len(self.frame)} user-weeks"

    @property
    def weeks(self) -> tuple[int, int]:
        """The first and the last week."""
        weeks = self.frame.index.get_level_values(columns.WEEK)
        return int(weeks.min()), int(weeks.max())

    def joined(self, scores: pd.DataFrame) -> "Window":
        """Add scores by user and week; rows of weeks that were not scored get none."""
        return replace(self, frame=self.frame.join(scores))

    def document(self) -> dict[str, Any]:
        """Describe the window; equal windows of one recommender have equal documents."""
        return {
            "kind": self.kind,
            "weeks": list(self.weeks),
            "from": self.first.isoformat(),
            "to": self.last.isoformat(),
            "rows": len(self.frame),
        }


def windows(
    folder: Path, *, served: ServedWindow | None = None, scores: Path | None = None, seed: int = 0
) -> tuple[Window, Window]:
    """Return (reference, current): train weeks and test weeks, or train weeks and what was `served`.

    People who come to be served are more active than all users, so served rows are compared with the ranking
    rows, which are of user-weeks with a visit. `scores` is the out-of-time table of the intent model.
    """
    split = files.read_json(folder / "split.json")
    vocabulary = Vocabulary.load(folder / "vocabulary")
    source = folder / ("intent.parquet" if served is None else "ranking.parquet")
    history_days = calendar_of(folder).pace.days * (min(split["train"]) - 1)
    days = _full_windows(source, history_days=history_days)
    make = Maker(calendar_of(folder), vocabulary.targets, days, np.random.default_rng(seed))
    reference = _window("train", make.frames(_batches(source, split["train"], days=days, even=seed)))
    if served is None:
        current = _window("test", make.frames(_batches(source, split["test"], days=days)))
    else:
        current = _window("served", make.frames(iter([served.rows])))
    if scores is not None:
        table = _score_table(scores, targets=vocabulary.targets)
        reference = reference.joined(table)
        current = current.joined(table if served is None else _served_scores(current, served, vocabulary.targets))
    return _mixed(reference, current)


@dataclass(frozen=True)
class Maker:
    """Makes a frame's columns out of user rows."""

    calendar: Calendar
    targets: tuple[Target, ...]
    days: tuple[float, ...]  # windows that were full from the first reference row on, shortest first
    rng: np.random.Generator

    def frames(self, parts: Iterator[UserRows]) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
        """Yield each part's frame with the instants (epoch seconds, int64 [B]) that its rows were asked about."""
        for rows in parts:
            rows = rows.take(np.flatnonzero(rows.known))  # a row of a stranger holds nothing to compare
            week = self.calendar.upcoming(rows.now)  # [B]
            index = pd.MultiIndex.from_arrays([rows.user_id, week], names=KEY)
            made = self.numbers(rows) | self.mix(rows, week)
            yield pd.DataFrame(made, index=index), rows.now

    def numbers(self, rows: UserRows) -> dict[str, np.ndarray]:
        """Return what users do now, as rates and shares; amounts on a log scale, since their tails are long."""
        longest = self.days[-1]
        of = {name: rows.numbers[columns.windowed(name, longest)] for name in columns.WINDOWED}
        paid, off = of["value"], of["discount"]
        made = {"recency_days": np.minimum((rows.now - rows.numbers["last_at"]) / DAY_S, longest)}  # [B], each
        for days in self.days:
            for name in ("sessions", "value"):
                made[columns.windowed(f"log_{name}", days)] = _log(rows.numbers[columns.windowed(name, days)])
        made["log_lines_per_session"] = _log(_ratio(of["events"], of["sessions"]))
        made["log_value_per_session"] = _log(_ratio(paid, of["sessions"]))
        made["log_value_per_unit"] = _log(_ratio(paid, of["quantity"]))
        made["discount_share"] = _ratio(off, paid + off)
        segments = rows.numbers[columns.SEGMENT]
        return made | {columns.SEGMENT: np.asarray([f"segment {int(s)}" for s in segments], dtype=object)}

    def mix(self, rows: UserRows, week: np.ndarray) -> dict[str, np.ndarray]:
        """Return for each intent with a level one value a user drawn from those of the last whole week, or None.

        One draw a user-week: the column's shares are the means of the users' own shares, so that a heavy user
        counts once, as in every other column.
        """
        ids, at = rows.lists["recent_targets"], rows.lists["recent_weeks"]
        owner = ids.row_of_value()  # [N]
        recent = at.values == week[owner] - 1
        made = {}
        for intent in dict.fromkeys(t.intent for t in self.targets if t.value is not None):
            values = np.asarray([t.value for t in self.targets], dtype=object)
            counted = np.asarray([t.intent == intent and t.value is not None for t in self.targets])
            mine = np.flatnonzero(recent & counted[ids.values])
            drawn = mine[self.rng.permutation(len(mine))]
            column = np.full(len(rows), None, dtype=object)
            column[owner[drawn]] = values[ids.values[drawn]]  # of a row's values the last one written stays
            made[f"mix_{intent}"] = column
        return made


def score_columns(probabilities: np.ndarray, targets: Sequence[Target]) -> dict[str, np.ndarray]:
    """Sum probabilities [B, C] over each intent's targets: how many of its values a user is expected to fulfil."""
    names = np.asarray([t.intent for t in targets])
    return {f"intent_{name}": probabilities[:, names == name].sum(axis=1) for name in dict.fromkeys(names)}


def _score_table(path: Path, *, targets: Sequence[Target]) -> pd.DataFrame:
    """Read the intent model's out-of-time scores, by user and week."""
    table = ds.dataset(path).to_table(columns=[columns.USER_ID, columns.WEEK, "probabilities"])
    flat = table["probabilities"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    probabilities = flat.reshape(table.num_rows, len(targets)).astype(np.float64)
    index = pd.MultiIndex.from_arrays([table[columns.USER_ID].to_pylist(), table[columns.WEEK].to_numpy()], names=KEY)
    return pd.DataFrame(score_columns(probabilities, targets), index=index)


def _served_scores(window: Window, served: ServedWindow, targets: Sequence[Target]) -> pd.DataFrame:
    return pd.DataFrame(score_columns(served.probabilities, targets), index=window.frame.index)


def _window(kind: Kind, parts: Iterator[tuple[pd.DataFrame, np.ndarray]]) -> Window:
    frames, instants = zip(*parts, strict=True)
    now = np.concatenate(instants)
    if not now.size:
        raise DataError(f"monitoring: no rows in the {kind} window; give the data more weeks or shorten data.split")
    first, last = (dt.datetime.fromtimestamp(int(end), dt.UTC) for end in (now.min(), now.max()))
    return Window(kind, pd.concat(frames), first, last)


def _mixed(reference: Window, current: Window) -> tuple[Window, Window]:
    """Keep the reference's most frequent values of each mix column, in both windows."""
    both = []
    mixes = [c for c in reference.frame.columns if c.startswith("mix_")]
    kept = {c: set(reference.frame[c].value_counts().index[:MIX_VALUES]) for c in mixes}
    for window in (reference, current):
        made = {c: window.frame[c].where(window.frame[c].isin(kept[c]) | window.frame[c].isna(), OTHER) for c in mixes}
        both.append(replace(window, frame=window.frame.assign(**made)))
    return both[0], both[1]


def _batches(path: Path, weeks: Sequence[int], *, days: Sequence[float], even: int | None = None) -> Iterator[UserRows]:
    """Read the rows of some weeks, a batch at a time, with the columns that `Maker` needs.

    `even` is the seed of the draw where rows stand for several: a row is taken by chance, in proportion to what it
    stands for, which leaves an even sample of all possible rows.
    """
    weighted = even is not None and columns.ROW_WEIGHT in ds.dataset(path).schema.names
    most = _heaviest(path) if weighted else 1.0
    rng = np.random.default_rng(even)
    numbers = [columns.windowed(name, d) for d in days for name in columns.WINDOWED]
    wanted = [columns.USER_ID, "now", columns.STATE_AT, "last_at", columns.SEGMENT, *numbers, *columns.RECENT_LISTS]
    wanted += [columns.ROW_WEIGHT] if weighted else []
    scanner = ds.dataset(path).scanner(
        columns=wanted, filter=ds.field(columns.WEEK).isin(list(weeks)), batch_size=BATCH_ROWS, use_threads=False
    )
    for batch in scanner.to_batches():
        if weighted:
            batch = batch.filter(pa.array(rng.random(batch.num_rows) * most < batch[columns.ROW_WEIGHT].to_numpy()))
        yield UserRows.from_arrow(pa.Table.from_batches([batch]))


def _heaviest(path: Path) -> float:
    weight = ds.dataset(path).to_table(columns=[columns.ROW_WEIGHT])[columns.ROW_WEIGHT]
    return float(pc.max(weight).as_py() or 1.0)


def _full_windows(path: Path, *, history_days: float) -> tuple[float, ...]:
    """Return the days of the windows in the file that `history_days` of history fill, or the shortest one."""
    read = [columns.window_of(name) for name in ds.dataset(path).schema.names]
    found = sorted(window for named, window in filter(None, read) if named == "sessions")
    if not found:
        raise DataError(
            f"{path.name}: no sessions_<days>d or sessions_<hours>h column; the rows are of another version of the "
            "platform"
        )
    return tuple(d for d in found if d <= history_days) or (found[0],)


def calendar_of(folder: Path) -> Calendar:
    """Return the calendar of a rows artifact."""
    return Calendar(**files.read_json(folder / "calendar.json"))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide [B] by [B]; NaN, which is no value, where there is nothing to divide by."""
    ratio = np.full(len(whole), np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def _log(amount: np.ndarray) -> np.ndarray:
    return np.asarray(np.log1p(np.maximum(amount, 0.0)))
