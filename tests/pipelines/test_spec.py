"""A wrong spec is one line: place, value, what is allowed, the nearest valid name."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from components.data.row_rules import RowRule
from components.data.rules import label
from feature_repo.errors import SpecError
from pipelines import spec
from pipelines.graphs.parameters import spec_slices

SPECS = sorted(Path("pipelines/specs").glob("*.yaml"))
GROCERY: dict[str, Any] = yaml.safe_load(Path("pipelines/specs/grocery.yaml").read_text())


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_every_spec_of_the_repository_loads_and_is_short(path: Path) -> None:
    found = spec.load(path)
    assert found.name == path.stem
    assert len(path.read_text().splitlines()) <= 60


def _set(path: str, value: Any) -> Any:
    document = copy.deepcopy(GROCERY)
    *parents, last = path.split(".")
    at: Any = document
    for key in parents:
        at = at[int(key)] if key.isdigit() else at[key]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("modles", {}, "modles: no such key; have apiVersion, content, data,"),
        ("modles", {}, "; did you mean 'models'?"),
        ("models.intent.architecture", "transfomer", "models.intent.architecture: 'transfomer' is not allowed; use"),
        ("models.intent.architecture", "transfomer", "did you mean 'transformer'?"),
        (
            "data.source.type",
            "completejourny",
            "data.source.type: 'completejourny' is not allowed; use completejourney",
        ),
        ("data.contract.events.2.colum", "x", "data.contract.events[2].colum: no such key; have column, expect"),
        ("data.contract.events.2.expect", "notnull", "data.contract.events[2].expect: 'notnull' is not allowed"),
        (
            "data.contract.event",
            [],
            "data.contract.event: 'event' is not allowed; use 'events', 'items', 'users' or 'offers'",
        ),
        ("intents.0.level", "categry", "intents[0].level: 'categry' is no level; use category, or items.<column>"),
        ("intents.0.level", "categry", "did you mean 'category'?"),
        ("intents.0.name", None, "intents[0].name: is missing; add it"),
        ("intents.0.horizon_days", 0, "intents[0].horizon_days: 0 is wrong"),
        ("intents.0.horizon_days", 8, "intents.buy: horizon 8d is no whole number of weeks; use 7d or a multiple"),
        ("intents.1.name", "buy", "intents: 'buy' is declared twice"),
        ("data.timezone", "Mars", "data.timezone: 'Mars' is no IANA time zone"),
        ("serving.k", 0, "serving.k: 0 is wrong: input should be greater than or equal to 1"),
        ("serving.k", 100.5, "serving.k: 100.5 is wrong"),
        ("promotion.gates.0.metric", "intent.mp", "did you mean 'intent.map'?"),
        ("promotion.gates.0.limit", 0.5, "promotion.gates[0]: limit goes with `against: value`"),
        ("apiVersion", "intentflow/v2", "apiVersion: 'intentflow/v2' is not allowed; use 'intentflow/v1'"),
        ("name", "Grocery Shop", "name: 'Grocery Shop' is wrong"),
        ("data", None, "data: is missing; add it"),
    ],
)
def test_a_mistake_is_one_line_with_place_value_and_what_is_allowed(path: str, value: Any, said: str) -> None:
    with pytest.raises(SpecError) as error:
        spec.parse(_set(path, value), place="shop.yaml")
    assert said in str(error.value)
    assert str(error.value).startswith("shop.yaml: ")
    assert "\n" not in str(error.value)


def test_k_above_max_k_is_refused() -> None:
    with pytest.raises(SpecError, match=r"serving.k: 60 is above serving.max_k 50; raise max_k"):
        spec.parse(_set("serving", {"k": 60, "max_k": 50}), place="shop.yaml")


def test_a_file_that_is_absent_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text("a: 1")
    with pytest.raises(SpecError, match=r"shp.yaml: no such file; did you mean '.*shop.yaml'"):
        spec.load(tmp_path / "shp.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1", "line 1"),
        ("a: 1\nb: 2\na: 3\n", "line 3: the key 'a' is given twice; keep one"),
        ("- a\n", "holds no mapping"),
        ("", "holds no mapping"),
    ],
)
def test_broken_yaml_names_the_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "shop.yaml").write_text(text)
    with pytest.raises(SpecError) as error:
        spec.load(tmp_path / "shop.yaml")
    assert said in str(error.value)


def test_equal_specs_have_equal_digests_whatever_the_order_of_keys() -> None:
    turned = dict(reversed(list(GROCERY.items())))
    assert spec.parse(turned, place="a").digest == spec.parse(GROCERY, place="b").digest
    assert spec.parse(_set("serving.k", 11), place="c").digest != spec.parse(GROCERY, place="b").digest


def test_the_run_is_told_which_kinds_of_events_models_need_and_the_release_which_rules_events_keep_to() -> None:
    document = copy.deepcopy(GROCERY)
    document["models"]["ranking"]["event"] = "rate"
    told = spec_slices(spec.parse(document, place="shop.yaml"))
    asked = json.loads(told["data"])["contract"]["events"]
    assert [rule["values"] for rule in asked if rule["expect"] == "present"] == [["purchase", "rate"]]
    assert [label(rule) for rule in TypeAdapter(list[RowRule]).validate_json(json.dumps(_event_rules(told)))] == [
        "not_null(item_id)",
        "one_of(event)",
        "between(quantity)",
        "between(value)",
        "between(discount)",
        "not_null(event)",
        "finite(quantity)",
        "finite(value)",
        "finite(discount)",
    ]


def _event_rules(told: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(told["serving"])["event_rules"]
    return found


AMONG = ["network", "tifu", "frequency", "popular"]


@pytest.mark.parametrize(
    ("ranking", "weeks", "said"),
    [
        ({"choose": {"among": ["tifu", "popular"]}}, 4, "choose.among: tifu, popular lacks network"),
        ({"choose": {"among": [*AMONG, "tifoo"]}}, 4, "models.ranking.choose.among[4]: 'tifoo' is not allowed"),
        ({"choose": {"among": [*AMONG, "tifu"]}}, 4, "among: tifu stands there twice"),
        ({"choose": {"among": AMONG, "on": "test"}}, 4, "models.ranking.choose.on: 'test' is not allowed"),
        ({"choose": {"among": AMONG}}, 1, "models.ranking.choose: needs 2 or more validation steps"),
        ({"choose": {"among": AMONG}, "horizon": "21d"}, 3, "models.ranking.choose: needs 4 or more validation steps"),
        ({"diversity": {}}, 4, "models.ranking.diversity: give mmr, dpp or calibrate, one of them"),
        ({"diversity": {"mmr": 1.5}}, 4, "models.ranking.diversity.mmr: 1.5 is wrong"),
    ],
)
def test_a_choice_or_an_order_that_cannot_be_is_one_line(ranking: dict[str, Any], weeks: int, said: str) -> None:
    document = copy.deepcopy(GROCERY)
    document["models"].setdefault("ranking", {}).update(ranking)
    document["data"]["split"]["validate_weeks"] = weeks
    with pytest.raises(SpecError) as error:
        spec.parse(document, place="shop.yaml")
    assert said in str(error.value)
    assert "\n" not in str(error.value)
