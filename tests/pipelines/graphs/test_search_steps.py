"""The step of a search hangs where a spec asks for one and nowhere else; what it decides reaches whoever trains."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from feature_repo.errors import SpecError
from pipelines import plan, spec
from pipelines.environment import place
from pipelines.graphs import admission, index, parameters
from pipelines.graphs.compute import Compute
from pipelines.graphs.graph import RETURNED, Node
from pipelines.spec import Recommender
from tests.pipelines.test_environment import CLUSTER

SEARCH = {"trials": 4, "space": {"learning_rate": {"low": 1e-3, "high": 1e-2, "log": True}}}


def document(search: dict[str, Any] | None) -> dict[str, Any]:
    head = {"apiVersion": "intentflow/v1", "kind": "Recommender", "name": "shop"}
    data = {"source": {"type": "csv", "events": {"path": "events.csv"}}}
    intent = {"search": search} if search else {}
    return head | {"data": data, "intents": [{"name": "visit"}], "models": {"intent": intent}}


def made(search: dict[str, Any] | None = SEARCH) -> Recommender:
    return spec.parse(document(search), place="test")


def nodes(pipeline: str, of: Recommender) -> dict[str, Node]:
    return {node.step.name: node for node in index.pipeline(pipeline).graph(of).nodes}


@pytest.mark.parametrize("pipeline", ["train", "retrain"])
def test_it_hangs_before_training_and_its_settings_reach_who_trains_and_refits(pipeline: str) -> None:
    found = nodes(pipeline, made())
    for trainer in ("train_intent", "refit_intent"):
        given = found[trainer].inputs["model"]
        assert (given.node.step.name, given.key) == ("search_intent", RETURNED)
    assert found["register"].inputs["search"].node.step.name == "search_intent"
    assert found["admit"].inputs["searches"] is True


@pytest.mark.parametrize("pipeline", ["train", "retrain", "batch"])
def test_where_nothing_is_searched_nothing_hangs(pipeline: str) -> None:
    found = nodes(pipeline, made(None))
    assert "search_intent" not in found
    assert "searches" not in found["admit"].inputs
    for name in ("train_intent", "register"):
        assert name not in found or "search" not in found[name].inputs
    if "train_intent" in found:
        assert found["train_intent"].inputs["model"].node.step.name == "admit"


def test_a_form_that_asks_for_a_search_of_a_pipeline_without_the_step_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        SpecError, match=r"spec: models.intent.search: needs a step that this pipeline was not compiled"
    ):
        admission.admit("shop", document(SEARCH), mode="", which="", k=0, note="", searches=False)


def test_without_optuna_the_first_step_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SpecError, match=r"models.intent.search: Optuna is not installed here"):
        admission.admit("shop", document(SEARCH), mode="", which="", k=0, note="")


def test_plan_lists_the_step_where_a_spec_searches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "events.csv").write_text("user_id,item_id,timestamp\n1,2,2024-01-01\n")
    found = {}
    for name, search in (("with", SEARCH), ("without", None)):
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(document(search)))
        found[name] = plan.plan(place(path, "local", variables={"INTENTFLOW_STATE": str(tmp_path / "state")})).steps
    assert "search_intent" in found["with"]
    assert set(found["with"]) - set(found["without"]) == {"search_intent"}


@pytest.mark.process
def test_plan_of_a_search_imports_neither_optuna_nor_torch(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("user_id,item_id,timestamp\n1,2,2024-01-01\n")
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump(document(SEARCH)))
    code = (
        "import sys; from pipelines.cli import main\n"
        f"main(['plan', {str(tmp_path / 'shop.yaml')!r}])\n"
        "print('HEAVY', sorted({'torch', 'optuna', 'kfp', 'sqlalchemy'} & set(sys.modules)))"
    )
    variables = os.environ | {"INTENTFLOW_STATE": str(tmp_path / "state")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=variables)
    assert "search_intent" in done.stdout
    assert "HEAVY []" in done.stdout


def test_the_code_of_a_search_is_part_of_the_digest_of_specs_that_search() -> None:
    assert parameters.codes(made())["intent_code"] != parameters.codes(made(None))["intent_code"]


@pytest.mark.process  # a pipeline is compiled
def test_the_pipeline_compiles_the_same_on_both_sides(tmp_path: Path) -> None:
    from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]

    from pipelines.environment_spec import Kubeflow
    from pipelines.graphs import conformance, layout, task_settings

    chosen = index.pipeline("train")
    asked = document(SEARCH)
    asked["intents"].append({"name": "leave", "ends": True, "horizon": "session"})  # the fullest group of models
    every = spec.parse(asked, place="test")
    here = chosen.build(every)
    with task_settings.given(task_settings.Platform("shop", Compute(), Kubeflow(host=""))):
        there = chosen.build(every)
    local, ir = (MessageToDict(one.pipeline_spec) for one in (here, there))
    assert [*conformance.problems(ir), *conformance.differences(local, ir)] == []
    assert all(len(layer.tasks) <= 7 and layer.width <= 1420 for layer in layout.layers(ir))
    platform = MessageToDict(there.platform_spec)["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    keys = {pair["secretKey"] for pair in platform["exec-search-intent"]["secretAsEnv"][0]["keyToEnv"]}
    assert "INTENTFLOW_SEARCH_STORAGE" in keys
    others = {pair["secretKey"] for pair in platform["exec-train-intent"]["secretAsEnv"][0]["keyToEnv"]}
    assert "INTENTFLOW_SEARCH_STORAGE" not in others


def test_a_search_whose_pod_would_be_stopped_first_is_refused_on_a_cluster(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump(document(SEARCH | {"minutes": 1400})))
    at = place(tmp_path / "shop.yaml", "cluster", variables=CLUSTER | {"INTENTFLOW_STATE": str(tmp_path / "state")})
    with pytest.raises(SpecError) as refused:
        plan.plan(at)
    assert str(refused.value) == (
        "models.intent.search.minutes: 1400 and 60 for the last trial are more than the 1440 after which the step's "
        "pod is stopped; use at most 1380, or give the environment `compute: {steps: {search_intent: {minutes: 1460}}}`"
    )


@pytest.mark.process  # kfp is imported
def test_nor_is_its_pipeline_compiled_for_one(tmp_path: Path) -> None:
    from pipelines.environment_spec import Kubeflow
    from pipelines.graphs.kfp_pipeline import compile_ir

    with pytest.raises(SpecError, match=r"models.intent.search.minutes: 1400 and 60 for the last trial"):
        compile_ir(made(SEARCH | {"minutes": 1400}), tmp_path / "ir.yaml", kubeflow=Kubeflow(host=""))
    assert not (tmp_path / "ir.yaml").exists()


@pytest.mark.parametrize(("minutes", "longest"), [(1380, None), (1400, 1460), (10_020, 10_080)])
def test_one_that_ends_in_time_is_taken(minutes: int, longest: int | None) -> None:
    steps = {} if longest is None else {"search_intent": {"minutes": longest}}
    Compute.model_validate({"steps": steps}).require_time(made(SEARCH | {"minutes": minutes}).models.intent.search)


def test_no_step_is_given_more_than_a_week() -> None:
    with pytest.raises(SpecError, match=r"use at most 1380$"):
        Compute().require_time(made(SEARCH | {"minutes": 10_080}).models.intent.search)
