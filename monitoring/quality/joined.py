"""Answers of the request log joined with what their users then did, by period and release.

An answer at an instant promises what its user does from then on: a target within its horizon, an item of the list
within the ranker's. Those labels are ripe once the longest horizon (or the time in which an act is a reward, where that
is longer) and the label delay have passed by the data's own end, not by the wall clock: data that ends earlier knows
less. A user counts once a period and release where intents are judged (the first answer), lists count each time they
were shown. Answers that a router mirrored reached nobody.

Pure: answers and events in, arrays out. Users are pseudonyms, and leave as numbers.

Letters: B answers, C targets, K places.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from feature_repo import columns
from feature_repo.calendar import Calendar
from feature_repo.clock import DAY, HOUR
from feature_repo.vocabulary import Vocabulary
from monitoring.quality.figures import PLACES, Said, Shown

ALL = ""


@dataclass(frozen=True)
class Reading:
    """How a release's answers are read: its vocabulary, where yes begins, which targets make the headline."""

    vocabulary: Vocabulary
    threshold: np.ndarray  # [C]
    headline: np.ndarray  # [C] bool
    ahead: int = 1  # steps that the ranker's labels look ahead
    event: str | None = None  # the kind of event that the ranker learns from; None: every kind that shows interest

    def chose(self, kind: str) -> bool:
        """Tell whether an event of a kind is what the ranker's labels count."""
        return self.event in (None, kind) and self.vocabulary.signs.shows_interest(kind)

    def acted(self, kind: str) -> bool:
        """Tell whether an event of a kind is an act on what was shown."""
        return self.vocabulary.signs.is_act(kind)

    @cached_property
    def fulfilled(self) -> Callable[[str, str], tuple[int, ...]]:
        """Return which targets an item and a kind of event fulfil; asked of few pairs many times."""
        return lru_cache(maxsize=100_000)(self.vocabulary.fulfilled)


@dataclass(frozen=True)
class Rule:
    """Times, seconds."""

    delay_s: float  # until what users did is known
    reward_s: float  # in which an act on a shown item is a reward
    known_until: float  # epoch seconds: the data's end


@dataclass(frozen=True)
class Events:
    """What users did, by user: instants ascending, with the item and the kind of each."""

    at: dict[str, np.ndarray]
    what: dict[str, list[tuple[str, str]]]

    @classmethod
    def of(cls, rows: Iterable[tuple[str, float, str, str]]) -> "Events":
        """Gather (user, epoch seconds, item, kind), in any order; one that was told twice counts once."""
        by_user: dict[str, list[tuple[float, str, str]]] = {}
        for user, at, item, kind in rows:
            by_user.setdefault(user, []).append((at, item, kind))
        ordered = {user: sorted(set(some)) for user, some in by_user.items()}
        instants = {user: np.array([one[0] for one in some]) for user, some in ordered.items()}
        return cls(instants, {user: [(item, kind) for _, item, kind in some] for user, some in ordered.items()})

    def between(self, user: str, start: float, end: float) -> list[tuple[float, str, str]]:
        """Return what a user did from `start` on and before `end`."""
        at = self.at.get(user)
        if at is None:
            return []
        first, last = np.searchsorted(at, [start, end], side="left")
        return [(float(at[n]), *self.what[user][n]) for n in range(first, last)]


@dataclass
class Group:
    """Answers of one period and release."""

    period: int
    starts: str
    ripe: bool
    reading: Reading
    intents: list[dict[str, Any]] = field(default_factory=list)
    lists: list[dict[str, Any]] = field(default_factory=list)

    def said(self, *, cohort: str = ALL, placement: str = ALL) -> Said:
        """Return the probabilities of a part, over the headline's targets."""
        rows = _of(self.intents, cohort, placement)
        head = self.reading.headline
        shape = (len(rows), int(head.sum()))
        return Said(
            user=np.array([row["user"] for row in rows], dtype=np.int64),
            probability=np.array([row["probability"][head] for row in rows], dtype=np.float64).reshape(shape),
            label=np.array([row["label"][head] for row in rows], dtype=np.uint8).reshape(shape),
            threshold=self.reading.threshold[head],
            weight=np.array([row["weight"] for row in rows], dtype=np.float64),
        )

    def shown(self, *, cohort: str = ALL, placement: str = ALL) -> Shown:
        """Return the lists of a part."""
        rows = _of(self.lists, cohort, placement)
        flat = {key: np.array([row[key] for row in rows]) for key in ("user", "chosen", "places", "weight")}
        by_place = {
            key: np.array([row[key] for row in rows], dtype=bool).reshape(len(rows), PLACES)
            for key in ("relevant", "acted")
        }
        return Shown(**flat, **by_place)

    def parts(self) -> list[tuple[str, str]]:
        """Name the whole, each cohort and each placement, as (cohort, placement)."""
        rows = [*self.intents, *self.lists]
        cohorts, placements = ({str(row[key]) for row in rows} - {ALL} for key in ("cohort", "placement"))
        return [(ALL, ALL), *((one, ALL) for one in sorted(cohorts)), *((ALL, one) for one in sorted(placements))]


def _of(rows: Sequence[Mapping[str, Any]], cohort: str, placement: str) -> list[Mapping[str, Any]]:
    return [row for row in rows if cohort in (ALL, row["cohort"]) and placement in (ALL, row["placement"])]


