"""Why the served intent model says what it says of one user: the effect of each cause on an intent's log odds.

Every cause is held against nobody: a user of whom nothing is known, asked about at the same time. Of a network the
effects are integrated gradients along the straight line from nobody to the user (Sundararajan, Taly and Yan, 2017). The
line is cut into K pieces, and each is walked in small steps, one cause after another, once in one order and once in the
other. So no gradient is needed, bends of ReLU do no harm, and the effects always sum up to the difference of both log
odds; pieces are halved until no effect moves any more. Of a forest, whose steps have no gradient, and of a network that
reads events or text, which are there or not, an effect is what the log odds lose where the cause is nobody's
(occlusion); these do not sum up, and the answer says which method it was.

Numpy alone: a door computes it where it is asked to. It explains the model and no more: a cause here is what the model
goes by, not what would change a person's mind.

Letters: K pieces, F numbers a target, T steps, P numbers a user, C targets, G causes, U width of the user's vector.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.special import logit

from components.intent.encode import FREQUENCY, Encoded
from components.intent.ensemble import Ensemble
from components.intent.events import PADDING
from components.intent.forest import Forest
from components.intent.numpy_net import NumpyNet

GRADIENTS, OCCLUSION = "integrated gradients", "occlusion"
CLOSE = 1e-3  # log odds that an effect may still move by as pieces are halved
FEWEST, MOST = 16, 256  # pieces
NUMBER, STEP, PROFILE, SEGMENT, RATE = "number", "step", "profile", "segment", "rate"  # kinds of causes
EVENT, TEXT = "event", "text"  # likewise, of a network that reads events one by one, or all as one text
OF_EVENTS = ("event_codes", "event_numbers")  # arrays of an encoded user, [1, L, ...]
SMALL = 1e-6  # keeps log odds finite


@dataclass(frozen=True)
class Cause:
    """One thing that speaks for or against an intent."""

    kind: str
    name: (
        str  # of a number: its own; of a step or an event: how many ago, from 1; of a rate: the other target's position
    )
    effect: float  # log odds, above 0: it speaks for the intent


@dataclass(frozen=True)
class Attribution:
    """The causes of one intent of one user, the strongest first."""

    target: int
    said: float  # log odds of the model for the user, before calibration
    nobody: float  # likewise for a user of whom nothing is known
    causes: tuple[Cause, ...]
    method: str

    @property
    def unexplained(self) -> float:
        """Return what the effects do not sum up to: of gradients rounding, of occlusion what causes share."""
        return self.said - self.nobody - sum(cause.effect for cause in self.causes)

    def strongest(self, most: int) -> tuple[Cause, ...]:
        """Return the causes of the largest effects, for or against."""
        return self.causes[:most]


@dataclass(frozen=True)
class _Line:
    """The straight line from nobody to a user, cut into pieces."""

    start: Encoded  # [1], all arrays float
    end: Encoded
    pieces: int

    def begins(self, name: str) -> np.ndarray:
        """Return an array where each piece begins, float32 [K, ...]."""
        first, last = getattr(self.start, name), getattr(self.end, name)
        return self.between(first, last)

    def between(self, first: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Return where pieces between two arrays [1, ...] begin, float32 [K, ...]."""
        share = (np.arange(self.pieces) / self.pieces).astype(np.float32).reshape(-1, *([1] * (first.ndim - 1)))
        return np.asarray(first + share * (last - first))

    def step(self, name: str) -> np.ndarray:
        """Return what an array moves by in a piece, float32 [...]."""
        return np.asarray((getattr(self.end, name) - getattr(self.start, name))[0] / np.float32(self.pieces))


def attribute(
    net: NumpyNet | Forest | Ensemble,
    user: Encoded,
    nobody: Encoded,
    target: int,
    *,
    names: Sequence[str],
    close: float = CLOSE,
    most: int = MOST,
) -> Attribution:
    """Return the causes of a target for one encoded user [1]; `names` are those of the profile's numbers [P].

    At most `most` pieces are cut.
    """
    if isinstance(net, Forest | Ensemble) or not net.of_weeks:
        return _occluded(net, user, nobody, target, names)
    user, nobody = _floats(user), _floats(nobody)
    said, least = (float(net.logits(one)[0, target]) for one in (user, nobody))
    pieces, before = FEWEST, None
    while True:
        causes = _integrated(net, _Line(nobody, user, pieces), target, names)
        if 2 * pieces > most or (before is not None and _moved(before, causes) <= close):
            return Attribution(target, said, least, _ordered(causes), GRADIENTS)
        pieces, before = 2 * pieces, causes


