"""What is new in a version, in words: the settings that differ, else the image, else the steps."""

from typing import Any

from pipelines.kubeflow.display_names import changed, pipeline_spec


def _ir(image: str = "steps:7", **defaults: Any) -> dict[str, Any]:
    parameters = {name: {"defaultValue": value} for name, value in defaults.items()} | {"source": {}}
    executors = {"exec-a": {"container": {"image": image}}}
    return {
        "root": {"inputDefinitions": {"parameters": parameters}},
        "deploymentSpec": {"executors": executors},
    }


def test_a_setting_is_named_by_its_place_whether_a_text_or_a_document_holds_it() -> None:
    as_text = _ir(monitoring='{"psi":0.2,"share":0.3}'), _ir(monitoring='{"psi":0.35,"share":0.3}')
    assert changed(*as_text) == "monitoring.psi 0.2 → 0.35"
    as_document = _ir(spec={"monitoring": {"psi": 0.2}}), _ir(spec={"monitoring": {"psi": 0.35}})
    assert changed(*as_document) == "monitoring.psi 0.2 → 0.35"


def test_a_setting_in_several_parameters_is_said_once_and_of_many_two_are_named() -> None:
    before = _ir(ranking='{"train_weeks":8}', serving='{"ranking":{"train_weeks":8}}')
    after = _ir(ranking='{"train_weeks":4}', serving='{"ranking":{"train_weeks":4}}')
    assert changed(before, after) == "ranking.train_weeks 8 → 4"
    assert changed(_ir(k=1, a=1, b=1), _ir(k=2, a=2, b=2)) == "a 1 → 2, b 1 → 2 and 1 more"


def test_what_came_and_what_went_and_long_values_are_cut() -> None:
    assert changed(_ir(), _ir(k=5)) == "k none → 5"
    assert changed(_ir(rules="x" * 99), _ir(rules="{half")) == f"rules {'x' * 23}… → {{half"


def test_the_same_settings_and_another_image_or_other_steps() -> None:
    assert changed(_ir(k=5), _ir("steps:8", k=5)) == "image steps:7 → steps:8"
    assert changed(_ir(k=5), _ir(k=5)) == "other steps or resources"


def test_numbers_of_a_servers_answer_are_floats_and_no_change() -> None:
    assert changed(_ir(k=10.0), _ir(k=10)) == "other steps or resources"


def test_a_server_answers_the_ir_alone_or_beside_the_platforms_document() -> None:
    ir = _ir()
    assert pipeline_spec(ir) is ir
    assert pipeline_spec({"pipeline_spec": ir, "platform_spec": {}}) is ir
    assert pipeline_spec(None) is None
    assert pipeline_spec({"spec": "an Argo workflow"}) is None
