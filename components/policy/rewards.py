"""Which events reward which answers: the one joiner of the request log and the event log. Pure.

The rollout's loop counts by it (pipelines/rollout/rewards.py), the rewards table is made by it (reward_table.py), and
learning and off-policy evaluation read that table.

An event rewards an answer that showed its user its item, from `after` to `within` seconds later by the data's clock,
which both logs keep. Where several did, it counts for the one that it names by `request_id`, else by `credit`. Whether
an answer's time is over, so that nothing more can come, is judged by the wall clock; until then its reward is null. An
event that arrives late is counted all the same when the table is made anew.

Kept out, and counted: copies by the router, whose answers nobody saw; an event or answer that is there twice; events
from the future, later than they were received; users who do more in a day than people do. Who calls gives both logs
with one name for each person (feature_repo/privacy/new_names.py).
"""

import bisect
import datetime as dt
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from feature_repo import columns
from feature_repo.errors import DataError

# Of a logged answer; its user row is what makes lines long.
READ = (
    columns.REQUEST_ID, "endpoint", "logged_at", columns.RELEASE, "policy", columns.USER_ID, "now", "rung", "asked",
    "items", "mirrored", "sample",
)  # fmt: skip
DAY_S = 86_400
AHEAD_S = 300  # how far clients' clocks may be ahead of the service's
Line = Mapping[str, Any]
Credit = Literal["last", "first", "every"]


@dataclass(frozen=True)
class Kpi:
    """What counts as a reward."""

    name: str
    within_s: float
    after_s: float = 0.0
    events: frozenset[str] = frozenset()  # kinds; empty: all
    amount: str | None = None  # column of events that is summed, or count; None: whether any came, 1 or 0
    positions: int | None = None  # the first so many places; None: all
    credit: Credit = "last"
    weight: float = 1.0
    returns: bool = False  # of the user, not of an item: whether they came back

    def takes(self, event: Line) -> bool:
        """Tell whether an event is of its kinds."""
        return not self.events or event.get(columns.EVENT) in self.events


@dataclass(frozen=True)
class Bots:
    """Users who do more than this in a day (UTC) are nobody's."""

    answers_a_day: int
    events_a_day: int


@dataclass
class Found:
    """What was kept out, and what came late."""

    answers: int = 0
    rewarded: int = 0  # answers with a reward other than 0
    ripe: int = 0  # answers of which every KPI's time is over
    kept_out: Counter[str] = field(default_factory=Counter)  # by reason
    late: int = 0  # events that were received after their KPI's time was over, and count all the same
    kinds: Counter[str] = field(default_factory=Counter)  # of all events that were read


@dataclass(frozen=True)
class Rewarded:
    """An answer and what it brought: by KPI, for each of its items; null: its time is not over."""

    answer: Line
    rewards: Mapping[str, list[float | None]]  # by KPI [K], weighted


def attributed(
    answers: Iterable[Line],
    events: Iterable[Line],
    kpis: Sequence[Kpi],
    *,
    now_s: float,
    bots: Bots | None = None,
    found: Found | None = None,
) -> list[Rewarded]:
    """Return the answers of /recommend with their rewards, in their order; `now_s` is the wall clock, epoch seconds."""
    found = Found() if found is None else found
    shown = list(once(answers, found))
    acted = list(_real(events, found))
    if bots is not None:
        shown, acted = _of_people(shown, acted, bots, found)
    sums = [{kpi.name: [0.0] * len(answer["items"]) for kpi in kpis} for answer in shown]
    index = _Index(shown)
    for kpi in kpis:
        if kpi.returns:
            _count_returns(kpi, shown, acted, sums, found)
        else:
            _count_events(kpi, index, acted, sums, found)
    made = [_ripened(answer, given, kpis, now_s) for answer, given in zip(shown, sums, strict=True)]
    found.answers = len(made)
    found.rewarded = sum(any(value for values in one.rewards.values() for value in values) for one in made)
    found.ripe = sum(all(value is not None for values in one.rewards.values() for value in values) for one in made)
    return made


