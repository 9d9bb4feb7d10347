"""POST /recommend: items for a user, best first."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, FiniteFloat, StringConstraints, TypeAdapter

from bentos.endpoints import examples
from bentos.endpoints.contract import Contract, Example
from bentos.endpoints.events import SetAside
from bentos.endpoints.schemas import Answer, AnswerPart, At, Id, Intent, Profile, Request, SessionEvent
from bentos.http.problems import refused, short
from bentos.http.request_context import RequestContext
from components.content.reader import rerank
from components.ranking.sources import SOURCES
from feature_repo import columns
from feature_repo.errors import nearest

if TYPE_CHECKING:
    from bentos.recommender.catalogue import ShownItems
    from bentos.recommender.door import Door
    from bentos.recommender.ports import Recommended
    from bentos.recommender.rule_lists import RuledList

TOP_INTENTS = 5
MOST_EXCLUDED = 1000
MOST_EVENTS = 200  # of a session
MOST_VALUES = 100  # of an attribute, that somebody says to like
Name = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Text = Annotated[str, StringConstraints(max_length=1024)]


class RecommendRequest(Request):
    """Which items to show to a user, or in a session of somebody who is none."""

    user_id: Id | None = Field(
        default=None, description="Left out only with `events` or `interests`: somebody who is no user"
    )
    k: int | None = Field(default=None, ge=1, description="Items wanted; left out: the spec's serving.k")
    # Factories, since pydantic would copy a default, deeply, for every request.
    context: dict[Name, Text | bool | int | FiniteFloat] = Field(
        default_factory=dict,
        json_schema_extra={"default": {}},
        max_length=32,
        description="Where the items will be shown; logged, not used by the models yet",
    )
    exclude: list[Id] = Field(
        default_factory=list,
        json_schema_extra={"default": []},
        max_length=MOST_EXCLUDED,
        description="Items not to show; unknown ones are ignored",
    )
    at: At = None
    placement: Name | None = Field(
        default=None,
        description="Where the list is shown: a placement of the spec, with its own k, rules and algorithm",
    )
    interests: dict[Name, Annotated[list[Text], Field(max_length=MOST_VALUES)]] = Field(
        default_factory=dict,
        json_schema_extra={"default": {}},
        max_length=8,
        description="What somebody says to like, by attribute of items, such as {category: [SOUP]}: items of it count "
        "twice as popular where nothing else is known of the user; values that no item has are ignored",
    )
    events: list[SessionEvent] = Field(
        default_factory=list,
        json_schema_extra={"default": []},
        max_length=MOST_EVENTS,
        description="Without user_id: what was done in the session so far; counts for this answer, is stored nowhere",
    )


class Item(AnswerPart):
    """A recommended item."""

    item_id: str
    title: str
    score: float
    source: str = Field(description=f"Where it came from: {', '.join(s.name for s in SOURCES)} or segment")
    propensity: float = Field(description="Probability that the policy shows this item here, 0..1")
    reasons: dict[str, float] = Field(description="The strongest feature values")


class UnmetRule(AnswerPart):
    """A rule that the list could not keep."""

    rule: str
    why: str


class AppliedRules(AnswerPart):
    """What rules made of the list (docs/rules.md)."""

    placement: str | None
    names: list[str] = Field(description="Rules that hold in this list")
    unmet: list[UnmetRule] = Field(description="Pins and shares that could not be had, and rules that nothing can keep")
    short: str | None = Field(description="Why there are fewer items than wanted; null: there are as many")


@dataclass(frozen=True)
class RerankDraft:
    """What a language model may order a list by, and what logs it once its order is known."""

    history: tuple[str, ...]  # titles of what the user had, the newest first
    items: tuple[str, ...]  # titles, as ranked
    log: Callable[[Sequence["Item"], str], None]  # items as shown, and who ordered them or why the ranker did


class Order(AnswerPart):
    """Who ordered the items, where a language model was to."""

    source: str = Field(description="llm@1: the model; ranker: the ranker, as without a model")
    model: str | None = Field(
        default=None, exclude_if=lambda value: value is None, description="The language model, if it ordered them"
    )
    fallback: rerank.Fallback | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="Why the ranker's order stands: the model was away, late, refused to answer, answered rubbish or "
        "without end, or was over budget; its endpoint may have no facts about people (private); rules hold in the "
        "list (rules); or too few titles can be shown to a model (unsafe)",
    )


class Recommendations(Answer):
    """Items for a user, best first."""

    items: list[Item]
    rules: AppliedRules | None = Field(default=None, description="null: no rule holds, and no placement was named")
    algorithm: str | None = Field(
        default=None,
        description="What ordered the items: the release's ranker, of several the one chosen for this user, or the "
        "placement's own algorithm; null where no model answered",
    )
    reranked: Order | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="Of a user who had little yet, where the spec has a language model order such lists; else left out",
    )
    intents: list[Intent] = Field(description="The five likeliest")
    set_aside: list[SetAside] = Field(
        default=[], description="Of a session's events those whose item is not in the catalogue: they say nothing"
    )
    profile: Profile


ITEMS = TypeAdapter(list[Item])


def answer(door: "Door", ask: RecommendRequest, context: RequestContext) -> Recommendations:
    """Recommend items to a user, or in a session of somebody who is none."""
    require_somebody(ask)
    serving, among = door.release.serving, door.items_of(context)
    index = among.vocabulary.index_of_item
    placement = door.placement(ask.placement)
    k = wanted(ask.k, k=(placement.k if placement else None) or serving.k, max_k=serving.max_k)
    unwanted = [found for item in ask.exclude if not door.forgets(found := door.item_id(item))]
    exclude = frozenset(index[item] for item in unwanted if item in index)
    if ask.user_id is None:
        state, aside = door.state_of_session(ask.events, ask.at, context)
    else:
        state, aside = door.state_of(ask.user_id, ask.at, context), []
    if ask.interests:
        state = replace(state, interests=interesting(among, ask.interests))
    with context.stage("rank"):
        somebody = ask.user_id is not None
        ruled = door.listed(state, k, context, exclude=exclude, placement=ask.placement, explores=somebody)
    state = ruled.state
    items = shown(among, ruled.chosen)
    spoke = next((one.algorithm for one, _ in ruled.chosen if one.algorithm), None)  # one answers for all items
    declared = {"interests": ask.interests} if ask.interests else {}
    told = ({} if spoke is None else {columns.ALGORITHM: spoke}) | ruled.asked
    order = None
    if ask.user_id is None:
        door.write_nobody(context, state, asked={"k": k, "context": ask.context} | told)
    else:
        logged = {"k": k, "context": ask.context, "exclude": unwanted, "at": ask.at} | declared | told

        def log(shown_items: Sequence[Item], ordered_by: str) -> None:
            by = {"reranked": ordered_by} if ordered_by else {}
            listed = [_logged(place, one) for place, one in enumerate(shown_items, 1)]
            door.append(context, state, asked=logged | by, items=listed)

        had = door.short_history(state, context) if len(items) > 1 else ()
        context.answer()
        if had and not ruled.ruled:
            context.draft = RerankDraft(had, tuple(one.title for one in items), log)
        else:
            order = Order(source=rerank.RANKER, fallback="rules") if had else None
            log(items, "rules" if had else "")
    likeliest = door.intents_of(state, state.likeliest(TOP_INTENTS))
    return Recommendations(
        items=items,
        rules=applied(ruled),
        algorithm=spoke or ruled.asked.get(columns.PLACEMENT_ALGORITHM) or door.ladder.algorithm_of(state),
        reranked=order,
        intents=likeliest,
        set_aside=aside,
        profile=state.profile,
        **door.signed(context),
    )


def applied(found: "RuledList") -> AppliedRules | None:
    """Say what rules made of a list; None where nothing is to be said of any."""
    if not found.ruled:
        return None
    unmet = [UnmetRule(rule=one.rule, why=one.why) for one in found.unmet]
    return AppliedRules(placement=found.placement, names=list(found.names), unmet=unmet, short=found.short)


def interesting(among: "ShownItems", interests: Mapping[str, Sequence[str]]) -> frozenset[int]:
    """Return the items that have a declared value, or refuse an attribute that items lack."""
    items, found = among.vocabulary.items, set[int]()
    have = [field.name for field in items.schema if field.name not in (columns.ITEM_INDEX, columns.FIRST_SEEN)]
    for attribute, values in interests.items():
        if attribute not in have:
            said = f"{short(attribute)} is no attribute of items{nearest(attribute, have)}"
            raise refused("interests", said, ", ".join(have))
        having = among.having(attribute)
        for value in values:
            found.update(having.get(value, ()))
    return frozenset(found)


def require_somebody(ask: RecommendRequest) -> None:
    """Refuse a request that names neither a user nor what was done in a session, and one that names both."""
    if ask.user_id is None and not ask.events and not ask.interests:
        raise refused("user_id", "is missing", "a user, or the events or interests of somebody who is none")
    if ask.user_id is not None and ask.events:
        raise refused("events", "are here with a user_id", "one of the two; what users do goes to /events")


def wanted(asked: int | None, *, k: int, max_k: int) -> int:
    """Return how many items to show: `k` unless the request says; the spec says how many at most."""
    if asked is not None and asked > max_k:
        raise refused("k", f"{asked} is too many", f"1 to {max_k}")
    return asked or k


def shown(among: "ShownItems", chosen: Iterable[tuple["Recommended", float]]) -> list[Item]:
    """Return ranked items as an answer shows them, each with its propensity."""
    ids, titles = among.vocabulary.item_ids, among.titles
    return ITEMS.validate_python(
        [
            {
                "item_id": ids[one.item_index],
                "title": titles[one.item_index],
                "score": float(one.score),
                "source": one.source,
                "propensity": propensity,
                "reasons": {name: float(value) for name, value in one.reasons.items()},
            }
            for one, propensity in chosen
        ]
    )


def _logged(position: int, item: Item) -> dict[str, Any]:
    """Return a shown item as the request log has it: what was shown where, without its words."""
    return {
        "position": position,
        "item_id": item.item_id,
        "score": item.score,
        "source": item.source,
        "propensity": item.propensity,
    }


CONTRACT = Contract(
    RecommendRequest,
    Recommendations,
    answer,
    Example(
        {"user_id": "1", "k": 1, "context": {"page": "home"}, "exclude": ["995242"]},
        {
            "items": [
                examples.BANANAS
                | {
                    "score": 3.5152,
                    "source": "history",
                    "propensity": 1.0,
                    "reasons": {"weeks_bought": 24.0, "weeks_since": 2.0, "intent": 0.482},
                }
            ],
            "rules": None,
            "algorithm": "network",
            "reranked": {"source": "llm@1", "model": "qwen2.5-7b"},
            "intents": [examples.VISIT, examples.INTENT],
            "set_aside": [],
            "profile": examples.PROFILE,
        }
        | examples.SIGNED,
    ),
)
