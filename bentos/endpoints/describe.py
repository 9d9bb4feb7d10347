"""POST /describe: a text about each of some items, for a user; as JSON or as server-sent events."""

from typing import TYPE_CHECKING

from pydantic import Field, PrivateAttr

from bentos.endpoints import examples
from bentos.endpoints.contract import Contract, Example
from bentos.endpoints.schemas import Answer, At, Description, Id, Profile, Request
from bentos.http.problems import refused
from bentos.http.request_context import RequestContext
from components.content.facts import Language
from components.content.frames import FrameName

if TYPE_CHECKING:
    from bentos.recommender.door import Door
    from bentos.recommender.texts import Draft


class DescribeRequest(Request):
    """What to say about items to a user."""

    user_id: Id
    item_ids: list[Id] = Field(min_length=1, max_length=100, description="At most the spec's content.max_items")
    at: At = None
    language: Language = Field(default="en", description="Of the texts")
    frame: FrameName | None = Field(
        default=None,
        description="What the texts are for; left out: what the spec's content.frames says of the user's likeliest "
        "intent that an item fulfils",
    )


class Descriptions(Answer):
    """Texts in the order asked."""

    items: list[Description]
    profile: Profile
    _drafts: "tuple[Draft, ...]" = PrivateAttr(default=())

    def drafts(self) -> "tuple[Draft, ...]":
        """Return what a language model may rewrite the texts from, one an item."""
        return self._drafts


def answer(door: "Door", ask: DescribeRequest, context: RequestContext) -> Descriptions:
    """Say in words what is known of items, and what speaks for them."""
    content = door.release.content
    if len(ask.item_ids) > content.max_items:
        raise refused("item_ids", f"{len(ask.item_ids)} are too many", f"1 to {content.max_items}")
    indexes = [door.index_of(item, context, where=f"item_ids[{place}]") for place, item in enumerate(ask.item_ids)]
    state = door.state_of(ask.user_id, ask.at, context)
    with context.stage("rank"):
        state, candidates = door.ladder.recommend(state, k=door.release.candidates)
    found = {one.item_index: one for one in candidates}
    writer = door.items_of(context).texts
    drafts = [writer.draft(i, found.get(i), state, language=ask.language, frame=ask.frame) for i in indexes]
    texts = [writer.describe(index, draft) for index, draft in zip(indexes, drafts, strict=True)]
    door.write(
        context,
        state,
        asked={"item_ids": [door.item_id(item) for item in ask.item_ids], "at": ask.at, "prompt": content.prompt},
    )
    answer = Descriptions(items=texts, profile=state.profile, **door.signed(context))
    answer._drafts = tuple(drafts)
    return answer


CONTRACT = Contract(
    DescribeRequest,
    Descriptions,
    answer,
    Example(
        {"user_id": "1", "item_ids": ["1082185"]},
        {
            "items": [
                examples.BANANAS
                | {
                    "text": "Tropical fruit: bananas · 40 lb. Category: TROPICAL FRUIT. You bought it in 24 weeks.",
                    "source": "template@2",
                    "attributes": ["title", "category", "reason:weeks_bought"],
                }
            ],
            "profile": examples.PROFILE,
        }
        | examples.SIGNED,
    ),
)
