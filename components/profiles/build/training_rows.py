"""Which (user, week) pairs have training rows, so that rows grow with what happened and not with users x weeks.

A row is kept for sure if its user was active in its label week or in the `Pace.silent` weeks before it. Of later ones
ever fewer are: after g silent weeks one in (g / silent)^2, at most one in N, drawn by a hash of the user's place
and the week; a kept row counts as those that it stands for. Each row's chance is known, so weighted sums over kept
rows have the sums over all possible rows as their expectation, whatever is summed. Rows in which something happened
are all kept, and so are all that the ranker reads. Places do not depend on the key of the pseudonyms.

Why the square: a user's chance to come back falls with silence, and a silent row tells as much as that chance.

Pairs are chosen before any feature is computed. Only training weeks are thinned: what judges a model is whole.
Expressions for `plan.py`, which any engine runs; the rule for N is `one_in`.
"""

from dataclasses import asdict, dataclass
from typing import Any

import ibis
from ibis import _

from components.profiles.spec import AUTO_ONE_IN, FEW_ROWS
from feature_repo import columns
from feature_repo.clock import Pace

WEEKLY = Pace()
FILE = "training_rows.json"  # of the profiles folder: what was possible, and what was kept
WEIGHTS = "row_weights.parquet"  # there too, where rows are thinned: those that count as several
WEIGHT = "weight"
MOST_KEPT = 0.5  # share of the possible rows that auto keeps at most, else it thins nothing
PRIME = 2**31 - 1  # 5 does not divide PRIME - 1: x -> x^5 mod PRIME is a permutation
SCRAMBLE = (1_315_423_911, 374_761_393, 668_265_263)  # of user, week and the sum
Table = Any


@dataclass(frozen=True)
class TrainingRows:
    """How many rows the training weeks could have, and how many they have."""

    possible: int
    kept: int
    silent_one_in: int

    def __str__(self) -> str:
        """Return what the log says.

        >>> print(TrainingRows(851_758, 61_204, 64))
        851,758 possible rows, 61,204 kept with weights (of silent users' rows down to one in 64)
        """
        if self.silent_one_in == 1:
            return f"{self.possible:,} possible rows, {self.kept:,} kept"
        how = f"of silent users' rows down to one in {self.silent_one_in}"
        return f"{self.possible:,} possible rows, {self.kept:,} kept with weights ({how})"

    def as_dict(self) -> dict[str, int]:
        """Return what the file holds."""
        return asdict(self)


def tried(asked: int | str) -> int:
    """Return the N to count kept rows for."""
    return AUTO_ONE_IN if asked == "auto" else int(asked)


def one_in(asked: int | str, *, possible: int, kept: int) -> int:
    """Return one in how many silent rows is kept at least; auto thins large sets that are mostly silent.

    >>> one_in("auto", possible=851_758, kept=61_204), one_in("auto", possible=220_000, kept=150_000)
    (64, 1)
    """
    small = possible <= FEW_ROWS or kept > MOST_KEPT * possible
    return 1 if asked == "auto" and small else tried(asked)


def possible(events: Table, cuts: Table) -> Table:
    """List every pair that could have a row: user_id, week, `gap` to the last active week, and `active` in its week.

    `events` has user_id, week and known; a cutoff counts once something was known before it.
    """
    weeks = events.select("user_id", columns.WEEK).distinct()
    following = ibis.window(group_by=weeks.user_id, order_by=weeks.week)
    spans = weeks.select("user_id", since=columns.WEEK, until=weeks.week.lead().over(following))
    known = events.group_by("user_id").agg(known=_.known.min())
    bounds = cuts.agg(first=_.week.min(), last=_.week.max())
    spans = spans.join(known, "user_id").cross_join(bounds)
    low = ibis.greatest(spans.since, spans.known, spans["first"] - 1) + 1
    high = ibis.least(spans.until.fill_null(spans["last"]), spans["last"])
    spans = spans.mutate(low=low, high=high).filter(_.low <= _.high)
    pairs = spans.mutate(**{columns.WEEK: ibis.range(spans.low, spans.high + 1).unnest()})
    return pairs.select(
        "user_id", columns.WEEK, gap=pairs.week - pairs.since, active=(pairs.week == pairs.until).fill_null(False)
    )


def chosen(events: Table, cuts: Table, *, one_in: int, silent: int = WEEKLY.silent) -> Table:
    """List the pairs that are kept, with the cutoffs' own columns and their weight."""
    pairs = possible(events, cuts)
    thinned = ibis.least((pairs.gap * pairs.gap + silent**2 - 1) // silent**2, one_in).cast("int64")
    pairs = pairs.select("user_id", columns.WEEK, **{WEIGHT: pairs.active.ifelse(1, thinned)})
    return pairs.filter(place(pairs.user_id, pairs.week) % pairs[WEIGHT] == 0).join(cuts, columns.WEEK)


def counted(events: Table, cuts: Table, *, one_in: int, silent: int = WEEKLY.silent) -> Table:
    """Count the pairs that are possible and those kept, in one row; counts add up over blocks."""
    whole = possible(events, cuts).agg(possible=_.count())
    return whole.cross_join(chosen(events, cuts, one_in=one_in, silent=silent).agg(kept=_.count()))


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
