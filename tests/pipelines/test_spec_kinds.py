"""Kinds of events in the spec: what each part may say of them, the line that a mistake gets, and what follows."""

import re
from typing import Any

import pytest

from components.data.derived import rules_at_the_door
from components.ranking.spec import Ranking
from feature_repo.errors import SpecError
from pipelines import spec as specs
from pipelines.graphs.parameters import spec_slices
from pipelines.spec import Recommender

KINDS = {"view": 1, "cart": 3, "purchase": 5, "skip": -1, "hide": -1, "return": 0}


def document(*, data: dict[str, Any] | None = None, intents: list[Any] | None = None, **ranking: Any) -> dict[str, Any]:
    return {
        "apiVersion": "intentflow/v1",
        "kind": "Recommender",
        "name": "shop",
        "data": {"source": {"type": "csv", "events": {"path": "log.csv"}}} | (data or {}),
        "intents": intents or [{"name": "visit"}],
        "models": {"ranking": ranking},
    }


def recommender(**said: Any) -> Recommender:
    return specs.parse(document(**said), place="shop.yaml")


MISTAKES: list[tuple[dict[str, Any], str]] = [
    (
        {"kinds": KINDS, "event": "view"},
        "models.ranking: event: kinds says which kind counts; leave event out, or kinds",
    ),
    (
        {"kinds": KINDS, "weight": {"of": "value"}},
        "models.ranking: weight: kinds says how much a label is wanted; leave weight out, or kinds",
    ),
    (
        {"kinds": {"skip": -1, "login": -2}},
        "models.ranking: kinds: no kind has a weight above 0, so nothing is wanted; give one a weight above 0",
    ),
    (
        {"kinds": {"skip": -1, "login": 0}},
        "models.ranking: kinds: no kind has a weight above 0, so nothing is wanted; give one a weight above 0",
    ),
    ({"kinds": {"view": 2000}}, "models.ranking.kinds.view: 2000 is wrong: input should be less than or equal to 1000"),
    (
        {"kinds": {"view": "a"}},
        "models.ranking.kinds.view: 'a' is wrong: input should be a valid number, unable to parse",
    ),
    (
        {"kinds": KINDS, "repeat": {"purchse": "forbid"}},
        "models.ranking: repeat: 'purchse' is no kind of models.ranking.kinds; have view, cart, purchase, skip, hide, "
        "return; did you mean 'purchase'?",
    ),
    (
        {"repeat": {"purchase": "forbid"}},
        "models.ranking: repeat: 'purchase' is no kind of models.ranking.kinds; declare kinds with their weights",
    ),
    (
        {"kinds": KINDS, "repeat": {"skip": "forbid"}},
        "models.ranking: repeat: 'skip' has the weight -1, and only what was wanted can repeat; name a kind of a "
        "weight above 0, or say `hide` of one below",
    ),
    ({"kinds": KINDS, "hide": ["hid"]}, "models.ranking: hide: 'hid' is no kind of models.ranking.kinds; have view,"),
    (
        {"kinds": KINDS, "hide": ["view"]},
        "models.ranking: hide: 'view' has the weight 1; give it one below 0, such as -1",
    ),
    (
        {"kinds": KINDS, "undo": {"view": "purchase"}},
        "models.ranking: undo: 'view' has the weight 1; give it 0, or one below",
    ),
    (
        {"kinds": KINDS, "undo": {"return": "buy"}},
        "models.ranking: undo: 'buy' is no kind of models.ranking.kinds; have",
    ),
    (
        {"kinds": KINDS, "undo": {"return": "return"}},
        "models.ranking: undo: 'return' takes back 'return', which takes back itself; name another kind",
    ),
    (
        {"kinds": KINDS, "intents": [{"name": "buy", "event": "purchas"}]},
        "intents.buy.event: 'purchas' is no kind of models.ranking.kinds; have view, cart, purchase, skip, hide, "
        "return; did you mean 'purchase'?",
    ),
    (
        {"kinds": KINDS, "intents": [{"name": "leave", "event": "skip", "level": "category"}]},
        "intents.leave.event: 'skip' has the weight -1, which says that an item was not wanted; an intent is about a "
        "kind of 0 or more",
    ),
    (
        {"kinds": KINDS, "impression": "shown"},
        "models.ranking: impression: 'shown' is no kind of models.ranking.kinds; have",
    ),
    (
        {"kinds": KINDS, "impression": "view"},
        "models.ranking: impression: 'view' has the weight 1 or takes something back; to be shown an item says "
        "nothing of it: give it the weight 0, and no undo",
    ),
    (
        {"kinds": {"view": 1, "seen": 0}, "impression": "seen", "data": {"without_item": ["seen"]}},
        "data.without_item: 'seen' is models.ranking.impression, and what is shown is an item; take it out of either",
    ),
    (
        {"kinds": KINDS, "data": {"without_item": ["view"]}},
        "data.without_item: 'view' says in models.ranking whether an item was wanted, so it has one; take it out of "
        "either",
    ),
    (
        {"data": {"without_item": ["login"]}, "intents": [{"name": "enter", "event": "login", "level": "category"}]},
        "intents.enter.event: 'login' is in data.without_item, and level category is of items; leave level out, or "
        "name a kind with items",
    ),
    (
        {
            "kinds": KINDS,
            "data": {"contract": {"events": [{"expect": "one_of", "column": "event", "values": ["view", "purchase"]}]}},
        },
        "models.ranking.kinds: 'cart' is no event that data.contract allows; one_of has view, purchase",
    ),
]


