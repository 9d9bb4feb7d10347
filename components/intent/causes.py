"""Why a user's intents are as they are: the strongest causes of each, in words, for the door, `why` and a picture.

Asked of the served form of a model: a network in numpy or a forest. A rate that serves in a model's place is its own
cause, and a network that only torch serves is not asked; of both there is nothing to say.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from components.intent import attribution, cause_words
from components.intent.attribution import Attribution
from components.intent.encode import Encoded, profile_names, windows_of
from components.intent.score import IntentScorer
from feature_repo.rows import UserRows

MOST = 8  # causes of an intent
QUICK = 16  # pieces where an answer waits for it


@dataclass(frozen=True)
class Told:
    """A cause as a person reads it."""

    kind: str
    name: str
    words: str
    effect: float  # log odds against a user of whom nothing is known


@dataclass(frozen=True)
class Explained:
    """Why one intent has its probability."""

    intent: str
    said: float  # log odds, before calibration
    nobody: float  # of a user of whom nothing is known, at the same time
    method: str
    causes: tuple[Told, ...]  # the strongest first
    others: float  # of all causes that are not shown
    unexplained: float  # what effects do not sum up to

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def explain(
    scorer: IntentScorer, rows: UserRows, targets: Sequence[int], *, most: int = MOST, pieces: int = attribution.MOST
) -> list[Explained]:
    """Say of one user's row (B = 1) why each of some targets has its probability; [] where there is no such form."""
    form = scorer.served_form
    if form is None or not targets:
        return []
    windows = windows_of(rows)
    nobody = UserRows.unknown([""], now=int(rows.now[0]), windows_days=tuple(windows))
    user, none = scorer.encode(rows), scorer.encode(nobody)
    names = scorer.profile or profile_names(windows, scorer.calendar.pace)
    return [
        _told(scorer, attribution.attribute(form, user, none, target, names=names, most=pieces), user, most)
        for target in targets
    ]


def _told(scorer: IntentScorer, found: Attribution, user: Encoded, most: int) -> Explained:
    pace, shown = scorer.calendar.pace, found.strongest(most)
    causes = tuple(
        Told(
            cause.kind,
            scorer.names[int(cause.name)] if cause.kind == attribution.RATE else cause.name,
            cause_words.words(cause, scorer.names, pace=pace, step=pace.step, happened=_happened(scorer, cause, user)),
            round(cause.effect, 6),
        )
        for cause in shown
    )
    rest = sum(cause.effect for cause in found.causes[most:])
    return Explained(
        scorer.names[found.target],
        round(found.said, 6),
        round(found.nobody, 6),
        found.method,
        causes,
        round(rest, 6),
        round(found.unexplained, 6),
    )


def _happened(scorer: IntentScorer, cause: attribution.Cause, user: Encoded) -> list[str]:
    """Name the targets that a step or an event of the user's holds."""
    if cause.kind == attribution.EVENT and user.event_codes is not None:
        codes = user.event_codes[0, user.event_codes.shape[1] - int(cause.name), 2:]
        read = scorer.events.targets if scorer.events is not None else 0
        return [scorer.names[code - 1] for code in codes[:read].tolist() if code]
    if cause.kind != attribution.STEP:
        return []
    step = user.sequence[0, user.sequence.shape[1] - int(cause.name)]  # [C]
    return [scorer.names[c] for c in step.nonzero()[0]]