def _moved(before: Sequence[Cause], causes: Sequence[Cause]) -> float:
    """Return by how much the effect of any cause differs."""
    return max((abs(one.effect - other.effect) for one, other in zip(before, causes, strict=True)), default=0.0)


def _floats(encoded: Encoded) -> Encoded:
    return Encoded(**{n: v if n == "segment" else v.astype(np.float32) for n, v in encoded.arrays().items()})


def _ordered(causes: Sequence[Cause]) -> tuple[Cause, ...]:
    return tuple(
        sorted((c for c in causes if c.effect), key=lambda cause: (-abs(cause.effect), cause.kind, cause.name))
    )


class _Walk:
    """K users on their way from where their piece begins to where it ends."""

    def __init__(self, net: NumpyNet, line: _Line, target: int) -> None:
        self._net, self._target = net, target
        self.raw = line.begins("frequency")[:, target]  # [K, F]
        self.sequence, self.active = line.begins("sequence"), line.begins("active")  # [K, T, C], [K, T, 2]
        self.profile = line.begins("profile")  # [K, P]
        self.group = line.between(*(net.group(one.segment) for one in (line.start, line.end)))
        self._summed = net.summed(self.sequence, self.active)  # [K, D]
        self._user = net.user(self.profile, self.group, self._summed)  # [K, U]
        self._logit = self._asked()

    def gained(self, *, weeks: bool = False, user: bool = False) -> float:
        """Return what the logits gained since the last call, over all K; say what of the user has moved."""
        if weeks:
            self._summed = self._net.summed(self.sequence, self.active)
        if weeks or user:
            self._user = self._net.user(self.profile, self.group, self._summed)
        before, self._logit = self._logit, self._asked()
        return float(np.sum(self._logit - before, dtype=np.float64))

    def _asked(self) -> np.ndarray:
        return self._net.logit_of(self._target, self.raw, self.sequence[:, :, self._target], self._user)


Move = tuple[str, str, Callable[[_Walk], float]]  # kind and name of a cause, and the step that it makes


def _integrated(net: NumpyNet, line: _Line, target: int, names: Sequence[str]) -> list[Cause]:
    """Return the effect of each cause that differs from nobody's."""
    moves, total = list(_moves(net, line, target, names)), dict[tuple[str, str], float]()
    for order in (moves, moves[::-1]):
        walk = _Walk(net, line, target)
        for kind, name, move in order:
            total[kind, name] = total.get((kind, name), 0.0) + move(walk) / 2
    ends = [net.from_rates(target, one.frequency[:, :, 0])[0].astype(np.float64) for one in (line.start, line.end)]
    for c, effect in enumerate((ends[1] - ends[0]).tolist()):  # each rate by itself, so its share is exact
        of = (NUMBER, FREQUENCY[0]) if c == target else (RATE, str(c))
        total[of] = total.get(of, 0.0) + effect
    return [Cause(kind, name, effect) for (kind, name), effect in sorted(total.items())]


def _moves(net: NumpyNet, line: _Line, target: int, names: Sequence[str]) -> Iterator[Move]:
    """List the steps of all causes that differ."""
    own, profile = line.step("frequency")[target], line.step("profile")  # [F], [P]
    for f in np.flatnonzero(own).tolist():
        yield NUMBER, FREQUENCY[f], partial(_column, name="raw", place=f, by=own[f], user=False)
    for p in np.flatnonzero(profile).tolist():
        yield PROFILE, names[p], partial(_column, name="profile", place=p, by=profile[p], user=True)
    first, last = (net.group(one.segment)[0] for one in (line.start, line.end))
    if (first != last).any():
        yield SEGMENT, "segment", partial(_grouped, by=(last - first) / np.float32(line.pieces))
    targets, flags = line.step("sequence"), line.step("active")  # [T, C], [T, 2]
    for t in range(len(targets)):
        if targets[t].any() or flags[t].any():
            yield STEP, str(len(targets) - t), partial(_week, place=t, targets=targets[t], flags=flags[t])