@pytest.mark.parametrize(("said", "line"), MISTAKES)
def test_a_mistake_about_kinds_is_one_line(said: dict[str, Any], line: str) -> None:
    with pytest.raises(SpecError, match="^" + re.escape(f"shop.yaml: {line}")) as refused:
        recommender(**said)
    assert "\n" not in str(refused.value)


def test_a_spec_that_says_nothing_of_kinds_says_what_it_said_before() -> None:
    plain = recommender()
    assert not {"kinds", "hide", "undo", "repeat"} & plain.models.ranking.model_dump(mode="json").keys()
    assert "without_item" not in plain.data.model_dump(mode="json")
    assert plain.vocabulary_rule().keys() == {"intents", "items", "history_weeks"}
    assert all("unless" not in rule for rule in plain.judged_data().model_dump(mode="json")["contract"]["events"])


def test_what_is_declared_comes_back_from_its_slices() -> None:
    assert (
        recommender(kinds=KINDS).models.ranking.model_dump(mode="json").keys().isdisjoint({"impression", "passed_over"})
    )
    said = {"kinds": KINDS, "hide": ["hide"], "undo": {"return": "purchase"}, "repeat": {"purchase": "forbid"}}
    made = recommender(**said, data={"without_item": ["login"]})
    dumped = made.models.ranking.model_dump(mode="json")
    assert {key: dumped[key] for key in said} == said
    assert Ranking.model_validate(dumped) == made.models.ranking
    rule = made.vocabulary_rule()
    assert rule["whole_history"]
    assert rule["signs"]["bare"] == ["login"]
    assert (made.models.ranking.main_event, made.verb) == ("purchase", "bought")
    assert recommender(kinds=KINDS).digest != recommender(kinds=KINDS | {"cart": 4}).digest


def test_the_order_in_which_kinds_are_said_says_nothing() -> None:
    turned = dict(reversed(KINDS.items()))
    assert recommender(kinds=KINDS).models.ranking.signs() == recommender(kinds=turned).models.ranking.signs()


def test_events_of_other_kinds_are_set_aside_by_the_batch_and_refused_by_the_door() -> None:
    made = recommender(kinds=KINDS, data={"without_item": ["login"]})
    contract = made.judged_data().contract
    (rule,) = [rule for rule in rules_at_the_door(contract) if rule.expect == "one_of"]
    assert (rule.severity, rule.values) == ("warning", [*KINDS, "login"])
    assert rule.broken_by({"event": "puchase"})
    assert not rule.broken_by({"event": "login"})
    assert "one_of" not in {rule.expect for rule in rules_at_the_door(recommender().judged_data().contract)}
    assert '"login"' in spec_slices(made)["serving"]


def test_a_contract_s_own_rule_about_items_lets_events_without_one_pass_too() -> None:
    own = [{"expect": "not_null", "column": "item_id"}]
    made = recommender(data={"without_item": ["login"], "contract": {"events": own}})
    rules = [rule for rule in made.judged_data().contract["events"] if rule.named == ["item_id"]]
    assert [rule.unless for rule in rules] == [["login"]]  # type: ignore[union-attr]
    assert rules[0].asks == "item_id is given, but by events of kind login"
