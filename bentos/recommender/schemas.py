"""What the door's endpoints take and give: the contract of the HTTP interface, of the client and of /docs.json.

Requests are strict: no unknown fields, no guesses of types. Bounds that a release sets (`serving.max_k`) are
checked by the door. User ids are raw here; they are hashed before anything else sees them.
"""

import datetime as dt
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat, StringConstraints

MAX_EVENTS = 1000  # in a request
Id = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Rung = Literal["fresh", "stale", "segment", "popular"]
Reason = Literal["store_away", "models_failed", "timeout"]
At = Annotated[
    AwareDatetime | None,
    Field(description="Ask as of this time, ISO 8601 with offset; left out: the service's clock"),
]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Given(BaseModel):
    model_config = ConfigDict(frozen=True)


class RecommendRequest(_Asked):
    """Which items to show to a user."""

    user_id: Id
    k: int | None = Field(default=None, ge=1, description="Items wanted; left out: the spec's serving.k")
    context: dict[str, str | bool | int | FiniteFloat] = Field(
        default={}, max_length=32, description="Where the items will be shown; logged, not used by the models yet"
    )
    exclude: list[Id] = Field(default=[], max_length=1000, description="Items not to show; unknown ones are ignored")
    at: At = None


class IntentsRequest(_Asked):
    """What a user is about to do."""

    user_id: Id
    at: At = None


class RankRequest(_Asked):
    """How a user would like these items."""

    user_id: Id
    item_ids: list[Id] = Field(min_length=1, max_length=1000)
    at: At = None


class Event(_Asked):
    """Something a user did."""

    user_id: Id
    item_id: Id
    event: Annotated[str, StringConstraints(min_length=1, max_length=64)] = Field(description="view, purchase, …")
    timestamp: AwareDatetime | None = Field(default=None, description="Left out: now, by the service's clock")
    session_id: Id | None = None
    quantity: FiniteFloat | None = None
    value: FiniteFloat | None = Field(default=None, description="Money paid")
    discount: FiniteFloat | None = Field(default=None, description="Money taken off")
    request_id: Id | None = Field(default=None, description="The answer that this event follows from")
    event_id: Id | None = Field(default=None, description="Makes a repeated delivery harmless")


class EventsRequest(_Asked):
    """Events to take note of: all of them, or none if one is wrong."""

    events: list[Event] = Field(min_length=1, max_length=MAX_EVENTS)


class ExplainRequest(_Asked):
    """Why an item would or would not be shown to a user."""

    user_id: Id
    item_id: Id
    at: At = None


class Profile(_Given):
    """How good the user's profile was that an answer rests on."""

    rung: Rung = Field(
        description="What answered. fresh, stale: the models, from a profile within or past its TTL; segment: what "
        "the user's segment does, since the profile is too old or the models failed; popular: what everyone does"
    )
    state_at: dt.datetime | None = Field(description="The profile holds what was known before this time")
    age_days: float | None
    segment: str | None = Field(description="The name of the user's segment")
    degraded: bool = Field(description="Whether something failed, so that a lower rung answered than should")
    reason: Reason | None = Field(description="What failed: the profile store, a model, or neither in time")


class Intent(_Given):
    """Something a user may be about to do."""

    name: str
    probability: float = Field(description="Within the intent's horizon, 0..1")


class Item(_Given):
    """A recommended item."""

    item_id: str
    title: str
    score: float
    source: str = Field(description="Where it came from: history, neighbours, offers, popular or segment")
    propensity: float = Field(description="Probability that the policy shows this item here, 0..1")
    reasons: dict[str, float] = Field(description="The strongest feature values")


class _Answer(_Given):
    release: str
    request_id: str


class Recommendations(_Answer):
    """Items for a user, best first."""

    items: list[Item]
    intents: list[Intent] = Field(description="The five likeliest")
    profile: Profile


class Intents(_Answer):
    """Every intent of a user, in the vocabulary's order."""

    intents: list[Intent]
    profile: Profile


class Score(_Given):
    """An item's score for a user."""

    item_id: str
    score: float


class Scores(_Answer):
    """Scores in the order asked."""

    scores: list[Score]
    profile: Profile


class Accepted(_Answer):
    """Events that were stored durably and folded into profiles."""

    accepted: int
    duplicates: int = Field(description="Events that had been accepted before")
    ignored: int = Field(default=0, description="Events of people who were forgotten (docs/privacy.md)")
    noted: dict[str, int] = Field(default={}, description="Events that break a rule of severity info, by rule")


class Feature(_Given):
    """A feature value and the time it speaks of."""

    name: str
    value: float
    at: dt.datetime


class Explanation(_Answer):
    """What the models know about a user and an item."""

    item_id: str
    title: str
    source: str | None = Field(description="Where the candidate came from; null: it was no candidate")
    position: int | None = Field(description="Its place among the candidates, from 1")
    score: float
    intents: list[Intent] = Field(description="The intents that an event with the item would fulfil")
    features: list[Feature]
    profile: Profile
