"""Rules and placements in a spec: what is refused when it is loaded, and that old specs stay as they were."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from feature_repo.errors import SpecError
from pipelines.answers.explain import _rule_lines
from pipelines.graphs.parameters import spec_slices
from pipelines.spec import parse

SPEC = yaml.safe_load((Path(__file__).parents[2] / "pipelines/specs/shop-events.yaml").read_text())
NO_BEER = {"kind": "filter", "name": "no beer", "where": "category = 'BEER'"}
EXPLORES = {"name": "softmax", "guard": {"share": 0.1}}


def with_rules(*rules: dict[str, Any], **more: Any) -> Any:
    return parse(copy.deepcopy(SPEC) | {"rules": list(rules)} | more, place="spec")


def pin(name: str, item: str, place: int, **more: Any) -> dict[str, Any]:
    return {"kind": "pin", "name": name, "item": item, "place": place} | more


def test_a_spec_without_rules_says_nothing_of_them() -> None:
    plain = parse(copy.deepcopy(SPEC), place="spec")
    assert not {"rules", "placements"} & plain.model_dump().keys()
    assert '"rules"' not in spec_slices(plain)["serving"]
    assert plain.digest == with_rules(placements={}).digest


def test_rules_go_into_the_release_and_into_no_training(tmp_path: Path) -> None:
    plain, ruled = parse(copy.deepcopy(SPEC), place="spec"), with_rules(NO_BEER, placements={"home": {"k": 3}})
    before, after = spec_slices(plain), spec_slices(ruled)
    assert [name for name in before if before[name] != after[name]] == ["serving"]
    again = parse(yaml.safe_load(yaml.safe_dump(ruled.model_dump(mode="json", exclude_none=True))), place="spec")
    assert again.digest == ruled.digest, "as Kubeflow's form carries it"


def test_times_are_read_as_yaml_and_as_text() -> None:
    text = yaml.safe_load("{start: 2026-12-01T00:00:00Z, end: '2026-12-24T00:00:00+01:00'}")
    (rule,) = with_rules(NO_BEER | text).rules
    assert (rule.start.isoformat(), rule.end.isoformat()) == ("2026-12-01T00:00:00+00:00", "2026-12-24T00:00:00+01:00")


@pytest.mark.parametrize(
    ("rules", "more", "said"),
    [
        ([NO_BEER | {"where": "category = BEER"}], {}, "'BEER' after 2 words is not allowed"),
        ([NO_BEER | {"kind": "fliter"}], {}, "rules[0]"),
        (
            [NO_BEER | {"placements": ["hom"]}],
            {"placements": {"home": {}}},
            "'hom' is no placement; have home; did you",
        ),
        ([NO_BEER | {"placements": ["home"]}], {}, "'home' is no placement; declare `placements`"),
        ([NO_BEER, NO_BEER], {}, "rules[0].name: 'no beer' is there twice"),
        ([pin("a", "x", 1), pin("b", "y", 1)], {}, "pin 'a': wants place 1 for 'x', and so does pin 'b' for 'y'"),
        ([pin("a", "x", 500)], {}, "rules[0].place: 500 is above serving.max_k 100"),
        ([{"kind": "shown", "name": "s", "days": 1}], {}, "rules[0]: shown needs models.ranking.impression"),
        ([{"kind": "bought", "name": "b", "days": 1, "event": "cart"}], {}, "rules[0].event: 'cart' is no kind"),
        ([], {"placements": {"home": {"k": 400}}}, "placements.home.k: 400 is above serving.max_k 100"),
        ([], {"placements": {"home": {"algorithm": "best"}}}, "placements.home.algorithm"),
        ([], {"policy": EXPLORES | {"guard": {"placements": ["hom"]}}}, "'hom' is no placement; declare `placements`"),
        (
            [],
            {"placements": {"home": {}}, "policy": EXPLORES | {"guard": {"placements": ["hom"]}}},
            "policy.guard.placements: 'hom' is no placement; have home; did you mean 'home'?",
        ),
        ([], {"policy": EXPLORES | {"candidates": 2}}, "policy.candidates: 2 is below serving.k"),
    ],
)
def test_what_cannot_be_kept_is_refused_when_the_spec_is_loaded(
    rules: list[Any], more: dict[str, Any], said: str
) -> None:
    with pytest.raises(SpecError) as refused:
        with_rules(*rules, **more)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_why_names_the_placement_and_the_rules() -> None:
    asked = {"placement": "home", "placement_algorithm": "popular"}
    asked |= {"rules": ["no beer", "advent"], "rules_unmet": ["advent"]}
    assert _rule_lines(asked) == [
        "Placement  home by popular",
        "Rules      no beer, advent; could not be kept: advent",
    ]
    assert _rule_lines({}) == []
