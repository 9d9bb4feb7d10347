"""The whole line that a mistake in a spec gets, and how a place in it is written."""

import copy
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import BaseModel, Field

from components.data.rules import Present
from feature_repo.errors import SpecError
from feature_repo.slice import Slice
from pipelines import spec, spec_mistakes, spec_yaml


class Cat(Slice):
    kind: Literal["cat", "tiger"]
    lives: int = Field(default=9, ge=1)


class Dog(Slice):
    kind: Literal["dog"]
    name: str


class Place(Slice):
    street: str


class Zoo(BaseModel):
    """Every way in which a location can go down."""

    model_config = {"extra": "forbid"}
    owner: Place | None = None
    pets: list[Annotated[Cat | Dog, Field(discriminator="kind")]] = []
    best: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None
    rooms: dict[Literal["hall", "yard"], Place] = {}
    pair: tuple[int, int] = (0, 0)
    colours: set[int] = set()
    either: int | str = 0
    size: Literal["small", "large"] = "small"


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (
            {"onwer": {}},
            "onwer: no such key; have best, colours, either, owner, pair, pets, rooms, size; did you mean 'owner'?",
        ),
        ({"owner": {}}, "owner.street: is missing; add it"),
        ({"owner": {"street": "a", "steet": "b"}}, "owner.steet: no such key; have street; did you mean 'street'?"),
        ({"owner": {"steet": "b"}}, "owner.steet: no such key; have street; did you mean 'street'?"),  # not: missing
        ({"owner": 5}, "owner: 5 is wrong: input should be a valid dictionary or instance of Place"),
        ({"owner": []}, "owner: input should be a valid dictionary or instance of Place"),
        ({"pets": {}}, "pets: input should be a valid list"),
        (
            {"pets": [{"kind": "cat", "lives": 0}]},
            "pets[0].lives: 0 is wrong: input should be greater than or equal to 1",
        ),
        (
            {"pets": [{"kind": "tiger", "live": 3}]},
            "pets[0].live: no such key; have kind, lives; did you mean 'lives'?",
        ),
        ({"pets": [{"kind": "cat"}, {"kind": "dog"}]}, "pets[1].name: is missing; add it"),
        (
            {"pets": [{"kind": "dgo", "name": "a"}]},
            "pets[0].kind: 'dgo' is not allowed; use cat, tiger, dog; did you mean 'dog'?",
        ),
        ({"pets": [{"lives": 3}]}, "pets[0]: is missing the key 'kind'; add it"),
        ({"best": {"kind": "dog", "nane": "a"}}, "best.nane: no such key; have kind, name; did you mean 'name'?"),
        ({"rooms": {"hall": {}}}, "rooms.hall.street: is missing; add it"),
        (
            {"rooms": {"hal": {"street": "a"}}},
            "rooms.hal: 'hal' is not allowed; use 'hall' or 'yard'; did you mean 'hall'?",
        ),
        (
            {"pair": [1, "b"]},
            "pair[1]: 'b' is wrong: input should be a valid integer, unable to parse string as an integer",
        ),
        ({"size": "lage"}, "size: 'lage' is not allowed; use 'small' or 'large'; did you mean 'large'?"),
        ({"size": 5}, "size: '5' is not allowed; use 'small' or 'large'"),
    ],
)
def test_a_mistake_names_its_place_and_what_is_allowed(document: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError) as error:
        spec_mistakes.checked(Zoo, document, place="zoo.yaml")
    assert str(error.value) == f"zoo.yaml: {told}"


def test_a_mapping_is_asked_for() -> None:
    for document in ([], "a", None, 5):
        with pytest.raises(SpecError, match=r"^zoo.yaml: holds no mapping; begin with `apiVersion: intentflow/v1`$"):
            spec_mistakes.checked(Zoo, document, place="zoo.yaml")
    assert spec_mistakes.checked(Zoo, {"size": "large"}, place="zoo.yaml").size == "large"


GROCERY: dict[str, Any] = spec.split(yaml.safe_load(Path("pipelines/specs/grocery.yaml").read_text()))[0]


def changed(**fields: Any) -> spec.Recommender:
    return spec.parse(copy.deepcopy(GROCERY) | fields, place="shop.yaml")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"name": "a" * 41},
            "name: 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' is wrong: string should have at most 40",
        ),
        ({"name": "-a"}, "name: '-a' is wrong: string should match pattern"),
        ({"intents": []}, "intents: tuple should have at least 1 item"),
        ({"intents": [{"name": f"n{n}"} for n in range(17)]}, "intents: tuple should have at most 16 items"),
        (
            {"intents": [{"name": "a"}, {"name": "b"}, {"name": "b"}]},
            "intents: 'b' is declared twice; give each intent a",
        ),
        ({"serving": {"k": 51, "max_k": 50}}, "serving.k: 51 is above serving.max_k 50; raise max_k"),
        ({"kind": "Shop"}, "kind: 'Shop' is not allowed; use 'Recommender'"),
    ],
)
def test_a_recommender_that_is_none_is_told(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=re.escape(f"shop.yaml: {told}")):
        changed(**fields)


