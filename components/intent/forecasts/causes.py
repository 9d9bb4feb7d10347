"""Why a forecast is what it is for one user: integrated gradients of its head, in numpy, in words.

A head is asked about as it is served. Every effect is held against nobody, a user of whom nothing is known at the same
time: of an amount in its unit, of what comes next the log odds of the likeliest value. Effects, what is not shown and
what is unexplained sum up to the difference; the way from nobody to the user is cut until that is small.

Letters: N inputs, O outputs, K pieces, C targets, T steps.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from components.intent import cause_words
from components.intent.attribution import PROFILE, RATE, SEGMENT, STEP, Cause
from components.intent.encode import encode, windows_of
from components.intent.forecasts.kinds.multiclass import Multiclass
from components.intent.forecasts.kinds.regression import Regression
from components.intent.forecasts.kinds.uplift import Uplift
from components.intent.forecasts.score import Fitted, ForecastScorer
from feature_repo.rows import UserRows

MOST = 8  # causes of a forecast
FEWEST, LARGEST = 16, 256  # pieces
CLOSE = 0.01  # share of the difference that may stay unexplained
NEAR = 1e-3  # outputs by which the answer's slope is taken
SMALL = 1e-9
OTHER, NONE = "other", "none"
Scalar = Callable[[np.ndarray], np.ndarray]  # outputs [B, O] to what is explained [B]


@dataclass(frozen=True)
class Told:
    """A cause as a person reads it."""

    kind: str
    name: str
    words: str
    effect: float


@dataclass(frozen=True)
class Explained:
    """Why one forecast is what it is."""

    intent: str
    of: str  # what effects are in: the amount's unit, or log odds of the likeliest value
    said: float
    nobody: float
    causes: tuple[Told, ...]  # the strongest first
    others: float
    unexplained: float

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def explain(scorer: ForecastScorer, rows: UserRows, targets: Sequence[str], *, most: int = MOST) -> list[Explained]:
    """Say of one user's row (B = 1) why each forecast is what it is; `targets` are the names of the C targets.

    What an offer changes is not among them: it is the mean of a group of users, and the answer says which.
    """
    seen = scorer.seen
    nobody = UserRows.unknown([""], now=int(rows.now[0]), windows_days=tuple(windows_of(rows)))
    ends = [seen.scaled(one)[0].astype(np.float64) for one in (nobody, rows)]  # [N]
    groups = list(_groups(scorer, rows, targets))
    return [_explained(one, ends, groups, most=most) for one in scorer.fitted if not isinstance(one.head, Uplift)]


def _explained(one: Fitted, ends: Sequence[np.ndarray], groups: Sequence["_Group"], *, most: int) -> Explained:
    of, scalar = _scalar(one, one.outputs(ends[1][None]))
    least, said = (float(scalar(one.outputs(end[None]))[0]) for end in ends)
    pieces = FEWEST
    while True:
        each = integrated(one, scalar, *ends, pieces=pieces)  # [N]
        if 2 * pieces > LARGEST or abs(said - least - each.sum()) <= CLOSE * max(abs(said - least), SMALL):
            break
        pieces *= 2
    causes = [Told(g.kind, g.name, g.words, round(float(each[g.places].sum()), 6)) for g in groups]
    causes = sorted((c for c in causes if c.effect), key=lambda c: (-abs(c.effect), c.kind, c.name))
    rest = sum(cause.effect for cause in causes[most:])
    unexplained = said - least - sum(cause.effect for cause in causes)
    named = one.head.intent.name
    return Explained(
        named, of, round(said, 6), round(least, 6), tuple(causes[:most]), round(rest, 6), round(unexplained, 6)
    )


def integrated(one: Fitted, scalar: Scalar, start: np.ndarray, end: np.ndarray, *, pieces: int) -> np.ndarray:
    """Return the effect of each input [N] on a number of the outputs, along the straight line between two users."""
    middle = (np.arange(pieces) + 0.5) / pieces  # [K]
    x = start + middle[:, None] * (end - start)  # [K, N]
    return np.asarray((end - start) * slopes(one, scalar, x).mean(axis=0))


def slopes(one: Fitted, scalar: Scalar, x: np.ndarray) -> np.ndarray:
    """Return the slope of a number of the outputs by each input at some points, [K, N]."""
    a = one.arrays
    first = x @ a["first.weight"].T + a["first.bias"]  # [K, H]
    second = np.maximum(first, 0) @ a["second.weight"].T + a["second.bias"]
    outputs = one.outputs(x)  # [K, O]
    by_output = np.empty_like(outputs)
    for o in range(outputs.shape[1]):
        off = np.zeros(outputs.shape[1])
        off[o] = NEAR
        by_output[:, o] = (scalar(outputs + off) - scalar(outputs - off)) / (2 * NEAR)
    back = (by_output @ a["out.weight"]) * (second > 0)  # [K, H]
    back = (back @ a["second.weight"]) * (first > 0)
    return np.asarray(back @ a["first.weight"] + by_output @ a["skip.weight"])


def _scalar(one: Fitted, outputs: np.ndarray) -> tuple[str, Scalar]:
    """Return what of a head's answer is explained, and a name of it."""
    head = one.head
    if isinstance(head, Regression):
        return head.intent.unit, lambda found: head.value(head.answer(found))
    assert isinstance(head, Multiclass)
    best = int(head.answer(outputs)[0].argmax())

    def log_odds(found: np.ndarray) -> np.ndarray:
        p = np.clip(head.answer(found)[:, best], SMALL, 1 - SMALL)
        return np.asarray(np.log(p) - np.log1p(-p))

    return f"log odds of {[*head.values, OTHER, NONE][best]}", log_odds


@dataclass(frozen=True)
class _Group:
    """Inputs that are one cause."""

    kind: str
    name: str
    words: str
    places: np.ndarray


def _groups(scorer: ForecastScorer, rows: UserRows, targets: Sequence[str]) -> Iterator[_Group]:
    """Name the inputs as inputs.flat lays them out."""
    seen = scorer.seen
    pace, step = seen.calendar.pace, seen.calendar.pace.step
    encoded = encode(rows, seen.context, calendar=seen.calendar, n_targets=seen.targets, profile=seen.profile)
    place = 0
    for name in seen.profile:
        yield _Group(PROFILE, name, cause_words.of_profile(name, step), np.array([place]))
        place += 1
    yield _Group(SEGMENT, SEGMENT, "the user's segment", place + np.arange(seen.segments + 1))
    place += seen.segments + 1
    T, flags = encoded.active.shape[1:]
    for t in range(T):
        ago = T - t
        held = [targets[c] for c in encoded.sequence[0, t].nonzero()[0]]
        words = cause_words.words(Cause(STEP, str(ago), 0.0), targets, pace=pace, step=step, happened=held)
        yield _Group(STEP, str(ago), words, place + flags * t + np.arange(flags))
    place += flags * T
    C = seen.targets
    for c in range(C):
        words = cause_words.words(Cause(RATE, str(c), 0.0), targets, pace=pace)
        yield _Group(RATE, targets[c], words, place + c + C * np.arange(4))
