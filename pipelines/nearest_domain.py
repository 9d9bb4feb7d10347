"""Which of the six domains that this product has specs for is nearest to a user's files, and by which measured facts.

A domain is known by a few marks, each a fact with its number, that holds or does not; the nearest is the one of whose
marks the largest share by weight holds. It decides nothing in the draft: it names the spec to read beside it.
"""

from dataclasses import dataclass
from pathlib import Path

from components.data.guess_kinds import BOUGHT, CARTED, SEEN, is_
from feature_repo import columns
from feature_repo.clock import WEEK
from pipelines.findings import NO_REPEATS, Facts

SPECS = Path(__file__).parent / "specs"
REPEATS = 0.1  # share of events that repeat an item: from here on people come back to what they had
SHORT_DAYS, LONG_DAYS = 7.0, 28.0  # half of the items are seen over less: news; over more: a stock, a catalogue
BUSY = 3.0  # events of a user in a step in which there are any: somebody who listens, or reads
VISIT_EVENTS = 1.5  # events a session, from which on a session is a visit
RETURN = 0.5  # share of the users who come back in another step
PAID = ("payment", "paid", "checkout", "order")


@dataclass(frozen=True)
class Mark:
    """A fact that a domain is known by."""

    said: str  # with its number
    holds: bool
    weight: int = 1


@dataclass(frozen=True)
class Nearest:
    """The domain whose marks hold best."""

    domain: str
    like: tuple[str, ...]
    unlike: tuple[str, ...]
    share: float  # of the marks, by weight, that hold

    @property
    def line(self) -> str:
        """Say which it is, where its spec lies, and why."""
        path = SPECS / f"{self.domain}.yaml"
        where = f" (pipelines/specs/{path.name})" if path.is_file() else ""
        unlike = f"; unlike it: {', '.join(self.unlike)}" if self.unlike else ""
        return f"nearest of the six domains: {self.domain}{where}, since {', '.join(self.like)}{unlike}"


def nearest(found: Facts, *, strength: str = "") -> Nearest:
    """Return the domain that files are nearest to; `strength` names the column that says how strong a row is.

    Of equals the first of `marks` is taken.
    """
    shares = {
        domain: sum(mark.weight for mark in known if mark.holds) / sum(mark.weight for mark in known)
        for domain, known in marks(found, strength=strength).items()
    }
    domain = max(shares, key=lambda one: shares[one])
    known = marks(found, strength=strength)[domain]
    like, unlike = (tuple(mark.said for mark in known if mark.holds is holds) for holds in (True, False))
    return Nearest(domain, like, unlike, shares[domain])


def marks(found: Facts, *, strength: str) -> dict[str, tuple[Mark, ...]]:
    """List the marks of each domain, those left out that the data cannot tell: without times nothing lives or returns.

    A mark that only this domain can have counts three times.
    """
    life, again = 7 * found.lifetime_weeks, found.returning / max(1, found.users)
    seen, carted, bought = (_kinds(found, words) for words in (SEEN, CARTED, BOUGHT + PAID))
    funnel = [*seen[:1], *carted[:1], *bought[:1]]
    repeats = f"{found.repeats:.0%} of events repeat an item"
    lives = f"half of the items are seen over {life:.1f} days or less"
    often = f"{found.per_step:.1f} events of a user in an active {found.step}"
    back = f"{again:.0%} of the users come back in another {found.step}"
    rhythm = f"the step is a {found.step}"
    kinds = f"kinds are {', '.join(list(found.kinds)[:4])}" if len(found.kinds) > 1 else "there is one kind of event"
    stars, plays = strength == columns.STRENGTH, strength == columns.QUANTITY
    shopped = bool(bought or carted)
    each = found.session_events
    visits = f"sessions are named, with {each:.1f} events each" if each else "no column names sessions"
    told = {
        "social": [Mark(f"{found.people:.0%} of the items are users", found.people > 0, 3)],
        "clickstream": [
            Mark(
                f"kinds are a funnel: {', '.join(funnel)}" if len(funnel) > 1 else kinds, shopped and len(funnel) > 1, 3
            ),
            Mark(visits, each >= VISIT_EVENTS),
            Mark(back, again < RETURN),
        ],
        "grocery": [
            Mark(repeats, found.repeats >= REPEATS),
            Mark(kinds, not (seen or carted or strength) and (bool(bought) or len(found.kinds) == 1), 2),
            Mark(rhythm, found.step == WEEK),
            Mark(lives, life >= LONG_DAYS),
        ],
        "movies": [
            Mark("rows have stars" if stars else "rows have no stars", stars, 3),
            Mark(repeats, found.repeats < NO_REPEATS),
            Mark(lives, life >= LONG_DAYS),
        ],
        "music": [
            Mark("rows count plays" if plays else repeats, plays or found.repeats >= REPEATS, 2),
            Mark(often, found.per_step >= BUSY),
            Mark(f"{rhythm}, not a week", found.step != WEEK),
            Mark(f"{kinds}: nothing is bought" if not shopped else kinds, not shopped),
        ],
        "news": [
            Mark(lives, life <= SHORT_DAYS and found.rows >= BUSY * found.items, 2),
            Mark(repeats, found.repeats < REPEATS),
            Mark(f"{kinds}: nothing is bought" if not shopped else kinds, not shopped and not stars),
        ],
    }
    timed = (lives, rhythm, f"{rhythm}, not a week", back) if found.made else ()
    return {domain: tuple(mark for mark in known if mark.said not in timed) for domain, known in told.items()}


def _kinds(found: Facts, words: tuple[str, ...]) -> list[str]:
    return [kind for kind in found.kinds if is_(kind, words)]
