"""POST /intents: everything that a user may be about to do, with its probability."""

from typing import TYPE_CHECKING, Any

from pydantic import Field

from bentos.endpoints import examples
from bentos.endpoints.contract import Contract, Example
from bentos.endpoints.schemas import Answer, At, Forecast, Id, Intent, Profile, Request, Session
from bentos.http.request_context import RequestContext

if TYPE_CHECKING:
    from bentos.recommender.door import Door


class IntentsRequest(Request):
    """What a user is about to do."""

    user_id: Id
    at: At = None
    decide: bool = Field(default=False, description="Also say of each intent whether it counts as yes")


class Intents(Answer):
    """Every intent of a user, in the vocabulary's order."""

    intents: list[Intent]
    decisions: dict[str, bool] | None = Field(
        default=None,
        description="With decide: by intent, whether its probability reaches the threshold that validation chose; null "
        "without it, and of a release whose model has no thresholds",
    )
    session: Session | None = Field(
        default=None,
        description="Of the visit that goes on; null where the release has no intent with horizon: session, or no door "
        "answered",
    )
    forecasts: list[Forecast] | None = Field(
        default=None,
        description="Of the intents of kind regression, multiclass and uplift; null where the release has none, or no "
        "door answered",
    )
    profile: Profile


def answer(door: "Door", ask: IntentsRequest, context: RequestContext) -> Intents:
    """Return every intent of a user."""
    state = door.state_of(ask.user_id, ask.at, context)
    session = door.session_of(state, context)
    forecasts = door.forecasts_of(state, context)
    told: dict[str, Any] = {} if session is None else {"session": session.model_dump()}
    if forecasts is not None:
        told["forecasts"] = [one.model_dump() for one in forecasts]
    door.write(context, state, asked={"at": ask.at} | told)
    every = door.intents_of(state, range(len(state.probabilities)))
    decided = door.decisions_of(state) if ask.decide else None
    return Intents(
        intents=every,
        decisions=decided,
        session=session,
        forecasts=forecasts,
        profile=state.profile,
        **door.signed(context),
    )


CONTRACT = Contract(
    IntentsRequest,
    Intents,
    answer,
    Example(
        {"user_id": "1", "decide": True},
        {
            "intents": [examples.INTENT, examples.VISIT],
            "decisions": {examples.INTENT["name"]: False, examples.VISIT["name"]: True},
            "session": {"basis": "visit", "events": 3, "intents": [{"name": "buy_now", "probability": 0.214}]},
            "forecasts": [examples.AMOUNT, examples.NEXT_VALUE],
            "profile": examples.PROFILE,
        }
        | examples.SIGNED,
    ),
)
