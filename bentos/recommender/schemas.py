"""What the door's endpoints take and give: the contract of the HTTP interface, of the client and of /docs.json.

Requests are strict: no unknown fields, no guesses of types. Bounds that a release sets (`serving.max_k`) are
checked by the door. User ids are raw here; they are hashed before anything else sees them.
"""

import datetime as dt
import re
from typing import Annotated, Any, Literal, NoReturn

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    StringConstraints,
)
from pydantic_core import PydanticCustomError

from components.content.writers import WRITERS
from components.ranking.sources import SOURCES

MAX_EVENTS = 1000  # in a request
Id = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Rung = Literal["fresh", "stale", "segment", "popular"]
Reason = Literal["store_away", "models_failed", "timeout"]
FIRST, LAST = dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.datetime(9998, 12, 31, tzinfo=dt.UTC)
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _written_out(value: Any) -> Any:
    """Read a time that is written out with its offset; pydantic would read '0' as seconds since 1970."""
    if not isinstance(value, str):
        return value
    try:
        return dt.datetime.fromisoformat(value.upper()) if RFC_3339.fullmatch(value) else _no_time()
    except ValueError:  # the 30th of February
        return _no_time()


def _no_time() -> NoReturn:
    raise PydanticCustomError("datetime_parsing", "no time with its offset")


def _of_our_time(value: dt.datetime) -> dt.datetime:
    """Refuse a time that is none in epoch seconds, or in no calendar once its offset is taken off."""
    if not FIRST <= value <= LAST:
        raise PydanticCustomError("time_range", f"{FIRST.isoformat()} to {LAST.isoformat()}")
    return value


Instant = Annotated[AwareDatetime, BeforeValidator(_written_out), AfterValidator(_of_our_time)]
At = Annotated[
    Instant | None,
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
    timestamp: Instant | None = Field(default=None, description="Left out: now, by the service's clock")
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


class DescribeRequest(_Asked):
    """What to say about items to a user."""

    user_id: Id
    item_ids: list[Id] = Field(min_length=1, max_length=100, description="At most the spec's content.max_items")
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
    source: str = Field(description=f"Where it came from: {', '.join(s.name for s in SOURCES)} or segment")
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


class Description(_Given):
    """A text about an item, in English, and all that it rests on."""

    item_id: str
    title: str
    text: str = Field(description="Plain text on one line; what is unknown is left out")
    source: str = Field(description="Who wrote it: " + "; ".join(f"{w.name}, {w.about}" for w in WRITERS))
    attributes: list[str] = Field(
        description="What the text uses: attributes of the catalogue, `reason:<name>` of the ranking, `intent:<name>`"
    )


class Descriptions(_Answer):
    """Texts in the order asked."""

    items: list[Description]
    profile: Profile
