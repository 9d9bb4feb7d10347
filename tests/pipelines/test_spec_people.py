"""What follows in a spec from items that are people, and what contradicts it."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.ranking.spec import OF_PEOPLE
from feature_repo.errors import SpecError
from pipelines import spec
from pipelines.graphs.parameters import spec_slices

SOCIAL = Path(__file__).resolve().parents[2] / "pipelines" / "specs" / "social.yaml"


def document() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(SOCIAL.read_text())
    return found


def with_ranking(**said: Any) -> dict[str, Any]:
    found = document()
    found["models"]["ranking"] |= said
    return found


def test_ranking_follows_from_items_that_are_users() -> None:
    found = spec.parse(document(), place="s").models.ranking
    assert (found.people, found.exclude_self) == (True, True)
    assert {name: found.candidates.limit(name) for name in OF_PEOPLE} == OF_PEOPLE


def test_the_spec_overrules_how_many_each_source_brings() -> None:
    found = spec.parse(with_ranking(candidates={"reciprocity": 7, "friends_of_friends": 0}), place="s")
    limits = found.models.ranking.candidates
    assert (limits.limit("reciprocity"), limits.limit("friends_of_friends"), limits.limit("adamic_adar")) == (7, 0, 50)


@pytest.mark.parametrize("said", [{}, {"candidates": {"reciprocity": 7, "friends_of_friends": 0}}])
def test_a_spec_survives_its_own_dump(said: dict[str, Any]) -> None:
    found = spec.parse(with_ranking(**said), place="s")
    assert spec.parse(found.model_dump(mode="json"), place="s") == found


def test_the_contract_of_people_asks_that_nobody_acts_on_themselves() -> None:
    found = spec.parse(document(), place="s")
    assert "user_id is other than item_id" in [rule.asks for rule in found.judged_data().contract["events"]]
    assert '"op":"!="' in spec_slices(found)["serving"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (with_ranking(exclude_self=False), "models.ranking: exclude_self: false is not allowed where items are users"),
        (
            document() | {"intents": [{"name": "message", "level": "items.item_id"}]},
            r"intents\[0\].level: items.item_id would name people one by one",
        ),
    ],
)
def test_what_contradicts_people_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        spec.parse(change, place="s")


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ({"from": "people"}, "data.source.items.from: 'people' is not allowed; use 'users'"),
        ({"from": "users", "path": "x.csv"}, "data.source.items.path: no such key; have from"),
        ({"pth": "x.csv"}, "data.source.items.pth: no such key; have .*path.*did you mean 'path'"),
        ({"columns": {}}, "data.source.items.path: is missing; add it"),
    ],
)
def test_a_mistake_in_items_names_its_place(items: dict[str, Any], said: str) -> None:
    found = document()
    found["data"]["source"]["items"] = items
    with pytest.raises(SpecError, match=said):
        spec.parse(found, place="s")


def test_items_that_are_no_users_cannot_be_ranked_as_people() -> None:
    found = copy.deepcopy(with_ranking(people=True, exclude_self=True))
    del found["data"]["source"]["items"]
    with pytest.raises(SpecError, match=r"models.ranking.people: follows from `data.source.items: \{from: users\}`"):
        spec.parse(found, place="s")
