"""The console's port of people: the request log for whom was answered, the running service for who is asked about now.

A raw id goes to the service and nowhere else: no log and no error of ours holds it. What is told of somebody whose id
nobody typed is the service's latest logged answer, since a pseudonym cannot be turned back.
"""

import datetime as dt
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from bentos.client import Recommender, Unanswered
from bentos.console.ports.people import Fact, Intent, Item, Past, Person, Seen, Sent
from components.content import words
from components.content.writers import chinese
from feature_repo import columns
from feature_repo.errors import DataError, ServerError, SpecError
from feature_repo.ids import plain
from feature_repo.privacy import pseudonyms
from pipelines.assistants import people
from pipelines.console import catalogue, sent, service
from pipelines.console.catalogue import Catalogue
from pipelines.console.recent import Recent
from pipelines.environment import Installation

if TYPE_CHECKING:
    from bentos.endpoints.schemas import Description

LONGEST_ID = 256  # characters
LOOKED_AT = 2000  # newest answers of the log, for whom was answered
MOST_INTENTS, MOST_REASONS = 12, 4
END_OF_TIME = 2.0**62  # epoch seconds: every event is before
KINDS: "Recent[tuple[str, ...]]" = Recent(60.0)  # of events in a run's data
log = logging.getLogger("intentflow.console")
T = TypeVar("T")


def port(place: Callable[[], Installation]) -> "ServedPeople":
    """Return the port over an installation, which is read anew at each call."""
    return ServedPeople(place)


class ServedPeople:
    """Fills bentos.console.ports.people.People."""

    def __init__(self, place: Callable[[], Installation]) -> None:
        self._place = place

    def seen(self) -> tuple[Seen, ...]:
        """Return whom the service answered last, the newest first."""
        found = people.listed(self._place(), within=LOOKED_AT)
        return tuple(Seen(one["person"], one["at"], one["rung"], one["answers"]) for one in found)

    def pseudonym(self, raw_id: str) -> str:
        """Return a raw id's pseudonym; nothing is asked of the service."""
        if not plain(raw_id) or len(raw_id) > LONGEST_ID:
            raise SpecError(f"user id: blanks, or more than {LONGEST_ID} characters; give an id as in your data")
        return pseudonyms.pseudonym(raw_id, pseudonyms.ring(self._place().variables)[0])

    def logged(self, pseudonym: str, language: str) -> Person:
        """Return what the service last said of somebody; the texts of items are not in the log."""
        place = self._place()
        found = people.latest(place, pseudonym)
        shown = _tried(lambda: catalogue.of(place, found["release"]))
        known_at = found["features"][0]["at"] if found["features"] else ""
        return Person(
            pseudonym=pseudonym,
            live=False,
            at=str(found["logged_at"]),
            release=str(found["release"]),
            request_id=str(found["request_id"]),
            segment="",
            rung=str(found["rung"]),
            age_days=_age_days(found["now"], known_at),
            degraded=str(found["degraded"] or ""),
            intents=tuple(Intent(one["name"], one["probability"]) for one in found["intents"]),
            items=tuple(
                _item(place, shown, one, language=language, position=one["position"], title=one.get("title") or "")
                for one in found["items"]
            ),
            events=_events(found["events"], shown),
            note=found["note"],
        )

    def asked(self, raw_id: str, language: str) -> Person:
        """Ask the service about somebody now, as a look that counts as nothing shown where that can be had."""
        place, pseudonym = self._place(), self.pseudonym(raw_id)
        with service.look(place, raw_id) as (client, counts):
            said = client.recommend(raw_id)
            every = client.intents(raw_id)
        shown = _tried(lambda: catalogue.of(place, said.release))
        texts, untold = _texts(place, raw_id, [one.item_id for one in said.items], language)
        likeliest = sorted(every.intents, key=lambda one: -one.probability)[:MOST_INTENTS]
        chances = {one.name: one.probability for one in every.intents}
        return Person(
            pseudonym=pseudonym,
            live=True,
            at=dt.datetime.now(dt.UTC).isoformat(),
            release=said.release,
            request_id=said.request_id,
            segment=said.profile.segment or "",
            rung=said.profile.rung,
            age_days=said.profile.age_days,
            degraded=(said.profile.reason or "yes") if said.profile.degraded else "",
            intents=tuple(Intent(one.name, one.probability) for one in likeliest),
            items=tuple(
                _item(
                    place,
                    shown,
                    one.model_dump(),
                    language=language,
                    position=number,
                    title=one.title,
                    text=texts.get(one.item_id),
                    chances=chances,
                )
                for number, one in enumerate(said.items, 1)
            ),
            events=_events(_past(place, pseudonym), shown),
            counts=counts,
            untold=untold,
        )

    def event_types(self) -> tuple[str, ...]:
        """Return the kinds of events with an item that the spec speaks of; where of none, those of the last data."""
        from components.data.row_rules import OneOf

        place = self._place()
        spec = place.spec
        allowed = [
            str(value)
            for rule in spec.data.contract.get("events", ())
            if isinstance(rule, OneOf) and rule.column == columns.EVENT
            for value in rule.values
        ]
        ranking = spec.models.ranking
        counted = (*(intent.event for intent in spec.intents), ranking.event, *ranking.kinds)
        told: Sequence[str | None] = allowed or counted
        if not any(told):  # a spec that `init` wrote for a file of purchases need name no kind
            told = _kinds(place)
        return tuple(dict.fromkeys(one for one in told if one and one not in spec.data.without_item))

    def send(self, raw_id: str, event: str, item_id: str, *, who: str, once: str = "") -> Sent:
        """Send an event in somebody's name; an item that is none is refused, and nothing is stored.

        What is sent again with the same `once` is stored once: the service tells it by the event's id.
        """
        from pydantic import ValidationError

        from bentos.endpoints.schemas import Event
        from bentos.http.problems import rejected

        place, pseudonym = self._place(), self.pseudonym(raw_id)
        if event not in (kinds := self.event_types()):
            raise SpecError(f"event: '{event}' is none that the spec speaks of; have {', '.join(kinds)}")
        shown = _tried(lambda: catalogue.of(place, service.release_of(place, raw_id)))
        if shown is not None and not shown.knows(item_id):
            raise SpecError(f"item: '{item_id}' is no item of the catalogue{shown.nearest(item_id)}; nothing was sent")
        try:
            made = Event(user_id=raw_id, item_id=item_id, event=event, event_id=once or uuid.uuid4().hex)
        except ValidationError as error:
            raise SpecError(f"event: {rejected(error, Event)}") from None
        with sent.noted(place, who=who, event=event, item_id=item_id), service.customer(place) as client:
            taken = client.events([made])
            if taken.set_aside:
                raise SpecError(f"item: {taken.set_aside[0].reason} ({taken.set_aside[0].rule}); nothing was stored")
        log.info("event %s of item %s sent in the name of %s by %s", event, item_id, pseudonym, who)
        return Sent(taken.accepted, taken.duplicates, taken.ignored, event, item_id)


