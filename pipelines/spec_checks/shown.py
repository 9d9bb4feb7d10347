"""What lists, their rules, policy and experiments need of the other parts of a spec."""

from typing import TYPE_CHECKING

from components.ranking.rules.spec import Bought, Pin, Shown, names_items, require_known_placements
from feature_repo import columns
from feature_repo.errors import nearest

if TYPE_CHECKING:
    from pipelines.spec import Recommender


def experiments_fit(spec: "Recommender") -> None:
    """Refuse experiments of one name, and covariates that no row has."""
    names = [one.name for one in spec.experiments]
    have = columns.profile_columns(spec.profiles.windows_days)
    for place, one in enumerate(spec.experiments):
        if names.count(one.name) > 1:
            raise ValueError(f"experiments[{place}].name: '{one.name}' is declared twice; give each its own")
        for covariate in one.covariates:
            if covariate not in have:
                raise ValueError(
                    f"experiments[{place}].covariates: '{covariate}' is no number of a user's row; have "
                    f"{', '.join(have)}{nearest(covariate, list(have))}"
                )


def k_fits(spec: "Recommender") -> None:
    """Refuse lists that are longer than any may be."""
    if spec.serving.k > spec.serving.max_k:
        raise ValueError(f"serving.k: {spec.serving.k} is above serving.max_k {spec.serving.max_k}; raise max_k")


def policy_guards_what_is_there(spec: "Recommender") -> None:
    """Refuse to protect a placement that no request can name: nothing would be protected, in silence."""
    have = list(spec.placements)
    for name in spec.policy.guard.placements:
        if name not in have:
            told = f"have {', '.join(have)}{nearest(name, have)}" if have else "declare `placements`"
            raise ValueError(f"policy.guard.placements: '{name}' is no placement; {told}")
    if spec.policy.explores and spec.policy.candidates < spec.serving.k:
        raise ValueError(
            f"policy.candidates: {spec.policy.candidates} is below serving.k {spec.serving.k}, so nothing else "
            "could be shown; raise it"
        )


def a_model_may_order_lists(spec: "Recommender") -> None:
    """Refuse a model that orders what a policy draws, whose propensities would be of another list; or people."""
    if spec.content.model is None or spec.content.model.rerank is None:
        return
    if spec.policy.explores:
        raise ValueError("content.model.rerank: policy draws the lists, and says how likely each was; leave one out")
    if spec.data.items_are_users:
        raise ValueError("content.model.rerank: items are users, whose names are shown to no model; leave it out")


def rules_can_be_kept(spec: "Recommender") -> None:
    """Refuse rules that contradict each other, or ask what nothing here says; columns of items the door knows."""
    if not spec.rules and not spec.placements:
        return
    names, most, ranking = [rule.name for rule in spec.rules], spec.serving.max_k, spec.models.ranking
    require_known_placements(spec.rules, spec.placements)
    for place, placement in spec.placements.items():
        if (placement.k or 0) > most:
            raise ValueError(f"placements.{place}.k: {placement.k} is above serving.max_k {most}; raise max_k")
    for number, rule in enumerate(spec.rules):
        where = f"rules[{number}]"
        if names.count(rule.name) > 1:
            raise ValueError(f"{where}.name: '{rule.name}' is there twice; give each rule a name of its own")
        if isinstance(rule, Pin) and rule.place > most:
            raise ValueError(f"{where}.place: {rule.place} is above serving.max_k {most}; no list is so long")
        if ranking.exclude_self and names_items(rule):
            raise ValueError(f"{where}: items are users, and no rule names one; say it by columns of users")
        if isinstance(rule, Shown) and ranking.impression is None:
            raise ValueError(
                f"{where}: shown needs models.ranking.impression, the kind of event that says what a user was shown"
            )
        if isinstance(rule, Bought) and rule.event is not None and rule.event not in ranking.kinds:
            have = list(ranking.kinds)
            told = f"have {', '.join(have)}{nearest(rule.event, have)}" if have else "none are declared; leave it out"
            raise ValueError(f"{where}.event: '{rule.event}' is no kind of models.ranking.kinds; {told}")
    from components.ranking.rules import clashes  # numpy, which only specs with rules pay for

    clashes.require_no_pins_clash(spec.rules)
