"""What a feature row is, said slowly: loops over the events that were known at an instant. For comparison only."""

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, pstdev
from typing import Any

from feature_repo.calendar import Calendar
from feature_repo.columns import EVENING_HOUR, windowed
from feature_repo.vocabulary import Vocabulary

Event = dict[str, Any]


@dataclass(frozen=True)
class Reference:
    """Answers for one world, from every event that was known before a cutoff."""

    events: list[Event]
    calendar: Calendar
    vocabulary: Vocabulary
    windows_days: tuple[float, ...]

    def known(self, at: dt.datetime, user: str | None = None) -> list[Event]:
        """Return what was known before an instant, in order of time."""
        found = [e for e in self.events if e["timestamp"] < at and (e["created_at"] or e["timestamp"]) < at]
        return sorted((e for e in found if user in (None, e["user_id"])), key=lambda e: e["timestamp"])

    def week(self, event: Event) -> int:
        """Return an event's own week."""
        return self.calendar.week(event["timestamp"])

    def day(self, event: Event) -> int:
        """Return an event's own day, or hour on an hourly clock, from the calendar's first."""
        return self.span(event["timestamp"])

    def span(self, at: dt.datetime) -> int:
        """Return the day, or hour on an hourly clock, of an instant."""
        first = dt.date.fromisoformat(self.calendar.first_day)
        if self.calendar.step == "hour":
            return int((at - self.calendar.midnight(first)).total_seconds() // 3600)
        return (self.calendar.day(at) - first).days

    @property
    def spans_a_day(self) -> int:
        """Return 24 for hours, 1 for days."""
        return 24 if self.calendar.step == "hour" else 1

    @property
    def decays(self) -> tuple[float, float]:
        """Return what a slowly and a fast decaying sum keep from step to step."""
        return {
            "week": (0.96, 0.8),
            "day": (0.5 ** (1 / 28), 0.5 ** (1 / 7)),
            "hour": (0.5 ** (1 / 168), 0.5 ** (1 / 24)),
        }[self.calendar.step]

    def times(self, events: list[Event], keys: Any) -> dict[tuple[str, int], list[Event]]:
        """Group events by user and by each of their keys."""
        found: dict[tuple[str, int], list[Event]] = defaultdict(list)
        for event in events:
            for key in keys(event):
                found[event["user_id"], key].append(event)
        return found

    def targets_of(self, event: Event) -> tuple[int, ...]:
        """Return the targets that an event fulfils."""
        return self.vocabulary.fulfilled(event["item_id"], event["event"])

    def items_of(self, event: Event) -> tuple[int, ...]:
        """Return the event's item, if it is in the vocabulary."""
        index = self.vocabulary.index_of_item.get(event["item_id"])
        return () if index is None else (index,)

    def lists(self, user: str, at: dt.datetime, cutoff: int, family: str) -> dict[str, list[float]]:
        """Return a user's parallel lists of targets or of history."""
        keys, ids = (self.targets_of, "ids") if family == "target" else (self.items_of, "items")
        rows = []
        for (_, key), events in self.times(self.known(at, user), keys).items():
            ages = [cutoff - week for week in {self.week(e) for e in events}]
            seconds = [int(e["timestamp"].timestamp()) for e in events]
            slow, fast = (sum(decay**age for age in ages) for decay in self.decays)
            rows.append((round(-slow, 9), key, len(ages), slow, fast, min(seconds), max(seconds)))
        names = (ids, "weeks", "slow", "fast", "first_at", "last_at")
        return {f"{family}_{n}": [row[place + 1] for row in sorted(rows)] for place, n in enumerate(names)}

    def recent(self, user: str, at: dt.datetime, cutoff: int) -> dict[str, list[float]]:
        """Return a user's recent (target, week) pairs."""
        pairs = {(self.week(e), key) for e in self.known(at, user) for key in self.targets_of(e)}
        kept = sorted(
            pair for pair in pairs if cutoff - pair[0] <= {"week": 16, "day": 28, "hour": 48}[self.calendar.step]
        )
        return {"recent_targets": [key for _, key in kept], "recent_weeks": [week for week, _ in kept]}

    def starts(self, events: list[Event]) -> list[Event]:
        """Return the first event of each session."""
        first: dict[tuple[str, str], Event] = {}
        for event in events:
            first.setdefault((event["user_id"], event["session_id"]), event)
        return list(first.values())

    def profile(self, user: str, at: dt.datetime, cutoff: int, end_day: int) -> dict[str, float]:
        """Return a user's numbers."""
        events = self.known(at, user)
        starts = self.starts(events)
        found: dict[str, float] = {
            "first_at": int(events[0]["timestamp"].timestamp()),
            "last_at": int(events[-1]["timestamp"].timestamp()),
            "events_total": len(events),
            "sessions_total": len(starts),
            "weeks_total": len({self.week(e) for e in events}),
            "items_total": len({e["item_id"] for e in events}),
            "discounted_total": sum(e["discount"] > 0 for e in events),
            "weekend_share": fmean(self.calendar.day(e["timestamp"]).weekday() >= 5 for e in starts),
            "evening_share": fmean(self._hours(e) >= EVENING_HOUR for e in starts),
            "sessions_slow": sum(self.decays[0] ** (cutoff - self.week(e)) for e in starts),
            "value_slow": sum(self.decays[0] ** (cutoff - self.week(e)) * e["value"] for e in events),
        }
        for name in ("quantity", "value", "discount"):
            found[f"{name}_total"] = sum(e[name] for e in events)
        for days in self.windows_days:
            back = days * self.spans_a_day
            inside = [e for e in events if self.day(e) > end_day - back]
            found[windowed("events", days)] = len(inside)
            found[windowed("sessions", days)] = sum(self.day(e) > end_day - back for e in starts)
            for name in ("quantity", "value", "discount"):
                found[windowed(name, days)] = sum(e[name] for e in inside)
        return found

    def _hours(self, event: Event) -> float:
        midnight = self.calendar.midnight(self.calendar.day(event["timestamp"]))
        return (event["timestamp"] - midnight).total_seconds() // 3600

    def daily(self, user: str, at: dt.datetime, end_day: int) -> dict[str, list[float]]:
        """Return a user's sums by day."""
        events = self.known(at, user)
        starts = [self.day(e) for e in self.starts(events)]
        days = sorted({d for d in map(self.day, events) if d > end_day - max(self.windows_days) * self.spans_a_day})
        mine = [[e for e in events if self.day(e) == day] for day in days]
        sums = {f"daily_{n}": [sum(e[n] for e in part) for part in mine] for n in ("quantity", "value", "discount")}
        return sums | {
            "daily_days": days,
            "daily_events": [len(part) for part in mine],
            "daily_sessions": [starts.count(day) for day in days],
        }

    def state(self, at: dt.datetime, cutoff: int, family: str) -> dict[int, dict[str, float | None]]:
        """Return the numbers of every item or target."""
        events = self.known(at)
        keys = self.targets_of if family == "target" else self.items_of
        by_pair = {pair: sorted({self.week(e) for e in found}) for pair, found in self.times(events, keys).items()}
        active = {(e["user_id"], self.week(e)) for e in events}
        found = {}
        for key in {key for _, key in by_pair}:
            weeks = [mine for (_, k), mine in by_pair.items() if k == key]
            gaps = [b - a for mine in weeks for a, b in pairwise(mine)]
            mine = [week for part in weeks for week in part]
            found[key] = {
                **self._shares(mine, [week for _, week in active], cutoff),
                "gap_weeks": fmean(gaps) if gaps else None,
                "gap_spread": pstdev(gaps) if gaps else None,
            }
            if family == "item":
                sold = [e for e in events if self.items_of(e) == (key,) and e["quantity"] > 0]
                found[key]["repeat_share"] = 1 - len(weeks) / len(mine)
                for name, decay in (("price", self.decays[1]), ("price_usual", self.decays[0])):
                    money, pieces = (sum(decay ** -self.week(e) * e[n] for e in sold) for n in ("value", "quantity"))
                    found[key][name] = money / pieces if pieces else None
        return found

    def _shares(self, mine: list[int], everyone: list[int], cutoff: int) -> dict[str, float]:
        def ratio(weigh: Any) -> float:
            return sum(map(weigh, mine)) / max(sum(map(weigh, everyone)), 1)

        return {
            "share_1w": ratio(lambda week: cutoff - week <= 1),
            "share_4w": ratio(lambda week: cutoff - week <= 4),
            "share_slow": ratio(lambda week: self.decays[0] ** (cutoff - week)),
        }
