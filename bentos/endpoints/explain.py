"""POST /explain: what the models know about a user and an item, whether or not it would be shown."""

from typing import TYPE_CHECKING

from pydantic import Field

from bentos.endpoints import examples
from bentos.endpoints.contract import Contract, Example
from bentos.endpoints.schemas import Answer, At, Causes, Feature, ForecastCauses, Id, Intent, Profile, Request
from bentos.http.request_context import RequestContext

if TYPE_CHECKING:
    from bentos.recommender.door import Door


class ExplainRequest(Request):
    """Why an item would or would not be shown to a user."""

    user_id: Id
    item_id: Id
    at: At = None
    causes: bool = Field(default=False, description="Also say why the intents have their probabilities")


class Explanation(Answer):
    """What the models know about a user and an item."""

    item_id: str
    title: str
    source: str | None = Field(description="Where the candidate came from; null: it was no candidate")
    position: int | None = Field(description="Its place among the candidates, from 1")
    score: float
    algorithm: str | None = Field(
        default=None,
        description="What scored the item: the release's ranker, of several the one that was chosen for this user; "
        "null where no model answered",
    )
    intents: list[Intent] = Field(description="The intents that an event with the item would fulfil")
    features: list[Feature]
    causes: list[Causes] | None = Field(
        default=None,
        description="With causes: of each of these intents what speaks for and against it, the strongest first; null "
        "without it, and where no model in this door answered",
    )
    forecast_causes: list[ForecastCauses] | None = Field(
        default=None,
        description="With causes: what makes each forecast higher or lower, the strongest first; null without it, and "
        "where the release has no forecasts or none was made",
    )
    profile: Profile


def answer(door: "Door", ask: ExplainRequest, context: RequestContext) -> Explanation:
    """Say what speaks for an item: its source and place, the features and the intents that it rests on."""
    index = door.index_of(ask.item_id, context, where="item_id")
    state = door.state_of(ask.user_id, ask.at, context)
    with context.stage("rank"):
        state, candidates = door.ladder.recommend(state, k=door.release.candidates)
    position, found = next(((n, one) for n, one in enumerate(candidates, 1) if one.item_index == index), (None, None))
    if found is None:
        state, (score,) = door.ladder.score(state, [index])
    targets = door.targets_of(ask.item_id, context)
    features = door.features_of(state, index, targets, reasons=found.reasons if found else {})
    spoke = door.ladder.algorithm_of(state)
    asked = {"item_id": door.item_id(ask.item_id), "at": ask.at}
    door.write(context, state, asked=asked | door.chosen(spoke))
    return Explanation(
        item_id=ask.item_id,
        title=door.items_of(context).titles[index],
        source=found.source if found else None,
        position=position,
        score=float(found.score) if found else score,
        algorithm=spoke,
        intents=door.intents_of(state, targets),
        features=features,
        causes=door.causes_of(state, targets, context) if ask.causes else None,
        forecast_causes=door.forecast_causes_of(state, context) if ask.causes else None,
        profile=state.profile,
        **door.signed(context),
    )


CONTRACT = Contract(
    ExplainRequest,
    Explanation,
    answer,
    Example(
        {"user_id": "1", "item_id": "1082185", "causes": True},
        examples.BANANAS
        | {
            "source": "history",
            "position": 1,
            "score": 3.5152,
            "algorithm": "network",
            "intents": [examples.INTENT, examples.VISIT],
            "features": [{"name": "weeks_since", "value": 2.0, "at": "2018-01-01T04:01:21Z"}],
            "causes": [
                {
                    "intent": examples.INTENT["name"],
                    "said": -0.07,
                    "nobody": -2.31,
                    "method": "integrated gradients",
                    "causes": [{"words": "how often, over the last months", "effect": 1.42}],
                    "others": 0.82,
                    "unexplained": 0.0,
                }
            ],
            "forecast_causes": None,
            "profile": examples.PROFILE,
        }
        | examples.SIGNED,
    ),
)