def test_a_recommender_at_its_borders_is_one() -> None:
    assert changed(name="a" * 40).name == "a" * 40
    assert changed(serving={"k": 50, "max_k": 50}).serving.k == 50
    assert len(changed(intents=[{"name": f"n{n}"} for n in range(16)]).intents) == 16


def test_data_is_judged_by_the_kinds_of_events_that_models_are_about() -> None:
    intents = [{"name": "buy", "event": "purchase"}, {"name": "any"}, {"name": "view", "event": "view"}]
    made = changed(
        intents=intents, models={"ranking": {"event": "purchase"}}, data={"source": GROCERY["data"]["source"]}
    )
    judged = made.judged_data()
    (present,) = (rule for rule in judged.contract["events"] if isinstance(rule, Present))
    assert present.values == ["purchase", "view"]
    assert judged.model_copy(update={"contract": made.data.contract}) == made.data


def test_vocabularies_are_told_what_intents_and_ranking_need() -> None:
    intents = [{"name": "buy", "event": "purchase", "level": "items.genre", "top": 7}, {"name": "any"}]
    ranking = {"event": "view", "min_item_sessions": 3, "min_item_users": 2, "train_weeks": 5}
    assert changed(intents=intents, models={"ranking": ranking}).vocabulary_rule() == {
        "intents": [
            {"name": "buy", "event": "purchase", "column": "genre", "top": 7},
            {"name": "any", "event": None, "column": None, "top": 100},
        ],
        "items": {"event": "view", "min_sessions": 3, "min_users": 2},
        "history_weeks": 5,
    }


def test_what_the_environment_has_now_is_taken_out() -> None:
    assert spec.split({"a": 1, "compute": {}, "jobs": {"b": 2}}) == ({"a": 1}, {"compute": {}, "jobs": {"b": 2}})
    assert spec.split({"a": 1}) == ({"a": 1}, {})
    assert spec.split(["a"]) == (["a"], {})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [1", "line 1: expected ',' or ']', but got '<stream end>'; mend the YAML there"),
        ("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n", "line 5: the key 'c' is given twice; keep one"),
    ],
)
def test_yaml_that_is_broken_names_the_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as error:
        spec_yaml.read_yaml(path)
    assert str(error.value) == f"{path}: {told}"


def test_yaml_is_read_with_its_nesting_and_its_letters(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text("a: {b: [1, {c: ü}]}\n", encoding="utf-8")
    assert spec_yaml.read_yaml(path) == {"a": {"b": [1, {"c": "ü"}]}}


@pytest.mark.parametrize("text", ["&a [*a]", "- 1\n- &a\n  - *a\n", "[" * 100 + "1" + "]" * 100])
def test_yaml_without_end_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as error:
        spec_yaml.read_yaml(path)
    assert str(error.value) == f"{path}: lists and mappings in one another more than 100 deep, or one that holds itself"


def test_yaml_is_read_as_deep_as_may_be(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text("[" * 99 + "1" + "]" * 99)
    found = spec_yaml.read_yaml(path)
    for _ in range(99):
        (found,) = found
    assert found == 1


def test_ten_lines_of_aliases_that_say_a_billion_values_are_told(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "shop.yaml"
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    path.write_text("\n".join(lines))
    with pytest.raises(SpecError) as error:
        spec_yaml.read_yaml(path)
    assert str(error.value) == (
        f"{path}: more than 1,000,000 values, aliases counted as often as they stand; write fewer"
    )
    monkeypatch.setattr(spec_yaml, "LARGEST", 7)
    path.write_text("a: {b: [1, 2]}")  # three mappings or lists, two keys, two numbers
    assert spec_yaml.read_yaml(path) == {"a": {"b": [1, 2]}}
    path.write_text("a: {b: [1, 2, 3]}")
    with pytest.raises(SpecError, match="more than 7 values"):
        spec_yaml.read_yaml(path)


def test_what_is_no_yaml_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path, tmp_path / "picture"):
        with pytest.raises(SpecError) as error:
            spec_yaml.read_yaml(path)
        assert str(error.value) == f"{path}: is no YAML file; name a spec such as pipelines/specs/grocery.yaml"


def test_a_file_that_is_absent_names_one_that_is_near(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text("a: 1")
    (tmp_path / "shop.txt").write_text("a: 1")
    with pytest.raises(SpecError) as error:
        spec_yaml.read_yaml(tmp_path / "shpo.yaml")
    assert str(error.value) == f"{tmp_path}/shpo.yaml: no such file; did you mean '{tmp_path}/shop.yaml'?"
    with pytest.raises(SpecError) as error:
        spec_yaml.read_yaml(tmp_path / "absent" / "a.yaml")
    assert str(error.value) == f"{tmp_path}/absent/a.yaml: no such file"
