"""POST /events: events that callers report, stored durably and folded into their users' profiles."""

import dataclasses
from typing import TYPE_CHECKING

from pydantic import Field

from bentos.endpoints import examples
from bentos.endpoints.contract import Contract, Example
from bentos.endpoints.schemas import Answer, Event, Request
from bentos.http.request_context import RequestContext

if TYPE_CHECKING:
    from bentos.recommender.door import Door

MAX_EVENTS = 1000  # in a request


class EventsRequest(Request):
    """Events to take note of: all of them, or none if one is wrong."""

    events: list[Event] = Field(min_length=1, max_length=MAX_EVENTS)


class Accepted(Answer):
    """Events that were stored durably and folded into profiles."""

    accepted: int
    duplicates: int = Field(description="Events that had been accepted before")
    ignored: int = Field(default=0, description="Events of people who were forgotten (docs/privacy.md)")
    noted: dict[str, int] = Field(default={}, description="Events that break a rule of severity info, by rule")


def answer(door: "Door", ask: EventsRequest, context: RequestContext) -> Accepted:
    """Store events durably and fold them into their users' profiles."""
    with context.stage("store and fold events"):
        report = door.intake.take(ask.events, mirrored=context.mirrored)
    noted = door.rules.noted(ask.events)
    return Accepted(**dataclasses.asdict(report), noted=noted, **door.signed(context))


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
        {"accepted": 1, "duplicates": 0, "ignored": 0, "noted": {}} | examples.SIGNED,
    ),
    asks_of=lambda door: door.rules.request,
)
