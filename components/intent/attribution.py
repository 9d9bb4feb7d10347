"""Why the served intent model says what it says of one user: the effect of each cause on an intent's log odds.

Every cause is held against nobody: a user of whom nothing is known, asked about at the same time. Of a network the
effects are integrated gradients along the straight line from nobody to the user (Sundararajan, Taly and Yan, 2017). The
line is cut into K pieces; within each, a cause alone is moved by its share while all others stand in the middle, so no
gradient is needed and the bends of ReLU are averaged over. Pieces are halved until the effects sum up to the
difference of both log odds. Of a forest, whose steps have no gradient, an effect is what the log odds lose where the
cause is nobody's (occlusion); these do not sum up, and the answer says which method it was.

Numpy alone: a door computes it where it is asked to. It explains the model and no more: a cause here is what the model
goes by, not what would change a person's mind.

Letters: K pieces, F numbers a target, T steps, P numbers a user, C targets, G causes, U width of the user's vector.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
from scipy.special import logit

from components.intent.encode import FREQUENCY, Encoded
from components.intent.forest import Forest
from components.intent.numpy_net import NumpyNet

GRADIENTS, OCCLUSION = "integrated gradients", "occlusion"
CLOSE = 1e-3  # log odds that the effects may leave unexplained
FEWEST, MOST = 16, 256  # pieces; with more, rounding in float32 would weigh as much as what is left
NUMBER, STEP, PROFILE, SEGMENT, RATE = "number", "step", "profile", "segment", "rate"  # kinds of causes
SMALL = 1e-6  # keeps log odds finite


@dataclass(frozen=True)
class Cause:
    """One thing that speaks for or against an intent."""

    kind: str
    name: str  # of a number: its own; of a step: how many steps ago; of a rate: the other target's position
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
        """Return what the effects do not sum up to; of occlusion, what causes share."""
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

    def middles(self, name: str, group: Callable[[Encoded], np.ndarray] | None = None) -> np.ndarray:
        """Return an array in the middle of each piece, float32 [K, ...]."""
        first, last = self._ends(name, group)
        at = ((np.arange(self.pieces) + 0.5) / self.pieces).astype(np.float32)
        return np.asarray(first + at.reshape(-1, *([1] * (first.ndim - 1))) * (last - first))

    def half(self, name: str, group: Callable[[Encoded], np.ndarray] | None = None) -> np.ndarray:
        """Return half of what an array moves by in a piece, float32 [...]."""
        first, last = self._ends(name, group)
        return np.asarray((last - first)[0] / np.float32(2 * self.pieces))

    def _ends(self, name: str, group: Callable[[Encoded], np.ndarray] | None) -> tuple[np.ndarray, np.ndarray]:
        return tuple(getattr(one, name) if group is None else group(one) for one in (self.start, self.end))  # type: ignore[return-value]


def attribute(
    net: NumpyNet | Forest,
    user: Encoded,
    nobody: Encoded,
    target: int,
    *,
    names: Sequence[str],
    close: float = CLOSE,
    most: int = MOST,
) -> Attribution:
    """Return the causes of a target for one encoded user [1]; `names` are those of the profile's numbers [P].

    At most `most` pieces are cut; what is unexplained then is in the answer.
    """
    if isinstance(net, Forest):
        return _occluded(net, user, nobody, target, names)
    user, nobody = _floats(user), _floats(nobody)
    said, least = (float(net.logits(one)[0, target]) for one in (user, nobody))
    pieces = FEWEST
    while True:
        effects = _summed(_effects(net, _Line(nobody, user, pieces), target, names))
        found = Attribution(target, said, least, effects, GRADIENTS)
        if abs(found.unexplained) <= close or 2 * pieces > most:
            return found
        pieces *= 2


def _floats(encoded: Encoded) -> Encoded:
    kept = {f.name: getattr(encoded, f.name) for f in fields(Encoded)}
    return Encoded(**{n: v if n == "segment" else v.astype(np.float32) for n, v in kept.items()})


def _ordered(causes: Sequence[Cause]) -> tuple[Cause, ...]:
    return tuple(
        sorted((c for c in causes if c.effect), key=lambda cause: (-abs(cause.effect), cause.kind, cause.name))
    )


def _summed(causes: Iterable[Cause]) -> tuple[Cause, ...]:
    """Add up causes of one name: a target's own rate speaks by two paths."""
    total: dict[tuple[str, str], float] = {}
    for cause in causes:
        total[cause.kind, cause.name] = total.get((cause.kind, cause.name), 0.0) + cause.effect
    return _ordered([Cause(kind, name, effect) for (kind, name), effect in total.items()])


