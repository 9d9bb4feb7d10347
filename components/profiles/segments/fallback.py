"""What each segment's members do: sizes by week, popular items, intent rates. It travels with the release.

Counted over the last whole weeks, with every user in the segment of their newest row: an answer that rests on it is
as fresh as the profiles are. Only the segments themselves are bound to the training weeks (fit.py).

Letters: C targets, I items, K segments; group K is everyone.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ibis import _

from components.profiles.build import engine, training_rows
from components.profiles.build.plan import Weeks
from components.profiles.label_steps import within_horizon
from components.profiles.segments.fit import Segmentation
from feature_repo import columns, files
from feature_repo.clock import WEEK, Pace
from feature_repo.fallback import FILE, Fallback, ListedItem
from feature_repo.vocabulary import Vocabulary

PRIOR = 50.0  # users (user-weeks, for rates) of evidence that everyone's share weighs in a segment's
LISTED = 500  # items of a segment; what is rarer is nobody's idea of popular
LISTED_EVERYONE = 2_000  # as many as a request may ask for and exclude
MEMORY = "1GB"
WEEKLY = Pace()
Counts = dict[int, np.ndarray]  # by group


def write(
    folder: Path, found: Segmentation, vocabulary: Vocabulary, *, weeks: Weeks, whole: bool, pace: Pace = WEEKLY
) -> dict[str, Any]:
    """Write segments.json into a folder that holds the feature tables; `whole`: the last step is complete."""
    end = max(weeks.test[-1] + weeks.horizon - 1 + (1 if whole else 0), 2)
    span = range(max(end - pace.lately, 1), end)
    # A rate is of cutoffs whose whole horizon has passed.
    passed = range(max(end - weeks.horizon + 1 - pace.lately, 1), max(end - weeks.horizon + 1, 2))
    connection = engine.duckdb(MEMORY)
    profiles = connection.read_parquet(str(folder / "user_profile.parquet"))
    users = _newest(profiles, weeks.last)
    known = engine.stored(connection, "newest", users)
    items = _happened(connection.read_parquet(str(folder / "keyed_items.parquet")), known, span)
    ahead = within_horizon(pq.read_table(folder / "keyed_targets.parquet"), vocabulary.horizons)
    targets = _happened(engine.stored(connection, "ahead", ahead), known, passed)
    path = folder / training_rows.WEIGHTS
    sizes = _sizes(profiles, connection.read_parquet(str(path)) if path.is_file() else None)
    connection.disconnect()
    members = np.bincount(users["segment"].to_numpy(), minlength=len(found))  # [K]
    standby = Fallback(
        digest=found.digest,
        names=found.names,
        rates=rates(targets, members, span=len(passed), n_targets=len(vocabulary.targets)),
        listed=popular(items, k=len(found), n_items=vocabulary.items.num_rows),
    )
    about = {"vocabulary": vocabulary.digest, "weeks": list(span), "users": members.tolist(), "by_week": sizes}
    about |= {} if pace.step == WEEK else {"step": pace.step}
    document = found.as_dict() | about | standby.as_dict()
    files.write_json(folder / FILE, document)
    return document


def rates(happened: pa.Table, members: np.ndarray, *, span: int, n_targets: int) -> np.ndarray:
    """Return the share of user-weeks in which each target was fulfilled, by group, [K + 1, C].

    `happened` has segment, key, user and week, each once; all members count, active or not.
    """
    segment, key = happened["segment"].to_numpy(), happened["key"].to_numpy()
    k = len(members)
    counts = np.bincount(segment * n_targets + key, minlength=k * n_targets).reshape(k, n_targets)
    everyone = counts.sum(0) / max(members.sum() * span, 1)  # [C]
    own = (counts + PRIOR * everyone) / (members[:, None] * span + PRIOR)  # [K, C]
    return np.concatenate([own, everyone[None]]).astype(np.float32)


def popular(happened: pa.Table, *, k: int, n_items: int) -> tuple[ListedItem, ...]:
    """List each group's items by the share of its active users who had them, smoothed towards everyone's, [K + 1].

    `happened` has segment, key, user and week; a user who had an item in several weeks counts once.
    """
    pairs = happened.select(["segment", "key", "user"]).group_by(["segment", "key", "user"]).aggregate([])
    active = pairs.select(["segment", "user"]).group_by(["segment", "user"]).aggregate([])
    users = np.bincount(active["segment"].to_numpy(), minlength=k)  # [K]
    segment, key = pairs["segment"].to_numpy(), pairs["key"].to_numpy()
    everyone = np.bincount(key, minlength=n_items) / max(users.sum(), 1)  # [I]
    listed = []
    for s in range(k):
        mine = np.bincount(key[segment == s], minlength=n_items)
        listed.append(_listed((mine + PRIOR * everyone) / (users[s] + PRIOR), LISTED))
    return (*listed, _listed(everyone, LISTED_EVERYONE))


def _listed(shares: np.ndarray, most: int) -> ListedItem:
    order = np.lexsort((np.arange(len(shares)), -shares.round(6)))[:most]
    order = order[shares[order] > 0]
    return ListedItem(order, shares[order])


def _newest(profiles: Any, week: int) -> pa.Table:
    """Return every user's number and segment at the newest cutoff."""
    table: pa.Table = profiles.filter(_.week == week).select(columns.USER_ID, columns.SEGMENT).to_pyarrow()
    return table.append_column("user", pa.array(np.arange(table.num_rows)))


def _happened(keyed: Any, users: Any, span: range) -> pa.Table:
    """Return segment, key, user and week of what happened in a span of weeks, each once."""
    joined = keyed.filter(_.week.between(span[0], span[-1])).inner_join(users, columns.USER_ID)
    table: pa.Table = joined.select("segment", "key", "user", columns.WEEK).distinct().to_pyarrow()
    return table.set_column(1, "key", table["key"].cast(pa.int64()))


def _sizes(profiles: Any, weights: Any = None) -> dict[str, dict[str, int]]:
    """Count each segment's users at every cutoff, by week and segment; a row that stands for several counts so."""
    users = _.count()
    if weights is not None:
        keys = [columns.USER_ID, columns.WEEK]
        profiles = profiles.select(*keys, columns.SEGMENT).left_join(weights, keys)
        users = _.weight.fill_null(1).sum()
    counted = profiles.group_by(columns.WEEK, columns.SEGMENT).agg(users=users)
    counted = counted.order_by(columns.WEEK, columns.SEGMENT)
    sizes: dict[str, dict[str, int]] = {}
    for row in counted.to_pyarrow().to_pylist():
        sizes.setdefault(str(row[columns.WEEK]), {})[str(row[columns.SEGMENT])] = row["users"]
    return sizes
