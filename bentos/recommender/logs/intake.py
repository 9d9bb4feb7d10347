"""Takes events in: checks their times, drops duplicates, stores them durably, folds them into profiles.

The order is what /events promises: first on disk, then in the profile, then confirmed. A request that fails before the
end was not confirmed, and its sender repeats it. Logged events hold pseudonyms, not raw ids.
"""

import contextlib
import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bentos.endpoints import schemas
from bentos.http.problems import UNAVAILABLE, Rejected, refused
from bentos.recommender.clock import Clock
from bentos.recommender.logs import eventlog
from bentos.recommender.logs.eventlog import EventLog
from bentos.recommender.logs.push_lock import PushLock
from bentos.recommender.logs.shared_turn import SharedTurn
from bentos.recommender.ports import Profiles
from feature_repo import columns, masks, update
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError, ServerError, StoreAway
from feature_repo.privacy.pseudonyms import event_mark, fingerprint, pseudonym
from feature_repo.privacy.sealing import SealError
from feature_repo.privacy.tombstones import Tombstones
from feature_repo.update import Event

MOST_AT_ONCE = 500  # events of a turn, of whole requests: a turn more for the next ones takes less than their wait


@dataclass(frozen=True)
class IntakeReport:
    """How many of a request's events were accepted, known already, or ignored."""

    accepted: int
    duplicates: int
    ignored: int  # of forgotten people; and of people with themselves, where the sender reads nothing


@dataclass
class _Request:
    """Events of one request, as sent and as they are logged; and how its turn ended."""

    events: Sequence[schemas.Event]
    lines: list[dict[str, Any]]
    mirrored: bool
    taken: list[dict[str, Any]] = field(default_factory=list)
    report: IntakeReport | None = None
    failure: Rejected | None = None


