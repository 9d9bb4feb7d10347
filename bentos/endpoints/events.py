"""POST /events: events that callers report, stored durably and folded into their users' profiles."""

import dataclasses
from typing import TYPE_CHECKING

from pydantic import Field

from bentos.endpoints import examples
from bentos.endpoints.contract import Contract, Example
from bentos.endpoints.schemas import Answer, AnswerPart, Event, Request
from bentos.http.request_context import RequestContext

if TYPE_CHECKING:
    from bentos.recommender.door import Door

MAX_EVENTS = 1000  # in a request


class EventsRequest(Request):
    """Events to take note of: all of them, or none if one is wrong."""

    events: list[Event] = Field(min_length=1, max_length=MAX_EVENTS)


class SetAside(AnswerPart):
    """An event that the batch would set aside: it was not stored and is in no profile."""

    event: int = Field(description="Its place in the request, from 0")
    rule: str = Field(description="The rule of the data contract that it breaks")
    reason: str


class Accepted(Answer):
    """Events that were stored durably and folded into profiles."""

    accepted: int
    duplicates: int = Field(description="Events that had been accepted before")
    ignored: int = Field(default=0, description="Events of people who were forgotten (docs/privacy.md)")
    noted: dict[str, int] = Field(default={}, description="Events that break a rule of severity info, by rule")
    set_aside: list[SetAside] = Field(
        default=[], description="Events with an item that is not in the release's catalogue, neither stored nor folded"
    )

    def without_findings(self) -> "Accepted":
        """Return what a page is told, which reads nothing: not who was forgotten, what came before or is no item."""
        sent = self.accepted + self.duplicates + self.ignored + len(self.set_aside)
        return Accepted(
            accepted=sent,
            duplicates=0,
            catalogue_version=self.catalogue_version,
            release=self.release,
            request_id=self.request_id,
        )


def answer(door: "Door", ask: EventsRequest, context: RequestContext) -> Accepted:
    """Store events durably and fold them into their users' profiles."""
    aside = door.rules.set_aside(ask.events)
    places = {one.event for one in aside}
    taken = [event for place, event in enumerate(ask.events) if place not in places]
    with context.stage("store and fold events"):
        write_only = context.who is not None and context.who.page is not None
        report = door.intake.take(taken, mirrored=context.mirrored, write_only=write_only)
    noted = door.rules.noted(ask.events)
    return Accepted(**dataclasses.asdict(report), noted=noted, set_aside=aside, **door.signed(context))


CONTRACT = Contract(
    EventsRequest,
    Accepted,
    answer,
    Example(
        {
            "events": [
                {
                    "user_id": "1",
                    "item_id": "1082185",
                    "event": "purchase",
                    "quantity": 1,
                    "value": 2.5,
                    "event_id": "order-17-1",
                }
            ]
        },
        {"accepted": 1, "duplicates": 0, "ignored": 0, "noted": {}, "set_aside": []} | examples.SIGNED,
    ),
    asks_of=lambda door: door.rules.request,
)