def require_carried(kpis: Sequence[Kpi], found: Found, *, where: str = "policy.rewards") -> None:
    """Refuse a KPI of kinds that no event carries, once there are events: it would be 0 for ever, in silence."""
    if not found.kinds:
        return
    have = ", ".join(sorted(found.kinds))
    for number, kpi in enumerate(kpis):
        if kpi.events and not kpi.events & found.kinds.keys():
            raise DataError(
                f"{where}[{number}].event: no event of the log is of kind {', '.join(sorted(kpi.events))}; have {have}"
                "; name one of these, or leave the KPI out until such events are sent"
            )


def once(answers: Iterable[Line], found: Found) -> Iterator[Line]:
    """Yield answers of /recommend that somebody saw, each request once: the first, where its id was used again."""
    seen: set[str] = set()
    for answer in answers:
        if answer.get("endpoint") != "recommend":
            continue
        if answer.get("mirrored"):
            found.kept_out["copies"] += 1
            continue
        request = answer.get(columns.REQUEST_ID)
        if request is not None and request in seen:
            found.kept_out["answers twice"] += 1
            continue
        seen.add(str(request))
        yield answer


def distinct(events: Iterable[Line], found: Found) -> Iterator[Line]:
    """Yield events, each once: several doors may have logged one.

    An event's key is made with that of the pseudonyms, so that a delivery after a change of that key has another one.
    There it is the same event where the same person did the same with the same item at the same second.
    """
    seen: set[Any] = set()
    under: dict[tuple[Any, ...], Any] = {}  # by what was done: the fingerprint that it was first logged under
    for event in events:
        key, hashed = event.get("key"), event.get(columns.HASHED_UNDER)
        done = tuple(event.get(name) for name in _DONE)
        again = hashed is not None and under.setdefault(done, hashed) != hashed
        if again or (key is not None and key in seen):
            found.kept_out["events twice"] += 1
            continue
        seen.add(key)
        yield event


_DONE = (columns.USER_ID, columns.ITEM_ID, columns.EVENT, columns.TIMESTAMP)


def _real(events: Iterable[Line], found: Found) -> Iterator[Line]:
    """Yield events with an item, each once, and none from the future."""
    for event in distinct((one for one in events if one.get(columns.ITEM_ID) is not None), found):
        found.kinds[str(event.get(columns.EVENT))] += 1
        received = event.get(columns.CREATED_AT)
        if received is not None and float(event[columns.TIMESTAMP]) > float(received) + AHEAD_S:
            found.kept_out["events from the future"] += 1
            continue
        yield event


