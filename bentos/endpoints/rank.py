"""POST /rank: the scores of given items for a user, in the order given."""

from typing import TYPE_CHECKING

from pydantic import Field

from bentos.endpoints import examples
from bentos.endpoints.contract import Contract, Example
from bentos.endpoints.schemas import Answer, AnswerPart, At, Id, Profile, Request
from bentos.http.request_context import RequestContext

if TYPE_CHECKING:
    from bentos.recommender.door import Door


class RankRequest(Request):
    """How a user would like these items."""

    user_id: Id
    item_ids: list[Id] = Field(min_length=1, max_length=1000)
    at: At = None


class Score(AnswerPart):
    """An item's score for a user."""

    item_id: str
    score: float


class Scores(Answer):
    """Scores in the order asked."""

    scores: list[Score]
    withdrawn: list[str] = Field(default=[], description="Items asked about that nobody may be shown now: no scores")
    algorithm: str | None = Field(
        default=None,
        description="What scored the items: the release's ranker, of several the one that was chosen for this user; "
        "null where no model answered",
    )
    profile: Profile


def answer(door: "Door", ask: RankRequest, context: RequestContext) -> Scores:
    """Score given items for a user, in the order given."""
    asked = [door.index_of(item, context, where=f"item_ids[{place}]") for place, item in enumerate(ask.item_ids)]
    hidden = door.items_of(context).hidden
    names = [item for item, index in zip(ask.item_ids, asked, strict=True) if index not in hidden]
    withdrawn = [item for item, index in zip(ask.item_ids, asked, strict=True) if index in hidden]
    state = door.state_of(ask.user_id, ask.at, context)
    with context.stage("rank"):
        state, values = door.ladder.score(state, [index for index in asked if index not in hidden])
    logged = {"item_ids": [door.item_id(item) for item in names], "scores": values, "at": ask.at}
    spoke = door.ladder.algorithm_of(state)
    door.write(context, state, asked=logged | door.chosen(spoke))
    scores = [Score(item_id=item, score=value) for item, value in zip(names, values, strict=True)]
    return Scores(scores=scores, withdrawn=withdrawn, algorithm=spoke, profile=state.profile, **door.signed(context))


CONTRACT = Contract(
    RankRequest,
    Scores,
    answer,
    Example(
        {"user_id": "1", "item_ids": ["1082185", "995242"]},
        {
            "scores": [{"item_id": "1082185", "score": 3.5152}, {"item_id": "995242", "score": 3.38}],
            "withdrawn": [],
            "algorithm": "network",
            "profile": examples.PROFILE,
        }
        | examples.SIGNED,
    ),
)