class Intake:
    """The way of events into the log and the profiles."""

    def __init__(
        self,
        log: EventLog,
        profiles: Profiles,
        *,
        clock: Clock,
        calendar: Calendar,
        key: str,
        tombstones: Tombstones | None = None,
        item_of: Callable[[str], str] | None = None,
        texts: bool = False,
    ) -> None:
        """Where items are people, `item_of` returns the pseudonym of the one that an event names.

        `texts`: what users write is kept, masked; else it is let go before anything is written.
        """
        self._texts = texts
        self._log, self._profiles, self._clock, self._key = log, profiles, clock, key
        self._tombstones, self._under = tombstones, fingerprint(key)
        self._pushing = PushLock(log.folder.parent)
        self._calendar, self._item_of = calendar, item_of
        self._turns = SharedTurn(self._take_turn, size=lambda one: len(one.events), most=MOST_AT_ONCE)
        self._copied: dict[str, None] = {}  # keys of the router's copies, in order of arrival
        self._first = int(calendar.start(1).timestamp())  # epoch seconds; nothing was known before

    def take(
        self, events: Sequence[schemas.Event], *, mirrored: bool = False, write_only: bool = False
    ) -> IntakeReport:
        """Store and fold events, all or none, but ignore those of people who were forgotten.

        Requests of several threads share a turn: one wait for the disk, and one push to the store.
        A tombstone reaches this door's folder later than the store that all doors share, which is asked as well.
        Copies by the router are folded and not stored: the events of record are the first door's. An event of a person
        with themselves is refused, but ignored in a copy and where the sender is `write_only`: a refusal would tell a
        page whose pseudonym it named.
        """
        now = self._clock.now()
        lines = [self._checked(event, place, now) for place, event in enumerate(events)]
        alone = [place for place, line in enumerate(lines) if self._of_oneself(line)]
        if alone and not (mirrored or write_only):
            raise refused(f"events[{alone[0]}].item_id", "is the user themselves", "the id of another user")
        one = _Request(events, lines, mirrored)
        self._turns.run(one)
        if one.failure is not None:
            raise one.failure
        assert one.report is not None, "its turn came"
        return one.report

    def _take_turn(self, requests: Sequence["_Request"]) -> None:
        """Take the events of some requests, with the reports that their senders get."""
        for mirrored in (False, True):
            if some := [one for one in requests if one.mirrored is mirrored]:
                self._take_all(some, mirrored=mirrored)

    def _take_all(self, requests: Sequence["_Request"], *, mirrored: bool) -> None:
        """Take the events of requests that are all copies or none. A row that cannot be read fails its own alone."""
        events = [event for one in requests for event in one.events]
        try:
            if self._tombstones is None:
                self._take(requests, self._heard_of(events), mirrored=mirrored)
                return
            with (
                self._tombstones.read_locked()
            ):  # a concurrent `forget` waits for this lock, and then finds these events
                forgotten = {user for user in self._people(events) if self._gone(user)} | self._heard_of(events)
                self._take(requests, forgotten, mirrored=mirrored)
        except Rejected as refusal:
            if len(requests) > 1 and isinstance(refusal.__cause__, (DataError, SealError)):
                for one in requests:
                    self._take_all([one], mirrored=mirrored)
                return
            for one in requests:
                one.failure = _again(refusal)

    def _heard_of(self, events: Sequence[schemas.Event]) -> set[str]:
        """Return, by raw id, of whom the store has a tombstone; one that is away is told when the events are folded."""
        hidden = {user: self._hidden(user) for user in self._people(events)}
        with contextlib.suppress(StoreAway):
            gone = self._profiles.forgotten(sorted(set(hidden.values())))
            return {user for user, name in hidden.items() if name in gone}
        return set()

    def _people(self, events: Sequence[schemas.Event]) -> set[str]:
        """Return whom events name: who acted, and where items are people, on whom."""
        both = set() if self._item_of is None else {event.item_id for event in events}
        return {event.user_id for event in events} | both

    def _hidden(self, user: str) -> str:
        return pseudonym(user, self._key) if self._item_of is None else self._item_of(user)

    def _gone(self, user: str) -> bool:
        """Tell whether there is a tombstone here of a person, by raw id, or by the pseudonym that an answer had."""
        assert self._tombstones is not None, "asked of tombstones that are not there"
        return self._tombstones.holds(user) or (self._item_of is not None and self._tombstones.hides(user))

    def _take(self, requests: Sequence["_Request"], forgotten: Collection[str], *, mirrored: bool) -> None:
        for one in requests:
            one.taken = [
                line
                for line, event in zip(one.lines, one.events, strict=True)
                if self._people([event]).isdisjoint(forgotten) and not self._of_oneself(line)
            ]
        with self._log.lock:
            fresh = self._log.unseen([line for one in requests for line in one.taken])
            try:
                self._log.append(() if mirrored else fresh)
            except OSError as error:
                reason = error.strerror or str(error)
                raise refused("events", f"could not be stored: {reason}", "a retry", status=UNAVAILABLE) from error
            if fresh:
                try:
                    self._fold(fresh, mirrored=mirrored)
                except OSError as error:  # the note that they are folded; their keys make a repetition harmless
                    raise refused("events", "could not be confirmed", "a retry", status=UNAVAILABLE) from error
                except (ServerError, DataError, SealError) as away:  # the store, or a row there that cannot be read
                    raise refused("events", f"are not in profiles yet: {away}", "a retry", status=UNAVAILABLE) from away
        new = {line[eventlog.KEY] for line in fresh}
        for one in requests:  # an event that two of them have is the first one's
            mine = new & {line[eventlog.KEY] for line in one.taken}
            new -= mine
            one.report = IntakeReport(len(mine), len(one.taken) - len(mine), len(one.events) - len(one.taken))

    def _checked(self, event: schemas.Event, place: int, now: int) -> dict[str, Any]:
        """Return an event as the log holds it, its user hashed and its time checked."""
        timestamp = now if event.timestamp is None else int(event.timestamp.timestamp())
        last = now + self._clock.ahead_s
        if not self._first <= timestamp <= last:
            allowed = f"{instant(self._first).isoformat()} to {instant(last).isoformat()}"
            raise refused(f"events[{place}].timestamp", f"{instant(timestamp).isoformat()} is out of time", allowed)
        fields = event.model_dump(exclude={"event_id"})
        fields |= {columns.USER_ID: pseudonym(event.user_id, self._key), columns.TIMESTAMP: timestamp}
        wrote = masks.written(fields.pop(columns.TEXT))
        fields |= {columns.TEXT: wrote} if self._texts and wrote else {}
        if self._item_of is not None:
            fields[columns.ITEM_ID] = self._item_of(event.item_id)
        # A sender's own id of an event may be made of the user's, and must not hide an event of another user.
        hidden = str(fields[columns.USER_ID])
        event_id = None if event.event_id is None else event_mark(event.event_id, hidden, self._key)
        key = eventlog.key_of(fields, event_id, timed=event.timestamp is not None)
        return {eventlog.KEY: key, **fields, columns.CREATED_AT: now, eventlog.UNDER: self._under}

    def _of_oneself(self, line: Mapping[str, Any]) -> bool:
        return self._item_of is not None and line[columns.ITEM_ID] == line[columns.USER_ID]

    def _fold(self, events: Sequence[Mapping[str, Any]], *, mirrored: bool) -> None:
        """Fold events into their users' profiles, and note that it was done; what came as a copy is folded once."""
        by_user: dict[str, list[Event]] = {}
        for event in (one for one in events if one[eventlog.KEY] not in self._copied):
            done = eventlog.pushed(event, self._calendar)
            by_user.setdefault(event[columns.USER_ID], []).append(done)
            if self._item_of is not None:  # it moves the row of whom it was done to as well
                by_user.setdefault(event[columns.ITEM_ID], []).append(update.mirrored(done, by=event[columns.USER_ID]))
        if by_user:
            with self._pushing.held(by_user):
                self._profiles.push_all(by_user)
            self._clock.saw(max(event[columns.TIMESTAMP] for event in events))
        keys = [event[eventlog.KEY] for event in events]
        if mirrored:  # never on disk: if this door becomes the first, it still stores what it then takes
            self._copied.update(dict.fromkeys(keys))
            while len(self._copied) > eventlog.REMEMBERED:
                del self._copied[next(iter(self._copied))]
        else:
            self._log.folded(keys)


def _again(refusal: Rejected) -> Rejected:
    """Return a refusal of the same words: each thread raises its own."""
    told = refusal.problem
    same = Rejected(told.error, where=told.where, allowed=told.allowed, status=refusal.status)
    same.headers = dict(refusal.headers)
    same.__cause__ = refusal.__cause__
    return same


def instant(seconds: int) -> dt.datetime:
    """Return epoch seconds as an aware time."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC)
