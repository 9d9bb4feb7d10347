"""The parts that requests and answers of several endpoints share; each endpoint's own are in bentos/endpoints.

Requests are strict: no unknown fields, no guesses of types. Bounds that a release sets (`serving.max_k`) are
checked by the endpoint's function. User ids are raw here; the door hashes them before anything else sees them.
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
    StringConstraints,
)
from pydantic_core import PydanticCustomError

from components.content.llm import writer as llm
from components.content.llm.writer import Fallback
from components.content.writers import WRITERS
from components.content.writers.chinese import CHINESE
from components.data.row_rules import LARGEST_AMOUNT

Id = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Amount = Annotated[float, Field(ge=-LARGEST_AMOUNT, le=LARGEST_AMOUNT, allow_inf_nan=False)]
Rung = Literal["fresh", "stale", "segment", "popular"]
Reason = Literal["store_away", "models_failed", "timeout", "door_away"]
AUTHORS = (*((w.name, w.about) for w in (*WRITERS, CHINESE)), (llm.NAME, llm.ABOUT))
SessionBasis = Literal["visit", "start", "unknown"]
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


class Request(BaseModel):
    """A part of a request."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class AnswerPart(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(frozen=True)


class Event(Request):
    """Something a user did."""

    user_id: Id
    item_id: Id
    event: Annotated[str, StringConstraints(min_length=1, max_length=64)] = Field(description="view, purchase, …")
    timestamp: Instant | None = Field(default=None, description="Left out: now, by the service's clock")
    session_id: Id | None = None
    quantity: Amount | None = None
    value: Amount | None = Field(default=None, description="Money paid")
    discount: Amount | None = Field(default=None, description="Money taken off")
    text: Annotated[str, StringConstraints(max_length=10_000)] | None = Field(
        default=None,
        description="What the user wrote: a review, a search. Kept where profiles hold texts, masked and cut",
    )
    request_id: Id | None = Field(default=None, description="The answer that this event follows from")
    event_id: Id | None = Field(default=None, description="Makes a repeated delivery harmless")


class SessionEvent(Request):
    """Something that somebody did in a session who is no user: it counts for one answer and is stored nowhere."""

    item_id: Id
    event: Annotated[str, StringConstraints(min_length=1, max_length=64)] = Field(description="view, purchase, …")
    timestamp: Instant | None = Field(default=None, description="Left out: now, by the service's clock")
    session_id: Id | None = None
    quantity: Amount | None = None
    value: Amount | None = Field(default=None, description="Money paid")
    discount: Amount | None = Field(default=None, description="Money taken off")


class Profile(AnswerPart):
    """How good the user's profile was that an answer rests on."""

    rung: Rung = Field(
        description="What answered. fresh, stale: the models, from a profile within or past its TTL; segment: what "
        "the user's segment does, since the profile is too old or the models failed; popular: what everyone does"
    )
    state_at: dt.datetime | None = Field(description="The profile holds what was known before this time")
    age_days: float | None
    segment: str | None = Field(description="The name of the user's segment")
    degraded: bool = Field(description="Whether something failed, so that a lower rung answered than should")
    reason: Reason | None = Field(
        description="What failed: the profile store, a model, neither in time, or the door; then the router answers"
    )


class Intent(AnswerPart):
    """Something a user may be about to do."""

    name: str
    probability: float = Field(description="Within the intent's horizon, 0..1")


Basis = Literal["model", "usual"]
BASIS = "What it rests on. model: the user's profile; usual: what is usual in training, since no model answers"


class AmountForecast(AnswerPart):
    """How much a user comes to within an intent's horizon: an intent of kind regression."""

    name: str
    kind: Literal["regression"]
    basis: Basis = Field(description=BASIS)
    value: float = Field(description="Expected value, or the median where the intent has quantiles")
    unit: str | None = Field(description="Of the value, as the spec says it")
    low: float | None = Field(description="Lowest quantile of the intent; null where it has none")
    high: float | None = Field(description="Highest quantile of the intent; null where it has none")


class NextValueForecast(AnswerPart):
    """Which value comes first within an intent's horizon: an intent of kind multiclass. Probabilities add up to 1."""

    name: str
    kind: Literal["multiclass"]
    basis: Basis = Field(description=BASIS)
    probabilities: dict[str, float] = Field(description="By value of the level, the commonest in training first")
    other: float = Field(description="Probability of a value that is not listed")
    none: float = Field(description="Probability that nothing comes")


