"""The Katib Experiment of a search: every key is one of the published models, and the TrainJob within fits its schema.

Katib's API, and its Python models, take unknown keys without a word; the walk here does not.
"""

import json
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from components.distributed.settings import Trainer
from components.intent.search.__main__ import parsed
from components.intent.search.experiment import POD, experiment
from components.intent.spec import IntentModel
from feature_repo.checkout import K8S
from pipelines.cli import main
from tests.k8s import schemas

katib = pytest.importorskip("kubeflow_katib_api.models", reason="kubeflow-katib-api is not installed")

SPACE = {
    "architecture": ["lstm", "gbdt"],
    "learning_rate": {"low": 1e-4, "high": 0.1, "log": True},
    "dropout": {"low": 0, "high": 0.3},
    "width": {"low": 16, "high": 128},
    "trees.learning_rate": [0.05, 0.1],
}
MODEL = IntentModel.model_validate({"seed": 3, "search": {"trials": 9, "space": SPACE}})


def made(**more: Any) -> dict[str, Any]:
    given = {
        "intents": '[{"name": "$(visit)"}]',
        "ranking_weeks": 4,
        "rows": "/state/rows",
        "settings": Trainer(gpus=2),
    }
    return experiment("shop-1", MODEL, **(given | more))


def unknown(document: Any, kind: Any, place: str = "") -> Iterator[str]:
    """Yield keys that a published model does not have, at any depth."""
    for argument in typing.get_args(kind):
        if argument is not type(None):
            yield from unknown(document, argument, place)
            return
    if isinstance(document, list):
        for one in document:
            yield from unknown(one, kind, f"{place}[]")
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = {info.alias or name: info.annotation for name, info in kind.model_fields.items()}
        for key, value in document.items():
            if key in fields:
                yield from unknown(value, fields[key], f"{place}.{key}")
            else:
                yield f"{place}.{key}"


def test_every_key_is_one_of_katib_s_and_every_value_of_its_type() -> None:
    found = made()
    assert list(unknown(found, katib.V1beta1Experiment)) == []
    read = katib.V1beta1Experiment.model_validate(found)  # strict types: a number where a text belongs is refused
    assert read.to_dict() == found, "nothing is lost on the way"


@pytest.mark.parametrize(
    "place", [("spec", "maxTrials"), ("spec", "objective", "goals"), ("spec", "trialTemplate", "retainAll")]
)
def test_the_walk_finds_a_key_that_the_models_pass_over(place: tuple[str, ...]) -> None:
    found = json.loads(json.dumps(made()))
    inner = found
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = 1
    katib.V1beta1Experiment.model_validate(found)
    assert list(unknown(found, katib.V1beta1Experiment)) == ["." + ".".join(place)]


def test_the_trial_is_a_trainjob_of_the_published_schema() -> None:
    job = made()["spec"]["trialTemplate"]["trialSpec"]
    assert "name" not in job["metadata"], "Katib names it"
    assert list(schemas.problems(job | {"metadata": job["metadata"] | {"name": "trial"}})) == []
    assert job["spec"]["trainer"]["resourcesPerNode"] == {"limits": {"nvidia.com/gpu": 1}}
    assert '[{"name": "$$(visit)"}]' in job["spec"]["trainer"]["args"], "Kubernetes would put a variable there"


def test_parameters_are_the_space_and_each_has_its_place_in_the_trial() -> None:
    spec = made()["spec"]
    assert {one["name"]: (one["parameterType"], one["feasibleSpace"]) for one in spec["parameters"]} == {
        "architecture": ("categorical", {"list": ["lstm", "gbdt"]}),
        "learning_rate": ("double", {"min": "0.0001", "max": "0.1", "distribution": "logUniform"}),
        "dropout": ("double", {"min": "0", "max": "0.3"}),
        "width": ("int", {"min": "16", "max": "128", "step": "8"}),
        "trees.learning_rate": ("categorical", {"list": ["0.05", "0.1"]}),
    }
    template, arguments = spec["trialTemplate"], spec["trialTemplate"]["trialSpec"]["spec"]["trainer"]["args"]
    for one in template["trialParameters"]:
        assert f"{one['reference']}=${{trialParameters.{one['name']}}}" in arguments
    assert {one["reference"] for one in template["trialParameters"]} == set(SPACE)
    assert (spec["maxTrialCount"], spec["parallelTrialCount"]) == (9, 2)
    assert spec["algorithm"]["algorithmSettings"] == [{"name": "random_state", "value": "3"}]


def test_the_pods_that_are_watched_are_those_of_the_runtime() -> None:
    runtime = yaml.safe_load((K8S / "components" / "trainer" / "runtime.yaml").read_text())
    (job,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    template = made()["spec"]["trialTemplate"]
    assert template["primaryContainerName"] == job["template"]["spec"]["template"]["spec"]["containers"][0]["name"]
    assert template["primaryPodLabels"] == POD == {"jobset.sigs.k8s.io/replicatedjob-name": job["name"]}


def test_what_katib_puts_in_is_what_a_trial_reads() -> None:
    assert MODEL.search is not None
    said = {
        "architecture": "gbdt",
        "learning_rate": "0.00123456",
        "dropout": "0.2",
        "width": "24",
        "trees.learning_rate": "0.05",
    }
    words = [f"{name}={value}" for name, value in said.items()]
    assert parsed(words, MODEL.search, architecture="lstm") == {"architecture": "gbdt", "trees.learning_rate": 0.05}
    words[0] = "architecture=lstm"
    assert parsed(words, MODEL.search, architecture="gbdt") == {
        "architecture": "lstm", "learning_rate": 0.00123, "dropout": 0.2, "width": 24,
    }  # fmt: skip


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the file of a spec with a search."""
    monkeypatch.setenv("INTENTFLOW_STATE", str(tmp_path / "state"))
    document = {
        "apiVersion": "intentflow/v1", "kind": "Recommender", "name": "shop", "intents": [{"name": "visit"}],
        "data": {"source": {"type": "csv", "events": {"path": "events.csv"}}},
        "models": {"intent": {"search": {"trials": 3, "space": SPACE}}},
    }  # fmt: skip
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump(document))
    return tmp_path / "shop.yaml"


def test_the_verb_prints_what_kubectl_applies(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["experiment", str(shop), "--rows", "/state/rows", "--parallel", "8"])
    found = yaml.safe_load(capsys.readouterr().out)
    assert (found["apiVersion"], found["kind"]) == ("kubeflow.org/v1beta1", "Experiment")
    assert list(unknown(found, katib.V1beta1Experiment)) == []
    assert found["spec"]["parallelTrialCount"] == 3, "no more at once than there are"
    assert len(found["metadata"]["name"]) <= 63


@pytest.mark.parametrize(
    ("rows", "search", "why"),
    [
        ("rows", True, "--rows: 'rows' is no folder that a pod sees"),
        ("/state/rows", False, "models.intent.search: is missing"),
    ],
)
def test_a_folder_that_no_pod_sees_and_a_spec_without_a_search_are_refused(
    shop: Path, capsys: pytest.CaptureFixture[str], rows: str, search: bool, why: str
) -> None:
    if not search:
        shop.write_text(yaml.safe_dump(yaml.safe_load(shop.read_text()) | {"models": {}}))
    with pytest.raises(SystemExit) as end:
        main(["experiment", str(shop), "--rows", rows])
    assert end.value.code == 2
    assert why in capsys.readouterr().err