def _of_people(shown: Sequence[Line], acted: Sequence[Line], bots: Bots, found: Found) -> tuple[list[Line], list[Line]]:
    """Leave out all of users who do more in a day than people do."""
    many: set[str] = set()
    for lines, at, most in ((shown, "now", bots.answers_a_day), (acted, columns.TIMESTAMP, bots.events_a_day)):
        counts = Counter((str(line[columns.USER_ID]), int(float(line[at]) // DAY_S)) for line in lines)
        many |= {user for (user, _), count in counts.items() if count > most}
    if not many:
        return list(shown), list(acted)
    people = [line for line in shown if str(line[columns.USER_ID]) not in many]
    theirs = [line for line in acted if str(line[columns.USER_ID]) not in many]
    found.kept_out["users who are bots"] += len(many)
    found.kept_out["answers of bots"] += len(shown) - len(people)
    found.kept_out["events of bots"] += len(acted) - len(theirs)
    return people, theirs


class _Index:
    """Where items were shown to users."""

    def __init__(self, shown: Sequence[Line]) -> None:
        self.answers = shown
        by: dict[tuple[str, str], list[tuple[float, int, int]]] = defaultdict(list)  # when, which answer, its place
        for number, answer in enumerate(shown):
            for place, item in enumerate(answer["items"]):
                by[str(answer[columns.USER_ID]), str(item[columns.ITEM_ID])].append(
                    (float(answer["now"]), number, place)
                )
        self._by = {key: sorted(those) for key, those in by.items()}

    def credited(self, event: Line, kpi: Kpi) -> list[tuple[int, int]]:
        """Return the places that an event counts for: which answer, which of its items."""
        at = float(event[columns.TIMESTAMP])
        those = self._by.get((str(event[columns.USER_ID]), str(event[columns.ITEM_ID])), [])
        first = bisect.bisect_left(those, (at - kpi.within_s, -1, -1))
        last = bisect.bisect_right(those, (at - kpi.after_s, len(self.answers), 0))
        there = [one for one in those[first:last] if kpi.positions is None or one[2] < kpi.positions]
        if not there or kpi.credit == "every":
            return [(number, place) for _, number, place in there]
        named = event.get(columns.REQUEST_ID)
        own = [one for one in there if named is not None and self.answers[one[1]].get(columns.REQUEST_ID) == named]
        _, number, place = own[0] if own else there[-1 if kpi.credit == "last" else 0]
        return [(number, place)]


def _count_events(
    kpi: Kpi, index: _Index, acted: Sequence[Line], sums: list[dict[str, list[float]]], found: Found
) -> None:
    for event in acted:
        if not kpi.takes(event):
            continue
        amount = _amount(kpi, event)
        for number, place in index.credited(event, kpi):
            values = sums[number][kpi.name]
            values[place] = kpi.weight if kpi.amount is None else values[place] + kpi.weight * amount
            over = float(index.answers[number]["now"]) + kpi.within_s
            found.late += float(event.get(columns.CREATED_AT) or 0) > over


def _amount(kpi: Kpi, event: Line) -> float:
    """Return what an event adds; nothing where it does not say."""
    if kpi.amount in (None, "count"):
        return 1.0
    said = event.get(str(kpi.amount))
    return float(said) if said is not None and math.isfinite(float(said)) else 0.0


def _count_returns(
    kpi: Kpi, shown: Sequence[Line], acted: Sequence[Line], sums: list[dict[str, list[float]]], found: Found
) -> None:
    """Say of each answer whether its user came back: by an event of the KPI's kinds, or, where all count, a request."""
    times: dict[str, list[float]] = defaultdict(list)
    for event in acted:
        if kpi.takes(event):
            times[str(event[columns.USER_ID])].append(float(event[columns.TIMESTAMP]))
    if not kpi.events:
        for answer in shown:
            times[str(answer[columns.USER_ID])].append(float(answer["now"]))
    for those in times.values():
        those.sort()
    for number, answer in enumerate(shown):
        at, those = float(answer["now"]), times.get(str(answer[columns.USER_ID]), [])
        first = bisect.bisect_left(those, at + kpi.after_s)
        if first < len(those) and those[first] <= at + kpi.within_s:
            sums[number][kpi.name] = [kpi.weight] * len(answer["items"])


def _ripened(answer: Line, given: Mapping[str, list[float]], kpis: Sequence[Kpi], now_s: float) -> Rewarded:
    """Leave open what may still come."""
    age = now_s - logged_s(answer)
    rewards: dict[str, list[float | None]] = {}
    for kpi in kpis:
        values = given[kpi.name]
        rewards[kpi.name] = list(values) if age >= kpi.within_s else [None] * len(values)
    return Rewarded(answer, rewards)


def logged_s(answer: Line) -> float:
    """Return when an answer was given by the wall clock, in epoch seconds."""
    at = answer["logged_at"]
    instant = at if isinstance(at, dt.datetime) else dt.datetime.fromisoformat(str(at))
    return (instant if instant.tzinfo else instant.replace(tzinfo=dt.UTC)).timestamp()
