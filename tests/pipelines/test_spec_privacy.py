"""What a spec may say of private training and of pretraining, and what it may not."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from feature_repo.errors import SpecError
from pipelines import spec

GROCERY: dict[str, Any] = spec.split(yaml.safe_load(Path("pipelines/specs/grocery.yaml").read_text()))[0]
GROCERY["models"]["intent"] = {"architecture": "transformer"}  # which takes either, as not every architecture does


def asked(intent: dict[str, Any], **promotion: Any) -> spec.Recommender:
    document = copy.deepcopy(GROCERY)
    document["models"]["intent"] = document["models"].get("intent", {}) | intent
    document["promotion"] = document.get("promotion", {}) | promotion
    return spec.parse(document, place="shop.yaml")


@pytest.mark.parametrize(
    ("intent", "promotion", "told"),
    [
        (
            {"privacy": {"epsilon": 3}},
            {"refit": True},
            "promotion.refit: trains once more, which models.intent",
        ),
        ({"privacy": {"epsilon": 0}}, {}, "models.intent.privacy.epsilon: 0 is wrong: input should be greater than 0"),
        ({"privacy": {}}, {}, "models.intent.privacy.epsilon: is missing; add it"),
        ({"privacy": {"epsilon": 1, "sigma": 2}}, {}, "models.intent.privacy.sigma: no such key; have clip, compare"),
        ({"pretrain": {"task": "maskd"}}, {}, "models.intent.pretrain.task: 'maskd' is not allowed; use 'masked' or"),
        ({"pretrain": {"epochs": 0}}, {}, "models.intent.pretrain: epochs: 0 without source pretrains nothing"),
    ],
)
def test_a_mistake_is_one_line(intent: dict[str, Any], promotion: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=re.escape(f"shop.yaml: {told}")):
        asked(intent, **promotion)


def test_what_is_said_survives_the_form_of_a_run() -> None:
    from pipelines.graphs.parameters import form, spec_slices

    found = asked({"privacy": {"epsilon": 3}})
    again = spec.parse(form(found)["spec"], place="form")
    assert again == found
    assert (
        '"privacy":{"clip":10.0,"compare":true,"delta":1e-05,"epsilon":3.0,"rows":4}'
        in spec_slices(again)["intent_model"]
    )
    pretrained = asked({"pretrain": {"source": "./other/intent@0123456789ab"}})
    assert spec.parse(form(pretrained)["spec"], place="form") == pretrained


def test_specs_that_say_neither_have_the_digest_of_before() -> None:
    assert "privacy" not in asked({}).model_dump(mode="json")["models"]["intent"]
    assert asked({}).digest == spec.parse(copy.deepcopy(GROCERY), place="shop.yaml").digest