def _effects(net: NumpyNet, line: _Line, target: int, names: Sequence[str]) -> Iterator[Cause]:
    """Integrate each cause along the line."""
    raw, flags = line.middles("frequency")[:, target], line.middles("sequence")[:, :, target]  # [K, F], [K, T]
    sequence, active = line.middles("sequence"), line.middles("active")  # [K, T, C], [K, T, 2]
    profile, segment = line.middles("profile"), line.middles("segment", lambda one: net.group(one.segment))
    summed = net.summed(sequence, active)  # [K, D]
    user = net.user(profile, segment, summed)  # [K, U]

    def moved(change: Callable[[np.float32], np.ndarray]) -> float:
        """Return the sum over pieces of the logit after a cause's step forward less that after one back."""
        return float(np.sum(change(np.float32(1)) - change(np.float32(-1)), dtype=np.float64))

    for f, name in enumerate(FREQUENCY):
        if step := line.half("frequency")[target, f]:
            by = np.where(np.arange(len(FREQUENCY)) == f, step, np.float32(0))
            yield Cause(NUMBER, name, moved(lambda sign, by=by: net.logit_of(target, raw + sign * by, flags, user)))
    half = line.half("profile")  # [P]
    for p, name in enumerate(names):
        if half[p]:
            by = np.where(np.arange(len(names)) == p, half[p], np.float32(0))
            yield Cause(
                PROFILE,
                name,
                moved(lambda s, by=by: net.logit_of(target, raw, flags, net.user(profile + s * by, segment, summed))),
            )
    by = line.half("segment", lambda one: net.group(one.segment))
    if by.any():
        yield Cause(
            SEGMENT,
            "segment",
            moved(lambda s: net.logit_of(target, raw, flags, net.user(profile, segment + s * by, summed))),
        )
    yield from _of_steps(net, line, target, moved, raw=raw, profile=profile, segment=segment)
    ends = [net.from_rates(target, one.frequency[:, :, 0])[0].astype(np.float64) for one in (line.start, line.end)]
    for c, effect in enumerate(ends[1] - ends[0]):  # each rate by itself, so its share is exact
        name, kind = (FREQUENCY[0], NUMBER) if c == target else (str(c), RATE)
        yield Cause(kind, name, float(effect))


def _of_steps(
    net: NumpyNet,
    line: _Line,
    target: int,
    moved: Callable[[Callable[[np.float32], np.ndarray]], float],
    *,
    raw: np.ndarray,
    profile: np.ndarray,
    segment: np.ndarray,
) -> Iterator[Cause]:
    sequence, active = line.middles("sequence"), line.middles("active")
    targets, flags = line.half("sequence"), line.half("active")  # [T, C], [T, 2]
    T = len(targets)
    for t in range(T):
        if not (targets[t].any() or flags[t].any()):
            continue
        only = (np.arange(T) == t).astype(np.float32)[:, None]  # [T, 1]

        def change(sign: np.float32, only: np.ndarray = only) -> np.ndarray:
            weeks = sequence + sign * only * targets
            user = net.user(profile, segment, net.summed(weeks, active + sign * only * flags))
            return net.logit_of(target, raw, weeks[:, :, target], user)

        yield Cause(STEP, str(T - t), moved(change))


def _occluded(net: Forest, user: Encoded, nobody: Encoded, target: int, names: Sequence[str]) -> Attribution:
    """Give the user nobody's value of one cause after another."""
    F, P = len(FREQUENCY), len(names)
    G = F + P + 1
    each = {f.name: np.repeat(getattr(user, f.name), G, axis=0) for f in fields(Encoded)}
    rows = np.arange(G)
    each["frequency"][rows[:F], target, rows[:F]] = nobody.frequency[0, target]
    each["profile"][rows[F : F + P], np.arange(P)] = nobody.profile[0]
    each["segment"][-1] = nobody.segment[0]
    without = _log_odds(net.probabilities(Encoded(**each))[:, target])  # [G]
    said, least = (float(_log_odds(net.probabilities(one))[0, target]) for one in (user, nobody))
    kinds = [*((NUMBER, name) for name in FREQUENCY), *((PROFILE, name) for name in names), (SEGMENT, "segment")]
    causes = [Cause(kind, name, said - float(left)) for (kind, name), left in zip(kinds, without, strict=True)]
    return Attribution(target, said, least, _ordered(causes), OCCLUSION)


def _log_odds(probability: np.ndarray) -> np.ndarray:
    return np.asarray(logit(np.clip(probability.astype(np.float64), SMALL, 1 - SMALL)))