class UpliftForecast(AnswerPart):
    """How much an offer changes what a user comes to within an intent's horizon: an intent of kind uplift."""

    name: str
    kind: Literal["uplift"]
    basis: Basis = Field(description=BASIS)
    value: float = Field(
        description="Mean effect on users of the same group; of all where nothing is known of the user"
    )
    unit: str | None = Field(description="Of the value, as the spec says it")
    low: float = Field(description="Lower end of the mean effect's 95 % interval")
    high: float = Field(description="Upper end of it")
    group: int | None = Field(description="The user's group by expected effect, 1 the least; null: the mean of all")
    groups: int = Field(description="How many groups there are; 1 where the data do not tell users apart")
    believed: bool = Field(description="Whether neither a placebo nor a lack of comparable users speaks against it")
    warning: str | None = Field(description="What speaks against it; null where nothing does")


Forecast = Annotated[AmountForecast | NextValueForecast | UpliftForecast, Field(discriminator="kind")]


class Session(AnswerPart):
    """What the rest of the visit that goes on may hold: the intents with horizon: session."""

    basis: SessionBasis = Field(
        description="What it rests on. visit: the model, by the events of the visit so far; start: no visit goes on, "
        "so the rates of visits that begin; unknown: the user's last events could not be read, so those rates too"
    )
    events: int = Field(description="Of the visit so far, as far as the last 64 events of the user tell")
    intents: list[Intent] = Field(description="Each with its probability in the rest of the visit")


class Answer(AnswerPart):
    """An answer: which release gave it, over which catalogue, and to which request."""

    catalogue_version: int | None = Field(
        default=None, description="The version of the document log that the items are as of; null: it was never read"
    )
    release: str
    request_id: str


class Feature(AnswerPart):
    """A feature value and the time it speaks of."""

    name: str
    value: float
    at: dt.datetime


class Cause(AnswerPart):
    """What speaks for or against an intent, in words."""

    words: str
    effect: float = Field(description="Log odds, against a user of whom nothing is known; above 0: it speaks for it")


class Causes(AnswerPart):
    """Why an intent has its probability; effects, others and unexplained sum up to said less nobody."""

    intent: str
    said: float = Field(description="Log odds of the model, before calibration")
    nobody: float = Field(description="The same of a user of whom nothing is known, at the same time")
    method: str = Field(
        description="integrated gradients of a network of steps, else occlusion: its effects do not sum up"
    )
    causes: list[Cause]
    others: float = Field(description="Effect of all causes that are not listed")
    unexplained: float = Field(description="What effects do not sum up to")


class ForecastCause(AnswerPart):
    """What makes a forecast higher or lower, in words."""

    words: str
    effect: float = Field(description="Against a user of whom nothing is known, in the unit of said and nobody")


class ForecastCauses(AnswerPart):
    """Why a forecast is what it is; effects, others and unexplained sum up to said less nobody."""

    intent: str
    of: str = Field(description="What said and nobody are in: an amount's unit, or log odds of the likeliest value")
    said: float = Field(description="The amount, or the log odds of the likeliest value")
    nobody: float = Field(description="The same of a user of whom nothing is known, at the same time")
    causes: list[ForecastCause]
    others: float = Field(description="Effect of all causes that are not listed")
    unexplained: float = Field(description="What effects do not sum up to")


class Description(AnswerPart):
    """A text about an item and all that it rests on."""

    item_id: str
    title: str
    text: str = Field(description="Plain text on one line; what is unknown is left out")
    source: str = Field(description="Who wrote it: " + "; ".join(f"{n}, {a}" for n, a in AUTHORS))
    attributes: list[str] = Field(
        description="What the text uses: attributes of the catalogue, `reason:<name>` of the ranking, `intent:<name>`"
    )
    model: str | None = Field(
        default=None, exclude_if=lambda value: value is None, description="The language model that wrote it, if one did"
    )
    fallback: Fallback | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="Why fixed sentences stand where a language model should have written: it was away, late, refused "
        "to answer, wrote rubbish or without end, said what the facts do not (ungrounded) or was over budget; or the "
        "item's attributes read like orders (unsafe); or the spec has it write other languages (language)",
    )
