"""Training rows: what Feast says was known at each cutoff, with what then happened as labels.

Point-in-time retrieval goes through the same feature services that serving reads. Rows are ordered by week and
then by the users' order in `users.parquet`, so that nothing depends on the key of the pseudonyms.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.profiles.build import training_rows
from components.profiles.build.plan import Weeks
from components.profiles.label_steps import within_horizon, within_steps
from feature_repo import columns, event_lists, services
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError
from feature_repo.online import feast_store
from feature_repo.vocabulary import Vocabulary

ROW, BOUGHT = "row", "bought"
STEPS = 10_000_000  # more than any clock counts: over a thousand years of hours
WORTH = "worth"  # of a label, where the spec declares kinds of events
NEWEST = "newest.parquet"  # the intent model's rows as the data ends, without labels
SHOWN = "keyed_shown.parquet"  # only where impressions are logged
EVENTS_ROWS = 20_000  # whose memories are taken apart at a time: bounds memory
LISTED = {"key": pa.int64(), WORTH: pa.float64()}


@dataclass(frozen=True)
class Entities:
    """The (user, week) pairs to retrieve, in the order that rows will have."""

    user_id: pa.Array  # [R] string
    week: np.ndarray  # [R] int64

    def frame(self, calendar: Calendar) -> pd.DataFrame:
        """Return them as Feast asks: user, instant, and a row number to restore the order by."""
        starts = {int(w): calendar.start(int(w)) for w in np.unique(self.week)}
        at = pd.to_datetime([starts[int(w)] for w in self.week], utc=True)
        return pd.DataFrame(
            {
                columns.USER_ID: self.user_id.to_pandas(),
                columns.EVENT_TIMESTAMP: at,
                columns.WEEK: self.week,
                ROW: range(len(at)),
            }
        )


def entities(pairs: pa.Table, users: pa.Table, weeks: tuple[int, ...]) -> Entities:
    """Order the (user_id, week) `pairs` of the given weeks by week and by the users' own order."""
    wanted = pairs.filter(pc.is_in(pairs[columns.WEEK], pa.array(weeks, pa.int64())))
    position = pc.index_in(wanted[columns.USER_ID], users[columns.USER_ID].combine_chunks()).to_numpy()
    order = np.lexsort((position, wanted[columns.WEEK].to_numpy()))
    ordered = wanted.take(order)
    return Entities(ordered[columns.USER_ID].combine_chunks(), ordered[columns.WEEK].to_numpy())


def retrieve(feast: Any, service: str, wanted: Entities, calendar: Calendar) -> pa.Table:
    """Retrieve a feature service as known at the start of each pair's week, in the order of `wanted`.

    Returns user_id, week, now, state_at and the features. Feast's own order of rows and columns varies.
    """
    frame = wanted.frame(calendar)
    job = feast.get_historical_features(entity_df=frame, features=feast.get_feature_service(service))
    table = job.to_arrow()
    table = table.take(pc.sort_indices(table[ROW]))
    seconds = pa.array([int(calendar.start(int(w)).timestamp()) for w in wanted.week], pa.int64())
    first = [columns.USER_ID, columns.WEEK]
    rest = sorted(set(table.column_names) - {*first, ROW, columns.EVENT_TIMESTAMP, columns.STATE_AT})
    return table.select([*first, columns.STATE_AT, *rest]).add_column(2, "now", seconds)


def with_labels(rows: pa.Table, happened: pa.Table, name: str, *, value: str = "key") -> pa.Table:
    """Add the list of keys that happened to each row's user in its week (user_id, week, key), sorted.

    `value` names another column to list, in the order of the keys.
    """
    users = pc.unique(rows[columns.USER_ID])
    at, code = _codes(rows, users), _codes(happened, users)
    keys = happened["key"].to_numpy()
    order = np.lexsort((keys, code))
    code, listed = code[order], happened[value].to_numpy()[order]
    starts, ends = np.searchsorted(code, at, "left"), np.searchsorted(code, at, "right")
    lengths = ends - starts
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    index = np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])
    lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(listed[index], LISTED[value]))
    return rows.append_column(name, lists)


