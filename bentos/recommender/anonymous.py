"""Sessions of people who are nobody to us: the events of a request become a row, and nothing of them is kept.

They are judged as /events judges its own (event_rules.py) and folded as a user's are (feature_repo/session_rows.py), so
the answer is what a new user would get who had sent them. No log, store or clock learns of them.
"""

from collections.abc import Callable, Sequence

from bentos.endpoints import schemas
from bentos.endpoints.events import SetAside
from bentos.http.problems import refused
from bentos.recommender.clock import Clock
from bentos.recommender.logs.event_rules import EventRules
from bentos.recommender.logs.intake import instant
from feature_repo import columns, session_rows
from feature_repo.session_rows import SessionRow
from feature_repo.update import Folding, event_of


class Anonymous:
    """Makes rows of requests' events."""

    def __init__(
        self,
        folding: Folding,
        rules: EventRules,
        clock: Clock,
        *,
        item_of: Callable[[str], str],
        forgets: Callable[[str], bool],
    ) -> None:
        self._folding, self._rules, self._clock = folding, rules, clock
        self._item_of, self._forgets = item_of, forgets
        self._first = int(folding.calendar.start(1).timestamp())  # epoch seconds; nothing was known before

    def row(
        self, events: Sequence[schemas.SessionEvent], user: str, *, now: int
    ) -> tuple[SessionRow | None, list[SetAside]]:
        """Fold events as of `now`; None where none of them says anything. The second are those set aside.

        Events on people who were forgotten are ignored without a word, as everywhere.
        """
        aside = self._rules.set_aside(events)
        places, taken = {one.event for one in aside}, []
        for place, event in enumerate(events):
            fields = event.model_dump()
            self._rules.require_of(fields, where=f"events[{place}]")
            at = now if event.timestamp is None else int(event.timestamp.timestamp())
            last = now + self._clock.ahead_s
            if not self._first <= at <= last:
                allowed = f"{instant(self._first).isoformat()} to {instant(last).isoformat()}"
                raise refused(f"events[{place}].timestamp", f"{instant(at).isoformat()} is out of time", allowed)
            item = self._item_of(event.item_id)
            if place not in places and not self._forgets(item):
                named = {columns.USER_ID: user, columns.ITEM_ID: item, columns.TIMESTAMP: at}
                taken.append(event_of(fields | named, self._folding.calendar))
        return (session_rows.of(self._folding, user, taken, now=now) if taken else None), aside
