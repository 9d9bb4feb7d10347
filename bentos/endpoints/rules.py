"""PUT /rules: put, change and remove rules of what lists may hold, or take such a change back; live within seconds."""

from typing import TYPE_CHECKING, Literal

from pydantic import ConfigDict, Field, RootModel, model_validator

from bentos.endpoints import examples
from bentos.endpoints.contract import Contract, Example
from bentos.endpoints.recommend import AppliedRules, Item, applied, shown, wanted
from bentos.endpoints.schemas import Answer, AnswerPart, At, Id, Request
from bentos.http.problems import refused
from bentos.http.request_context import RequestContext
from components.ranking.rules.spec import MOST_RULES, Name, Rule

if TYPE_CHECKING:
    from bentos.recommender.door import Door

RuleOutcome = Literal["added", "changed", "removed", "taken back"]


class LiveRule(RootModel[Rule]):
    """A rule, as the spec's `rules` has it (docs/rules.md)."""

    model_config = ConfigDict(frozen=True)


class RulePreview(Request):
    """Whose list to show before and after a change."""

    user_id: Id
    k: int | None = Field(default=None, ge=1, description="Items wanted; left out: as /recommend has it")
    placement: Name | None = None
    at: At = None


class RulesRequest(Request):
    """Rules to put or remove, all of them or none; or a version of the document log to take back."""

    rules: list[LiveRule] = Field(default=[], max_length=MOST_RULES)
    remove: list[Name] = Field(default=[], max_length=MOST_RULES, description="Names of rules, also of the spec's")
    undo: int | None = Field(default=None, ge=1, description="A version: what it changed becomes what it was")
    change_id: Id | None = Field(default=None, description="Makes a repeated delivery harmless")
    preview: RulePreview | None = Field(
        default=None, description="Write nothing: answer with a user's list before and after"
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> "RulesRequest":
        if bool(self.rules or self.remove) == (self.undo is not None):
            raise ValueError("rules to put or to remove, or a version to undo, one of the two")
        return self


class ChangedRule(AnswerPart):
    """What became of a rule."""

    name: str
    outcome: RuleOutcome
    items: int | None = Field(
        description="How many items it is about now, 0: it does nothing; null: taken away, or about what users did"
    )


class PreviewedList(AnswerPart):
    """A list that was not shown to its user."""

    items: list[Item]
    rules: AppliedRules | None


class PreviewedLists(AnswerPart):
    """A user's list before a change and after it."""

    before: PreviewedList
    after: PreviewedList


class RulesChanged(Answer):
    """A version of the document log; `catalogue_version` is the one that this door keeps to now, or a later one."""

    version: int | None = Field(description="The change's own: `undo` takes it back; null of a preview: none was made")
    repeated: bool = Field(description="Whether the change had been made before, under its change_id")
    changed: list[ChangedRule]
    preview: PreviewedLists | None = Field(default=None, description="Of a preview alone")


def answer(door: "Door", ask: RulesRequest, context: RequestContext) -> RulesChanged:
    """Put or remove rules, all of them or none, or undo a version; every door keeps to it within 5 s."""
    if ask.preview is not None:
        lists = preview(door, ask, ask.preview, context)
        return RulesChanged(version=None, repeated=False, changed=[], preview=lists, **door.signed(context))
    written = door.ruled(ask, who=context.caller)
    return RulesChanged(
        version=written.change.version, repeated=not written.new, changed=written.outcomes, **door.signed(context)
    )


def preview(door: "Door", ask: RulesRequest, of: RulePreview, context: RequestContext) -> PreviewedLists:
    """Return a user's list before and after a change; nothing is written, shown or logged."""
    if not door.catalogue.documents:
        raise refused("preview", "this service keeps no document log", "a service with an online store")
    book = door.rules_after(ask)
    among, placement = door.items_of(context), door.placement(of.placement)
    k = wanted(of.k, k=(placement.k if placement else None) or door.release.serving.k, max_k=door.release.serving.max_k)
    state = door.state_of(of.user_id, of.at, context)
    made = [door.listed(state, k, context, placement=of.placement, rules=rules) for rules in (among.rules, book)]
    before, after = (PreviewedList(items=shown(among, found.chosen), rules=applied(found)) for found in made)
    return PreviewedLists(before=before, after=after)


CONTRACT = Contract(
    RulesRequest,
    RulesChanged,
    answer,
    Example(
        {
            "rules": [
                {"kind": "filter", "name": "nothing under 20 cents", "where": "price < 0.2"},
                {"kind": "cap", "name": "two a category", "column": "category", "at_most": 2},
            ],
            "change_id": "shop-2026-11-30-1",
        },
        {
            "version": 2,
            "repeated": False,
            "changed": [
                {"name": "nothing under 20 cents", "outcome": "added", "items": 3},
                {"name": "two a category", "outcome": "added", "items": 100},
            ],
            "preview": None,
        }
        | examples.SIGNED
        | {"catalogue_version": 2},
    ),
)