def with_events(rows: pa.Table, remembered: pa.Table, vocabulary: Vocabulary, *, texts: bool = False) -> pa.Table:
    """Add the event memories of the same rows as lists; refuse one that knows of its cutoff or of what came after.

    With `texts` also what users wrote.
    """
    names = columns.EVENT_LISTS + (columns.EVENT_TEXT_LISTS if texts else ())
    parts: dict[str, list[pa.Array]] = {name: [] for name in names}
    for start in range(0, rows.num_rows, EVENTS_ROWS):
        some = remembered.slice(start, EVENTS_ROWS)
        lists = event_lists.of(some[columns.MEMORY].combine_chunks(), vocabulary, texts=texts)
        at = lists["event_at"]
        late = at.values >= some["now"].to_numpy()[at.row_of_value()]
        if late.any():
            b = int(at.row_of_value()[late][0])
            raise DataError(
                f"event memories: that of a row of week {some[columns.WEEK][b].as_py()} holds an event at "
                f"{int(at.values[late][0])}, which its cutoff {some['now'][b].as_py()} does not know; build the "
                "profiles again"
            )
        for name, column in event_lists.arrow(lists).items():
            parts[name].append(column)
    for name in names if rows.num_rows else ():
        rows = rows.append_column(name, pa.chunked_array(parts[name]))
    return rows


def with_weights(rows: pa.Table, profiles: Path) -> pa.Table:
    """Add how many possible rows each row stands for, where the profiles step thinned the training weeks."""
    path = profiles / training_rows.WEIGHTS
    if not path.is_file():
        return rows
    users, weights = pc.unique(rows[columns.USER_ID]), pq.read_table(path)
    at, code = _codes(rows, users), _codes(weights, users)
    order = np.argsort(code)
    code, value = code[order], weights["weight"].to_numpy()[order]
    found = np.searchsorted(code, at)
    known = found < len(code)
    known[known] = code[found[known]] == at[known]
    weight = np.ones(len(at))
    weight[known] = value[found[known]]
    return rows.append_column(columns.ROW_WEIGHT, pa.array(weight))


def _codes(pairs: pa.Table, users: pa.Array) -> np.ndarray:
    """Number (user, week) pairs alike in every table; users that are not in `users` share a number below 0."""
    position = np.asarray(pc.fill_null(pc.index_in(pairs[columns.USER_ID], users), -1), dtype=np.int64)
    return position * STEPS + np.asarray(pairs[columns.WEEK], dtype=np.int64)


def write(
    profiles: Path,
    users: pa.Table,
    destination: Path,
    *,
    weeks: Weeks,
    ranking_weeks: tuple[int, ...],
    windows_days: tuple[float, ...],
    weighed: Callable[[pa.Table], pa.Table] = lambda rows: rows,
    ranked: pa.Table | None = None,
    ahead: int = 1,
    histories: bool = False,
) -> dict[str, int]:
    """Retrieve and write intent.parquet, newest.parquet and ranking.parquet into a folder; returns row counts.

    Nothing learns from the newest rows, whose labels nobody knows yet: monitoring looks at them.

    `weighed` adds the strength of the ranker's labels where the spec weighs them; they are of `ahead` steps. `ranked`
    are the (user_id, week) pairs of ranking.parquet; else they are those who bought something within these. `histories`
    adds the items of users' pasts to the rows of the intent model, for one that reads them as text.
    """
    calendar = Calendar(**_json(profiles / "calendar.json"))
    targets = pq.read_table(profiles / "keyed_targets.parquet", columns=[columns.USER_ID, "key", columns.WEEK])
    bought = within_steps(pq.read_table(profiles / "keyed_items.parquet"), ahead, weeks=ranking_weeks)
    seen = pq.read_table(profiles / "user_profile.parquet", columns=[columns.USER_ID, columns.WEEK])
    people = Vocabulary.load(profiles / "vocabulary").people
    with feast_store.offline("training", profiles, windows_days=windows_days, people=people) as feast:
        label_weeks = (*weeks.train, *weeks.validate, *weeks.test)
        asked = entities(seen, users, (*label_weeks, weeks.last))
        kept = _json(profiles / "profiles.json").get(columns.MEMORY)
        remembers, texts = kept in (columns.OF_TRAINING, columns.OF_TEXTS), kept == columns.OF_TEXTS

        def known(wanted: Entities) -> pa.Table:
            rows = _of_intent(feast, wanted, calendar, histories=histories)
            if not remembers:
                return rows
            remembered = retrieve(feast, services.MEMORY, wanted, calendar)
            return with_events(rows, remembered, Vocabulary.load(profiles / "vocabulary"), texts=texts)

        rows = known(asked)  # the newest lie last: rows are ordered by week
        learnt = int((asked.week != weeks.last).sum())
        intent, newest = rows.slice(0, learnt), rows.slice(learnt)
        pq.write_table(newest, destination / NEWEST, compression="zstd", row_group_size=1 << 14)
        del rows, newest
        ahead = within_horizon(targets, Vocabulary.load(profiles / "vocabulary").horizons)
        intent = with_weights(with_labels(intent, ahead, "label_ids"), profiles)
        pq.write_table(intent, destination / "intent.parquet", compression="zstd", row_group_size=1 << 14)
        counts = {"intent_rows": intent.num_rows}
        del intent
        wanted = entities(_returned(bought, seen) if ranked is None else ranked, users, ranking_weeks)
        _require_returning(len(wanted.week), pc.count_distinct(seen[columns.USER_ID]).as_py(), ranking_weeks)
        ranking = retrieve(feast, services.RANKING, wanted, calendar)
        ranking = weighed(with_labels(ranking, bought, BOUGHT))
        if WORTH in bought.column_names:
            ranking = with_labels(ranking, bought, columns.LABEL_STRENGTH, value=WORTH)
        if (profiles / SHOWN).is_file():
            ranking = with_labels(ranking, pq.read_table(profiles / SHOWN), columns.LABEL_SHOWN)
        pq.write_table(ranking, destination / "ranking.parquet", compression="zstd", row_group_size=1 << 13)
    return counts | {"ranking_rows": ranking.num_rows}


