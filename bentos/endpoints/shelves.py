"""POST /shelves: items for a user on shelves, each with a title; as JSON or as server-sent events."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, PrivateAttr, StringConstraints

from bentos.endpoints import examples
from bentos.endpoints.contract import Contract, Example
from bentos.endpoints.recommend import MOST_EXCLUDED, AppliedRules, applied, wanted
from bentos.endpoints.schemas import Answer, AnswerPart, At, Id, Profile, Request
from bentos.http.request_context import RequestContext
from components.content import shelves
from components.content.facts import Language
from components.content.frames import FrameName
from components.content.llm import writer as llm
from components.content.llm.writer import Fallback

if TYPE_CHECKING:
    from bentos.recommender.catalogue import ShownItems
    from bentos.recommender.door import Door
    from bentos.recommender.ports import Recommended
    from bentos.recommender.texts import Draft

By = Literal["intent", "category"]
MOST = 20  # shelves
LEAST = 2  # items of a shelf, where more than one are wanted
AUTHORS = (*((name, shelves.ABOUT) for name in shelves.NAMES.values()), (llm.NAME, llm.ABOUT))


class ShelvesRequest(Request):
    """Which shelves to show to a user."""

    user_id: Id
    most: int = Field(default=5, ge=1, le=MOST, description="Shelves wanted")
    k: int | None = Field(default=None, ge=1, description="Items of a shelf; left out: the spec's serving.k")
    by: By = Field(
        default="intent",
        description="What an item's shelf is. intent: the likeliest that it fulfils, else its category; category: that",
    )
    exclude: list[Id] = Field(
        default=[], max_length=MOST_EXCLUDED, description="Items not to show; unknown ones are ignored"
    )
    placement: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = Field(
        default=None, description="Where they are shown: a placement of the spec, with its own rules and algorithm"
    )
    at: At = None
    language: Language = Field(default="en", description="Of the titles")
    frame: FrameName | None = Field(
        default=None,
        description="What the titles are for; left out: what the spec's content.frames says of a shelf's intent",
    )


class ShelfItem(AnswerPart):
    """An item on a shelf."""

    item_id: str
    title: str
    score: float = Field(description="Compares within one answer only")
    source: str


class Shelf(AnswerPart):
    """Items of one value, and what they are called together."""

    title: str = Field(description="Plain text on one line")
    attribute: str = Field(description="Of the catalogue, that its items share a value of")
    value: str
    intent: str | None = Field(description="That its items fulfil; null: they stand together by their attribute alone")
    probability: float | None = Field(description="Of the intent, within its horizon, 0..1")
    frame: str | None = Field(description="What the title is for")
    source: str = Field(description="Who wrote the title: " + "; ".join(f"{n}, {a}" for n, a in AUTHORS))
    model: str | None = Field(
        default=None, exclude_if=lambda value: value is None, description="The language model that wrote it, if one did"
    )
    fallback: Fallback | Literal["alike"] | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="Why fixed words stand where a language model should have written, as in /describe; alike: it gave "
        "two shelves one title",
    )
    items: list[ShelfItem] = Field(description="Best first; an item stands on one shelf")


class Shelves(Answer):
    """Shelves, those of the likeliest intents first; fewer than wanted where fewer hold two items."""

    shelves: list[Shelf]
    rules: AppliedRules | None = Field(
        default=None, description="Of the list that shelves are cut from; null: no rule holds, no placement was named"
    )
    profile: Profile
    _drafts: "tuple[Draft, ...]" = PrivateAttr(default=())

    def drafts(self) -> "tuple[Draft, ...]":
        """Return what a language model may rewrite the titles from, one a shelf."""
        return self._drafts


def answer(door: "Door", ask: ShelvesRequest, context: RequestContext) -> Shelves:
    """Put items for a user on shelves, each with a title."""
    serving, among = door.release.serving, door.items_of(context)
    words = among.vocabulary
    k = wanted(ask.k, k=serving.k, max_k=serving.max_k)
    door.placement(ask.placement)  # refuses a name that is none
    unwanted = [name for item in ask.exclude if not door.forgets(name := door.item_id(item))]
    exclude = frozenset(words.index_of_item[item] for item in unwanted if item in words.index_of_item)
    state = door.state_of(ask.user_id, ask.at, context)
    with context.stage("rank"):
        found = door.listed(state, door.release.candidates, context, exclude=exclude, placement=ask.placement)
    state = found.state
    ranked = [one for one, _ in found.chosen]
    chances = state.probabilities.tolist() if state.modelled and ask.by == "intent" else None
    cut = shelves.shelved([one.item_index for one in ranked], words, chances, most=ask.most, k=k, least=min(LEAST, k))
    drafts = [among.texts.shelf(one, state, language=ask.language, frame=ask.frame) for one in cut]
    made = [
        Shelf(
            title=(text := shelves.title(draft.facts, ask.language)).text,
            attribute=one.attribute,
            value=one.value,
            intent=None if one.target is None else words.target_names[one.target],
            probability=None if one.target is None else float(state.probabilities[one.target]),
            frame=draft.facts.frame,
            source=text.source,
            items=[_shown(among, ranked[place]) for place in one.places],
        )
        for one, draft in zip(cut, drafts, strict=True)
    ]
    shown = [
        {"attribute": s.attribute, "value": s.value, "intent": s.intent, "items": [i.item_id for i in s.items]}
        for s in made
    ]
    # The policy decided on the list, not on the shelves: no propensity is known, so no item is logged as an impression.
    asked = {"k": k, "most": ask.most, "by": ask.by, "exclude": unwanted, "at": ask.at, "shelves": shown}
    door.write(context, state, asked=asked | found.asked)
    answer = Shelves(shelves=made, rules=applied(found), profile=state.profile, **door.signed(context))
    answer._drafts = tuple(drafts)
    return answer


def _shown(among: "ShownItems", one: "Recommended") -> ShelfItem:
    return ShelfItem(
        item_id=among.vocabulary.item_ids[one.item_index],
        title=among.titles[one.item_index],
        score=float(one.score),
        source=one.source,
    )


CONTRACT = Contract(
    ShelvesRequest,
    Shelves,
    answer,
    Example(
        {"user_id": "1", "most": 1, "k": 1},
        {
            "shelves": [
                {
                    "title": "Tropical fruit",
                    "attribute": "category",
                    "value": "TROPICAL FRUIT",
                    "intent": "buy:TROPICAL FRUIT",
                    "probability": 0.482,
                    "frame": None,
                    "source": "shelf@1",
                    "items": [examples.BANANAS | {"score": 3.5152, "source": "history"}],
                }
            ],
            "rules": None,
            "profile": examples.PROFILE,
        }
        | examples.SIGNED,
    ),
    pieces=("shelves", "shelf"),
)