def _column(walk: _Walk, *, name: str, place: int, by: np.float32, user: bool) -> float:
    getattr(walk, name)[:, place] += by
    return walk.gained(user=user)


def _grouped(walk: _Walk, *, by: np.ndarray) -> float:
    walk.group = walk.group + by
    return walk.gained(user=True)


def _week(walk: _Walk, *, place: int, targets: np.ndarray, flags: np.ndarray) -> float:
    walk.sequence[:, place] += targets
    walk.active[:, place] += flags
    return walk.gained(weeks=True)


def _occluded(
    net: NumpyNet | Forest | Ensemble, user: Encoded, nobody: Encoded, target: int, names: Sequence[str]
) -> Attribution:
    """Give the user nobody's value of one cause after another; leave out one event after another."""
    F, P, C = len(FREQUENCY), len(names), user.frequency.shape[1]
    others = [c for c in range(C) if c != target and not isinstance(net, Forest)]  # trees read a target's own alone
    left, texts = _events(user), 0 if user.text is None else 1
    steps = _steps(user) if isinstance(net, Ensemble) else []  # its networks read these, and have no one gradient
    before = F + P + 1 + len(others) + texts
    G = before + len(left) + len(steps)
    each = {name: np.repeat(values, G, axis=0) for name, values in user.arrays().items()}
    rows = np.arange(G)
    each["frequency"][rows[:F], target, rows[:F]] = nobody.frequency[0, target]
    each["profile"][rows[F : F + P], np.arange(P)] = nobody.profile[0]
    each["segment"][F + P] = nobody.segment[0]
    each["frequency"][F + P + 1 + np.arange(len(others)), others] = nobody.frequency[0, others]
    if user.text is not None and nobody.text is not None:
        each["text"][F + P + 1 + len(others)] = nobody.text[0]
    for row, place in zip(rows[before : before + len(left)], left, strict=True):
        for name in OF_EVENTS:  # what is older moves up, as if the event had never been
            each[name][row, 1 : place + 1] = each[name][row, :place]
            each[name][row, 0] = 0
    for row, place in zip(rows[before + len(left) :], steps, strict=True):
        for name in ("sequence", "active"):
            each[name][row, place] = getattr(nobody, name)[0, place]
    without = _log_odds(_said(net, Encoded(**each), target))  # [G]
    said, least = (float(_log_odds(_said(net, one, target))[0]) for one in (user, nobody))
    kinds = [*((NUMBER, name) for name in FREQUENCY), *((PROFILE, name) for name in names), (SEGMENT, "segment")]
    kinds += [(RATE, str(c)) for c in others]
    kinds += [(TEXT, "text")] * texts
    kinds += [(EVENT, str(_length(user) - place)) for place in left]
    kinds += [(STEP, str(user.sequence.shape[1] - place)) for place in steps]
    causes = [Cause(kind, name, said - float(odds)) for (kind, name), odds in zip(kinds, without, strict=True)]
    return Attribution(target, said, least, _ordered(causes), OCCLUSION)


def _said(net: NumpyNet | Forest | Ensemble, encoded: Encoded, target: int) -> np.ndarray:
    """Return the probability of a target for encoded rows, [B]."""
    return net.probabilities(encoded)[:, target] if isinstance(net, NumpyNet) else net.of_target(encoded, target)


def _events(user: Encoded) -> list[int]:
    """Return the places of the events that a network reads of a user [1]; none where it reads none."""
    return [] if user.event_codes is None else np.flatnonzero(user.event_codes[0, :, 0] != PADDING).tolist()


def _steps(user: Encoded) -> list[int]:
    """Return the places of the steps of a user [1] that hold anything."""
    return np.flatnonzero(user.sequence[0].any(axis=1) | user.active[0].any(axis=1)).tolist()


def _length(user: Encoded) -> int:
    return 0 if user.event_codes is None else user.event_codes.shape[1]


def _log_odds(probability: np.ndarray) -> np.ndarray:
    return np.asarray(logit(np.clip(probability.astype(np.float64), SMALL, 1 - SMALL)))
