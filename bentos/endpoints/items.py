"""PUT /items: add, change and withdraw items, or take such a change back; live on every door within seconds."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, FiniteFloat, StringConstraints, model_validator

from bentos.endpoints import examples
from bentos.endpoints.contract import Contract, Example
from bentos.endpoints.schemas import Amount, Answer, AnswerPart, Id, Request
from bentos.http.request_context import RequestContext
from feature_repo.documents.changes import MOST_ENTRIES

if TYPE_CHECKING:
    from bentos.recommender.door import Door

Text = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
Outcome = Literal["added", "changed", "withdrawn", "taken back"]
Value = str | bool | int | FiniteFloat | list[str] | list[FiniteFloat] | None


class ItemChange(Request):
    """What is said of one item: a field that is left out stays as it is, one that is null is unknown from now on."""

    item_id: Id
    available: bool | None = Field(default=None, description="false: nobody is shown it; left out or null: as it is")
    replaces: bool = Field(default=False, description="The id is given to another thing: what was said of it is void")
    title: Text | None = None
    category: Text | None = None
    category_path: Text | None = Field(default=None, description="Widest first; left out: that of the category")
    brand: Text | None = None
    price: Amount | None = None
    attributes: dict[Annotated[str, StringConstraints(min_length=1, max_length=256)], Value] = Field(
        default={}, max_length=64, description="Other columns of the items table, by name"
    )


class ItemsRequest(Request):
    """Items to change, all of them or none; or a version of the document log to take back."""

    items: list[ItemChange] = Field(default=[], max_length=MOST_ENTRIES)
    undo: int | None = Field(default=None, ge=1, description="A version: what it changed becomes what it was")
    change_id: Id | None = Field(default=None, description="Makes a repeated delivery harmless")

    @model_validator(mode="after")
    def _one_of_two(self) -> "ItemsRequest":
        if bool(self.items) == (self.undo is not None):
            raise ValueError("items to change, or a version to undo, one of the two")
        return self


class ChangedItem(AnswerPart):
    """What became of an item."""

    item_id: str
    outcome: Outcome


class ItemsChanged(Answer):
    """A version of the document log; `catalogue_version` is the one that this door shows now, or a later one."""

    version: int = Field(description="The change's own: `undo` takes it back")
    repeated: bool = Field(description="Whether the change had been made before, under its change_id")
    items: list[ChangedItem]


def answer(door: "Door", ask: ItemsRequest, context: RequestContext) -> ItemsChanged:
    """Add, change or withdraw items, all of them or none, or undo a version; every door shows it within 5 s."""
    written = door.changed(ask, who=context.caller)
    items = [ChangedItem(item_id=one, outcome=outcome) for one, outcome in written.outcomes]
    return ItemsChanged(version=written.change.version, repeated=not written.new, items=items, **door.signed(context))


CONTRACT = Contract(
    ItemsRequest,
    ItemsChanged,
    answer,
    Example(
        {
            "items": [
                {"item_id": "9900001", "title": "Dragon fruit", "category": "TROPICAL FRUIT", "price": 1.99},
                {"item_id": "995242", "available": False},
            ],
            "change_id": "shop-2026-11-29-1",
        },
        {
            "version": 1,
            "repeated": False,
            "items": [
                {"item_id": "9900001", "outcome": "added"},
                {"item_id": "995242", "outcome": "withdrawn"},
            ],
        }
        | examples.SIGNED
        | {"catalogue_version": 1},
    ),
)