def _of_intent(feast: Any, wanted: Entities, calendar: Calendar, *, histories: bool) -> pa.Table:
    """Retrieve the intent model's rows, by the ranker's service where it reads items too."""
    if not histories:
        return retrieve(feast, services.INTENT, wanted, calendar)
    table = retrieve(feast, services.RANKING, wanted, calendar)
    unread = {*columns.HISTORY_LISTS, *columns.RECEIVED_LISTS} - {*columns.TOLD_LISTS}
    return table.drop([name for name in table.column_names if name in unread])


def _returned(bought: pa.Table, seen: pa.Table) -> pa.Table:
    """Return the (user_id, week) pairs of known users who bought something."""
    pairs = bought.select([columns.USER_ID, columns.WEEK]).group_by([columns.USER_ID, columns.WEEK]).aggregate([])
    return pairs.join(seen, [columns.USER_ID, columns.WEEK], join_type="inner")


def judged_pairs(
    profiles: Path,
    judged: pa.Table,
    test: tuple[int, ...],
    *,
    ahead: int = 1,
    ranking_weeks: tuple[int, ...] | None = None,
) -> pa.Table:
    """Return the pairs of `ranking.parquet` with those of the test weeks replaced by another's, `judged`.

    `ranking_weeks` are those that the file has, None for all.
    """
    bought, seen = (
        pq.read_table(profiles / f"{name}.parquet", columns=[columns.USER_ID, columns.WEEK, *more])
        for name, more in (("keyed_items", ["key"]), ("user_profile", []))
    )
    own, weeks = _returned(within_steps(bought, ahead, weeks=ranking_weeks), seen), pa.array(test, pa.int64())
    kept = own.filter(pc.invert(pc.is_in(own[columns.WEEK], weeks)))
    theirs = judged.filter(pc.is_in(judged[columns.WEEK], weeks))
    return pa.concat_tables([kept, theirs.select(kept.column_names).cast(kept.schema)])


def _require_returning(rows: int, users: int, weeks: tuple[int, ...]) -> None:
    """Refuse data in which nobody comes back: there is no past to predict from."""
    if not rows:
        raise DataError(
            f"data: none of {users:,} users came back in the weeks {weeks[0]} to {weeks[-1]} after an earlier week, so "
            "there is no past to rank by; check that user_id names people and not sessions or orders, widen "
            "models.ranking.train_weeks, or bring more weeks"
        )


def state_table(path: Path, weeks: tuple[int, ...]) -> pa.Table:
    """Read item or target state of the given weeks, without Feast's own columns."""
    table = pq.read_table(path)
    kept = table.filter(pc.is_in(table[columns.WEEK], pa.array(weeks, pa.int64())))
    return kept.drop([columns.EVENT_TIMESTAMP, columns.STATE_AT])


def _json(path: Path) -> dict[str, Any]:
    from feature_repo import files

    found: dict[str, Any] = files.read_json(path)
    return found
