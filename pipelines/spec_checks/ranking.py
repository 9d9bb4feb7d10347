"""What ranking needs of the other parts of a spec."""

from typing import TYPE_CHECKING

from feature_repo import columns
from pipelines.spec_fills import GRAPH

if TYPE_CHECKING:
    from pipelines.spec import Recommender


def knowledge_is_there(spec: "Recommender") -> None:
    """Refuse to go through knowledge that is not there."""
    if spec.models.ranking.candidates.limit(GRAPH) and spec.data.knowledge is None:
        raise ValueError(
            "models.ranking.candidates.graph: goes from item to item through `data.knowledge`, and there is none; "
            "say `data: {knowledge: {edges: <file>}}`, or leave graph out"
        )


def vectors_are_of_things(spec: "Recommender") -> None:
    """Refuse vectors of people, and vectors that would show what came later."""
    if spec.vectors is not None and spec.data.items_are_users:
        raise ValueError(
            "vectors: items are users, and what is known of people stays in the source, where `forget` reaches it; "
            "leave vectors out"
        )
    if spec.models.ranking.vectors != (spec.vectors and spec.vectors.slice()):
        raise ValueError("models.ranking.vectors: follows from `vectors`; leave it out, and say that")
    # A text is there before its item is: at a test hour it would bring items of the hours after.
    if spec.models.ranking.later_items and spec.models.ranking.candidates.limit("content"):
        raise ValueError(
            "models.ranking.later_items: with vectors, each step's candidates would hold items that came after it, "
            "by their texts; say `candidates: {content: 0}`, which leaves vectors as features, or leave one out"
        )


def people_are_users(spec: "Recommender") -> None:
    """Refuse to name people one by one, and to rank people as things."""
    for place, intent in enumerate(spec.intents):
        if spec.data.items_are_users and intent.column == columns.ITEM_ID:
            raise ValueError(
                f"intents[{place}].level: items.item_id would name people one by one, in answers and tables; leave "
                "level out, to ask whether a user will act on anyone, or name another column"
            )
    if spec.models.ranking.people != spec.data.items_are_users:
        raise ValueError(
            "models.ranking.people: follows from `data.source.items: {from: users}`; leave it out, and say that"
        )


def ranking_looks_ahead(spec: "Recommender") -> None:
    """Refuse a horizon of the ranker that its clock, its weights or its split cannot count."""
    ranking = spec.models.ranking
    if ranking.horizon is None:
        return
    try:
        steps = spec.ranking_steps
    except ValueError as error:
        raise ValueError(f"models.ranking.horizon: {error}") from None
    if steps > 1 and ranking.weight is not None:
        raise ValueError(
            "models.ranking.weight: weighs what one step holds, and models.ranking.horizon is "
            f"{spec.data.pace.counted(steps)}; leave one of the two out"
        )
    if steps > 1 and spec.data.split.leave_one_out is not None:
        raise ValueError(
            f"models.ranking.horizon: {ranking.horizon} is {steps} steps, and under data.split.leave_one_out a "
            "user's test is one; leave it out"
        )


def choice_has_steps(spec: "Recommender") -> None:
    """Refuse a choice among rankers where the validation steps cannot be cut in two."""
    least, have = 1 + spec.ranking_steps, spec.data.split.lengths()["validate_weeks"]
    if spec.models.ranking.choose is not None and have < least:
        raise ValueError(
            f"models.ranking.choose: needs {least} or more validation steps, of which the later half chooses and "
            f"the others stop training, and data.split has {have}; set data.split.validate_weeks (validate_steps): "
            f"{max(least, 4)}, or leave choose out"
        )


def weight_is_there(spec: "Recommender") -> None:
    """Refuse to weigh by a strength that events lack."""
    weight = spec.models.ranking.weight
    if weight is not None and weight.of == columns.STRENGTH and not spec.data.has_strength:
        raise ValueError(
            "models.ranking.weight.of: strength is no column of these events; map it as "
            "`data.source.events.columns: {strength: <column>}`, or use quantity or value"
        )
