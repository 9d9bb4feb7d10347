"""POST /values: values of an item attribute for a user, best first: brands, artists, categories."""

from typing import TYPE_CHECKING

from pydantic import Field

from bentos.endpoints import examples
from bentos.endpoints.contract import Contract, Example
from bentos.endpoints.recommend import wanted
from bentos.endpoints.schemas import Answer, AnswerPart, At, Id, Profile, Request
from bentos.http.problems import refused, short
from bentos.http.request_context import RequestContext

if TYPE_CHECKING:
    from bentos.recommender.door import Door

ALWAYS = 1.0  # the propensity: nothing is drawn


class ValuesRequest(Request):
    """Which values to show to a user."""

    user_id: Id
    attribute: Id = Field(description="One of the spec's models.ranking.recommend")
    k: int | None = Field(default=None, ge=1, description="Values wanted; left out: the spec's serving.k")
    at: At = None


class Stands(AnswerPart):
    """An item that stands for a value."""

    item_id: str
    title: str


class Value(AnswerPart):
    """A recommended value."""

    value: str
    score: float = Field(description="Compares within one answer only")
    source: str = Field(description="Where its best item came from; history or popular where no candidate has it")
    items: list[Stands] = Field(description="Its best items for the user; none where no candidate has it")
    reasons: dict[str, float] = Field(
        description="share_of_ranking, share_of_history, popular_share, and what speaks for its best item"
    )


class Values(Answer):
    """Values of an attribute, best first; only such of which the user may be shown an item."""

    attribute: str
    values: list[Value]
    profile: Profile


def answer(door: "Door", ask: ValuesRequest, context: RequestContext) -> Values:
    """Recommend values of an attribute to a user."""
    have, serving, among = door.release.ranking.recommend, door.release.serving, door.items_of(context)
    if ask.attribute not in have:
        allowed = ", ".join(have) or "none; models.ranking.recommend names them, and a training makes them"
        raise refused("attribute", f"{short(ask.attribute)} has no lists in release {door.release.id}", allowed)
    k = wanted(ask.k, k=serving.k, max_k=serving.max_k)
    state = door.state_of(ask.user_id, ask.at, context)
    with context.stage("rank"):
        state, found = door.ladder.values(state, ask.attribute, k=k, exclude=door.hidden_by_rules(among))
    ids, titles = among.vocabulary.item_ids, among.titles
    values = [
        Value(
            value=one.value,
            score=float(one.score),
            source=one.source,
            items=[Stands(item_id=ids[item], title=titles[item]) for item in one.items],
            reasons=one.reasons,
        )
        for one in found
    ]
    shown = [
        {"position": place, "value": one.value, "score": one.score, "source": one.source, "propensity": ALWAYS}
        for place, one in enumerate(values, 1)
    ]
    door.write(context, state, asked={"attribute": ask.attribute, "k": k, "at": ask.at, "values": shown})
    return Values(attribute=ask.attribute, values=values, profile=state.profile, **door.signed(context))


CONTRACT = Contract(
    ValuesRequest,
    Values,
    answer,
    Example(
        {"user_id": "1", "attribute": "brand", "k": 1},
        {
            "attribute": "brand",
            "values": [
                {
                    "value": "National",
                    "score": 0.6127,
                    "source": "history",
                    "items": [examples.BANANAS],
                    "reasons": {"share_of_ranking": 0.58, "share_of_history": 0.645, "popular_share": 0.42},
                }
            ],
            "profile": examples.PROFILE,
        }
        | examples.SIGNED,
    ),
)