def period_of(calendar: Calendar, now: int) -> tuple[int, str]:
    """Return the period that an instant falls in, and when it starts, ISO; a period is a step, of hours a day.

    >>> period_of(Calendar("2024-01-01"), 1704067200 + 8 * 86400)
    (2, '2024-01-08T00:00:00+00:00')
    """
    periods = periods_of(calendar)
    number = int(periods.weeks(np.asarray([now]))[0])
    return number, periods.local_start(number).isoformat()


def periods_of(calendar: Calendar) -> Calendar:
    """Return the calendar of periods: the clock's own, and one of days where its steps are hours."""
    return Calendar(calendar.first_day, calendar.timezone, DAY) if calendar.step == HOUR else calendar


def joined(
    answers: Iterable[Mapping[str, Any]],
    events: Events,
    reading_of: Callable[[str], Reading | None],
    rule: Rule,
    *,
    calendar: Calendar,
    limit: int,
    done: Collection[tuple[int, str]] = (),
) -> dict[tuple[int, str], Group]:
    """Group answers by period and release, at most `limit` of each kind in a group, and label them.

    `reading_of` returns None for a release that cannot be read: its answers are left out. `done` are groups that are
    final already.
    """
    groups: dict[tuple[int, str], Group] = {}
    numbers: dict[str, int] = {}
    once: set[tuple[int, str, str]] = set()
    for answer in answers:
        if answer.get("mirrored"):
            continue
        release, now, user = str(answer[columns.RELEASE]), int(answer["now"]), str(answer[columns.USER_ID])
        period, starts = period_of(calendar, now)
        if (period, release) in done or (reading := reading_of(release)) is None:
            continue
        group = groups.get((period, release))
        if group is None:
            last = max(_longest(reading, calendar), rule.reward_s)
            ripe = _ends(calendar, period) + last + rule.delay_s <= rule.known_until
            group = groups.setdefault((period, release), Group(period, starts, ripe, reading))
        about = {
            "user": numbers.setdefault(user, len(numbers)),
            "cohort": _cohort(answer),
            "placement": _placement(answer),
            "weight": 1 / float(answer.get("sample") or 1.0),
        }
        probability = answer["probabilities"]
        modelled = answer["rung"] in columns.MODELLED and len(probability) == len(reading.vocabulary.targets)
        if modelled and (period, release, user) not in once and len(group.intents) < limit:
            once.add((period, release, user))
            label = _label(answer, events, reading, calendar)
            group.intents.append(about | {"probability": np.asarray(probability), "label": label})
        if answer["endpoint"] == "recommend" and answer["items"] and len(group.lists) < limit:
            group.lists.append(about | _list(answer, events, reading, calendar, rule))
    return groups


def _ends(calendar: Calendar, period: int) -> float:
    """Return when a period ends, epoch seconds."""
    return periods_of(calendar).start(period + 1).timestamp()


def _longest(reading: Reading, calendar: Calendar) -> float:
    return float(max(int(reading.vocabulary.horizons.max()), reading.ahead) * calendar.pace.seconds)


def _label(answer: Mapping[str, Any], events: Events, reading: Reading, calendar: Calendar) -> np.ndarray:
    """Return which targets came true within their horizons, uint8 [C]."""
    now, user = int(answer["now"]), str(answer[columns.USER_ID])
    label = np.zeros(len(reading.vocabulary.targets), dtype=np.uint8)
    horizon_s = reading.vocabulary.horizons * calendar.pace.seconds  # [C]
    for at, item, kind in events.between(user, now, now + float(horizon_s.max())):
        for target in reading.fulfilled(item, kind):
            if at < now + horizon_s[target]:
                label[target] = 1
    return label


def _list(
    answer: Mapping[str, Any], events: Events, reading: Reading, calendar: Calendar, rule: Rule
) -> dict[str, Any]:
    """Return which places were right, how many items would have been, and which were acted on in time."""
    now, user = int(answer["now"]), str(answer[columns.USER_ID])
    ahead_s = reading.ahead * calendar.pace.seconds
    happened = events.between(user, now, now + max(ahead_s, rule.reward_s))
    known = reading.vocabulary.index_of_item
    chosen = {item for at, item, kind in happened if at < now + ahead_s and item in known and reading.chose(kind)}
    rewarded = {item for at, item, kind in happened if at <= now + rule.reward_s and reading.acted(kind)}
    placed = sorted(answer["items"], key=lambda item: int(item["position"]))[:PLACES]
    ids = [str(item[columns.ITEM_ID]) for item in placed]
    empty = [False] * (PLACES - len(ids))
    return {
        "relevant": [item in chosen for item in ids] + empty,
        "acted": [item in rewarded for item in ids] + empty,
        "chosen": len(chosen),
        "places": len(ids),
    }


def _cohort(answer: Mapping[str, Any]) -> str:
    segment = (answer.get("numbers") or {}).get(columns.SEGMENT)
    return ALL if segment is None or not answer.get("known") else f"segment {int(segment)}"


def _placement(answer: Mapping[str, Any]) -> str:
    """Return where a list was shown: the question's placement, else the page that its context names."""
    asked = answer.get("asked") or {}
    context = asked.get("context") or {}
    return str(asked.get("placement") or context.get("placement") or context.get("page") or ALL)
