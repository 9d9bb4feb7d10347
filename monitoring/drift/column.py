"""Judge one column of two windows: whether it lost its values, and if not, whether it moved past its threshold.

Both are judged as a gate is (components.verdicts): an interval by users against a limit, on enough rows and users.
Besides, a column has moved only where its score is above what chance alone reaches (permutation.py): in small windows
that lies above the threshold, and then nothing can be told.
"""

import math
from dataclasses import dataclass

import pandas as pd

from components import verdicts
from components.verdicts import PASSED, REFUSED, UNDECIDED, Judgement, Least, Word
from monitoring.drift.permutation import floor
from monitoring.drift.resampled import Draws
from monitoring.drift.statistics import Statistic

MOST_LOST = 0.5  # share of its values past which a column that lacks them is a broken feed, whatever those left say


@dataclass(frozen=True)
class Column:
    """What became of one column. `noise` is the score that chance alone reaches at these row counts."""

    score: float | None  # None: one side has no values
    method: str
    threshold: float
    noise: float | None
    drifted: bool  # refused: it moved, or lost its values
    lost: float = 0.0  # share of its values that are null now and were not
    broken: bool = False  # so many that a feed broke
    word: Word = PASSED
    interval: tuple[float, float] | None = None  # of the score; of `lost` where there is none, or where that decided
    rows: int | None = None  # with a value, of the window that has fewer
    users: int | None = None
    why: str = ""  # it could not be judged, since ...

    @property
    def times_over(self) -> float:
        """Tell how many times its threshold the score is."""
        return math.inf if self.score is None or self.broken else self.score / self.threshold

    def told(self, name: str) -> str:
        """Say how far it went."""
        if self.broken:
            return f"{name} has no values any more" if self.score is None else f"{name} lost {_percent(self.lost)}"
        if self.score is None:
            return f"{name} lost {_percent(self.lost)}{_because(self.why)}"
        ends = f" ({max(self.interval[0], 0.0):.3f} to {self.interval[1]:.3f})" if self.interval else ""
        return f"{name} {self.method} {self.score:.3f}{ends} of {self.threshold:g}{_because(self.why)}"


def judge(
    now: pd.Series,
    then: pd.Series,
    score: float | None,
    *,
    used: Statistic,
    threshold: float,
    draws: Draws,
    least: Least,
) -> Column:
    """Judge a column by its score, None where one side has no values."""
    lost = draws.lost(now, then)
    feed = verdicts.within(lost, MOST_LOST, lower=True, least=least)
    share = round(lost.value or 0.0, 4)
    if score is None or feed.word != PASSED:
        return _column(score, used, threshold, None, feed, lost=share, broken=feed.word == REFUSED)
    noise = floor(now.dropna(), then.dropna(), number=used.number, score=used.score)
    found = verdicts.within(
        draws.score(score, now, then, number=used.number, score=used.score), threshold, lower=True, least=least
    )
    if found.word == REFUSED and score <= noise:
        why = f"chance alone reaches {noise:.3f}"
        found = Judgement(UNDECIDED, score, found.interval, found.rows, found.users, why)
    return _column(score, used, threshold, noise, found, lost=share)


def _column(
    score: float | None,
    used: Statistic,
    threshold: float,
    noise: float | None,
    found: Judgement,
    *,
    lost: float,
    broken: bool = False,
) -> Column:
    return Column(
        score=score,
        method=used.name,
        threshold=threshold,
        noise=noise,
        drifted=found.word == REFUSED,
        lost=lost,
        broken=broken,
        word=found.word,
        interval=found.interval,
        rows=found.rows,
        users=found.users,
        why=found.why,
    )


def _percent(share: float) -> str:
    return f"{share * 100:.0f} % of its values"


def _because(why: str) -> str:
    return f" ({why})" if why else ""
