"""Which (user, week) pairs have training rows, so that rows grow with what happened and not with users x weeks.

A row is near if its user was active in its label week or in the `SILENT_WEEKS` weeks before it: all near rows are
kept. Of the silent ones, one in N is kept, drawn by a hash of the user's place and the week, and counts as N rows.
What a row's chance was is known for every row, its label's week included, so weighted sums over kept rows have the
sums over all possible rows as their expectation, whatever is summed. Rows with something to learn are near and lose
nothing. Places do not depend on the key of the pseudonyms.

Pairs are chosen before any feature is computed. Only training weeks are thinned: what judges a model is whole.

Expressions for `plan.py`, which any engine runs; the rule for N is `one_in`.
"""

from dataclasses import asdict, dataclass
from typing import Any

import ibis
from ibis import _

from components.profiles.spec import FEW_ROWS, MOST_ONE_IN, SILENT_WEEKS
from feature_repo import columns

FILE = "training_rows.json"  # of the profiles folder: what was possible, and what was kept
WEIGHTS = "row_weights.parquet"  # there too, where rows are thinned: those that count as several
PRIME = 2**31 - 1  # 5 does not divide PRIME - 1: x -> x^5 mod PRIME is a permutation
SCRAMBLE = (1_315_423_911, 374_761_393, 668_265_263)  # of user, week and the sum
MOSTLY = 2  # silent rows to a near one, from which on auto thins
Table = Any


@dataclass(frozen=True)
class TrainingRows:
    """How many rows the training weeks could have, and how many they have."""

    possible: int
    kept: int
    silent_one_in: int

    def __str__(self) -> str:
        """Return what the log says.

        >>> print(TrainingRows(851_758, 61_204, 13))
        851,758 possible rows, 61,204 kept with weights (one in 13 of silent users' rows)
        """
        if self.silent_one_in == 1:
            return f"{self.possible:,} possible rows, {self.kept:,} kept"
        how = f"one in {self.silent_one_in} of silent users' rows"
        return f"{self.possible:,} possible rows, {self.kept:,} kept with weights ({how})"

    def as_dict(self) -> dict[str, int]:
        """Return what the file holds."""
        return asdict(self)


def one_in(asked: int | str, *, possible: int, near: int) -> int:
    """Return one in how many silent rows is kept; auto keeps about as many of them as there are near ones.

    >>> one_in("auto", possible=851_758, near=60_000), one_in("auto", possible=220_000, near=150_000)
    (13, 1)
    """
    if asked != "auto":
        return int(asked)
    silent = possible - near
    if possible <= FEW_ROWS or silent <= MOSTLY * near:
        return 1
    return min(round(silent / max(near, 1)), MOST_ONE_IN)


def near(events: Table, cuts: Table) -> Table:
    """List the near pairs (user_id, week) of some cutoffs; `events` has user_id, week and known."""
    active = events.select("user_id", active=columns.WEEK).distinct()
    weeks = active.mutate(**{columns.WEEK: ibis.range(active.active, active.active + SILENT_WEEKS + 1).unnest()})
    pairs = weeks.select("user_id", columns.WEEK).distinct()
    return possible(events, cuts).semi_join(pairs, ["user_id", columns.WEEK])


def possible(events: Table, cuts: Table) -> Table:
    """List the pairs (user_id, week) that have rows where all are kept: cutoffs at which something was known."""
    since = events.group_by("user_id").agg(since=_.known.min())
    joined = since.cross_join(cuts.select(columns.WEEK))
    return joined.filter(_.since < joined[columns.WEEK]).drop("since")


def chosen(events: Table, cuts: Table, *, one_in: int) -> Table:
    """List the pairs that are kept, with the cutoffs' own columns and their weight."""
    every = near(events, cuts)
    drawn = possible(events, cuts).filter(place(_.user_id, _[columns.WEEK]) % one_in == 0)
    silent = drawn.anti_join(every, ["user_id", columns.WEEK])
    pairs = every.mutate(weight=ibis.literal(1, "int64")).union(silent.mutate(weight=ibis.literal(one_in, "int64")))
    return pairs.join(cuts, columns.WEEK)


def counted(events: Table, cuts: Table) -> Table:
    """Count possible and near pairs in one row; counts add up over blocks."""
    whole = possible(events, cuts).agg(possible=_.count())
    return whole.cross_join(near(events, cuts).agg(near=_.count()))


def place(user: Any, week: Any) -> Any:
    """Scramble a pair into 0..PRIME - 1, in integers that no engine lets overflow; a number works as a column does.

    >>> [place(1, week) % 10 for week in range(1, 9)]
    [6, 4, 8, 6, 3, 1, 2, 8]
    """
    a, b, c = SCRAMBLE
    user = user.cast("int64") if hasattr(user, "cast") else user
    return _fifth((_fifth((user * a + week * b + c) % PRIME) + c) % PRIME)


def _fifth(x: Any) -> Any:
    square = (x * x) % PRIME
    return (((square * square) % PRIME) * x) % PRIME
