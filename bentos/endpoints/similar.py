"""POST /similar: items like an item, the most alike first; people like a person, where items are users."""

from typing import TYPE_CHECKING

from pydantic import Field

from bentos.endpoints import examples
from bentos.endpoints.contract import Contract, Example
from bentos.endpoints.recommend import MOST_EXCLUDED, wanted
from bentos.endpoints.schemas import Answer, AnswerPart, At, Id, Profile, Request
from bentos.http.problems import FORBIDDEN, UNAVAILABLE, refused, short
from bentos.http.request_context import RequestContext

if TYPE_CHECKING:
    from bentos.recommender.door import Door

ALWAYS = 1.0  # the propensity: nothing is drawn


class SimilarRequest(Request):
    """What an item is to be compared with, and for whom."""

    item_id: Id
    user_id: Id | None = Field(
        default=None, description="For whom: what this user may not be shown is left out; left out: anyone"
    )
    k: int | None = Field(default=None, ge=1, description="Items wanted; left out: the spec's serving.k")
    by: Id | None = Field(default=None, description="Compare by this basis alone; left out: by all that `bases` names")
    exclude: list[Id] = Field(
        default=[], max_length=MOST_EXCLUDED, description="Items not to show; unknown ones are ignored"
    )
    at: At = None


class SimilarItem(AnswerPart):
    """An item like the one asked about."""

    item_id: str
    title: str
    score: float = Field(description="Compares within one answer only")
    source: str = Field(description="The basis that ranks it highest")
    reasons: dict[str, float] = Field(description="By basis: how alike the two are, 0: not at all")


class SimilarItems(Answer):
    """Items like an item, the most alike first; fewer than k where nothing more is like it."""

    items: list[SimilarItem]
    bases: list[str] = Field(
        description="What items can be compared by: neighbours, who had both; als and bpr, factors; content, texts and "
        "images; adamic_adar, acquaintances of people; attributes, which follow where these bring fewer"
    )
    profile: Profile | None = Field(description="Of the user; null where none is named")


def answer(door: "Door", ask: SimilarRequest, context: RequestContext) -> SimilarItems:
    """List items like an item."""
    who = context.who
    if (
        door.release.ranking.people
        and who is not None
        and who.speaks_for is not None
        and not who.speaks_for(ask.item_id)
    ):
        raise refused("item_id", "is another user than the caller speaks for", "the caller's own id", status=FORBIDDEN)
    among, serving = door.items_of(context), door.release.serving
    k = wanted(ask.k, k=serving.k, max_k=serving.max_k)
    item = door.index_of(ask.item_id, context, where="item_id")
    unwanted = [name for one in ask.exclude if not door.forgets(name := door.item_id(one))]
    index = among.vocabulary.index_of_item
    exclude = frozenset(index[one] for one in unwanted if one in index) | door.hidden_by_rules(among)
    state = door.nobody(context) if ask.user_id is None else door.state_of(ask.user_id, ask.at, context)
    with context.stage("rank"):
        found = door.ladder.similar(state, item, k=k, exclude=exclude, by=ask.by)
    if found is None:  # what is popular is like nothing, so no lower rung can answer
        raise refused("item_id", "cannot be compared now", "a retry", status=UNAVAILABLE)
    if ask.by is not None and ask.by not in found.bases:
        raise refused("by", f"{short(ask.by)} is nothing that this release compares by", ", ".join(found.bases))
    items = [
        SimilarItem(
            item_id=among.vocabulary.item_ids[one.item_index],
            title=among.titles[one.item_index],
            score=float(one.score),
            source=one.source,
            reasons=one.reasons,
        )
        for one in found.items
    ]
    door.write(
        context,
        state,
        asked={"item_id": door.item_id(ask.item_id), "k": k, "by": ask.by, "exclude": unwanted, "at": ask.at},
        items=[
            {"position": place, "propensity": ALWAYS, **one.model_dump(exclude={"title", "reasons"})}
            for place, one in enumerate(items, 1)
        ],
    )
    profile = None if ask.user_id is None else state.profile
    return SimilarItems(items=items, bases=list(found.bases), profile=profile, **door.signed(context))


CONTRACT = Contract(
    SimilarRequest,
    SimilarItems,
    answer,
    Example(
        {"item_id": "1082185", "k": 1},
        {
            "items": [
                {
                    "item_id": "995242",
                    "title": "Fluid milk products: white milk · 1 ga",
                    "score": 0.0164,
                    "source": "neighbours",
                    "reasons": {"neighbours": 0.312},
                }
            ],
            "bases": ["neighbours", "attributes"],
            "profile": None,
        }
        | examples.SIGNED,
    ),
)