def _item(
    place: Installation,
    shown: Catalogue | None,
    said: Mapping[str, Any],
    *,
    language: str,
    position: int,
    title: str,
    text: "Description | None" = None,
    chances: Mapping[str, float] | None = None,
) -> Item:
    """Return an item as a page shows it; `said` has item_id, source and reasons as the service says them."""
    item_id, settings = str(said[columns.ITEM_ID]), place.environment.console
    row = shown.row(item_id) if shown else {}
    reasons = {name: _reason(place, name, value, language) for name, value in (said.get("reasons") or {}).items()}
    known = dict(row) | {f"reason:{name}": told for name, told in reasons.items()}
    known |= {f"intent:{name}": f"{chance:.0%}" for name, chance in (chances or {}).items()}
    return Item(
        position=position,
        item_id=item_id,
        title=title or item_id,
        source=str(said["source"]),
        reasons=tuple(reasons.values())[:MOST_REASONS],
        price=catalogue.price_of(row),
        picture=catalogue.picture_of(row, settings.picture, tuple(settings.picture_origins)),
        text=text.text if text else "",
        author=text.source if text else "",
        facts=tuple(Fact(name, str(known.get(name, ""))) for name in text.attributes) if text else (),
    )


def _reason(place: Installation, name: str, value: float, language: str) -> str:
    said = chinese.reason if language == "zh" else words.reason
    return said(name, value, place.spec.verb, place.spec.data.step)


def _texts(
    place: Installation, raw_id: str, items: Sequence[str], language: str
) -> tuple[dict[str, "Description"], str]:
    """Return the texts that a customer would read by item, and why there are none where it is so."""
    spoken: Literal["en", "zh"] = "zh" if language == "zh" else "en"
    found: dict[str, Description] = {}
    try:
        with service.customer(place) as client:
            for part in _parts(items, place.spec.content.max_items):
                found |= _described(client, raw_id, part, spoken)
    except Unanswered as refusal:
        return found, str(refusal)
    except (SpecError, ServerError) as error:
        return found, str(error)
    return found, ""


def _described(
    client: Recommender, raw_id: str, items: Sequence[str], language: Literal["en", "zh"]
) -> dict[str, "Description"]:
    return {one.item_id: one for one in client.describe(raw_id, items, language=language).items}


def _parts(items: Sequence[str], most: int) -> list[Sequence[str]]:
    return [items[start : start + most] for start in range(0, len(items), most)]


def _past(place: Installation, pseudonym: str) -> list[dict[str, Any]]:
    """Return somebody's latest events that this machine has: of the last run's data, and of the service's log."""
    from pipelines.answers import explain

    return explain.events_of(place, pseudonym, before=END_OF_TIME)


def _kinds(place: Installation) -> tuple[str, ...]:
    """Return the kinds of events in the last run's data; () where that is on no disk of this machine."""
    import pyarrow.parquet as pq

    from pipelines.runs import local

    run = local.last_run(place.home)
    if run is None:
        return ()
    path = run.folders["clean"] / "events.parquet"

    def read() -> tuple[str, ...]:
        found = pq.read_table(path, columns=[columns.EVENT])[columns.EVENT].unique().to_pylist()
        return tuple(sorted(str(kind) for kind in found if kind))

    return KINDS.of(path, read)


def _events(found: Sequence[Mapping[str, Any]], shown: Catalogue | None) -> tuple[Past, ...]:
    return tuple(
        Past(
            at=str(one["at"]),
            event=str(one[columns.EVENT] or ""),
            item_id=str(one[columns.ITEM_ID] or ""),
            title=shown.title(str(one[columns.ITEM_ID])) if shown and one[columns.ITEM_ID] else "",
            source=str(one["from"]),
        )
        for one in found
    )


def _age_days(now: str, known_at: str) -> float | None:
    try:
        return (dt.datetime.fromisoformat(now) - dt.datetime.fromisoformat(known_at)).total_seconds() / 86_400
    except ValueError:  # never
        return None


def _tried(ask: Callable[[], T]) -> T | None:
    """Return what is nice to have, None where the registry or the store is away: pages go without."""
    try:
        return ask()
    except (SpecError, DataError, ServerError) as error:
        log.warning("no catalogue for the page: %s", error)
        return None
