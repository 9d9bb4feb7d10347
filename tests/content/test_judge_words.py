"""The gate of prompts in a run: what the step leaves, what the registry makes of it, and where it hangs."""

import json
from pathlib import Path
from typing import Any

import pytest

from components.content.steps import FILE, run_judge_words
from components.registry import baseline_champion, gates
from components.verdicts import PASSED, REFUSED, UNDECIDED
from feature_repo import files
from feature_repo.errors import SpecError
from pipelines.graphs import admission, index
from pipelines.graphs.parameters import spec_slices
from tests.content.openai_server import KEY, MODEL, Behaviour, running
from tests.content.test_prompts import spec, titled

SERVING = spec_slices(spec(model={"prompt": "blurb@1"}))["serving"]


def judged(folder: Path, url: str = "", **more: Any) -> dict[str, Any]:
    endpoint = json.dumps({"url": url, "model": MODEL, "person_facts": True} | more)
    variables = {"INTENTFLOW_LLM": endpoint, "INTENTFLOW_LLM_KEY": KEY} if url else {}
    run_judge_words(SERVING, destination=folder / "found", environment=variables)
    found: dict[str, Any] = files.read_json(folder / "found" / FILE)
    return found


def said(prompt: str) -> str:
    if "title of a shelf" in prompt:
        shelf = next(line for line in prompt.splitlines() if line.startswith("- title: ")).removeprefix("- title: ")
        return f"Your {shelf} shelf"
    return titled(prompt)


def test_texts_and_titles_that_keep_their_bounds_pass_the_gate(tmp_path: Path) -> None:
    with running(Behaviour(says=said)) as url:
        found = judged(tmp_path, url)
    outcome = gates.words(found)
    assert (outcome.verdict, outcome.value, outcome.skipped) == (PASSED, 1.0, False)
    assert outcome.reason == "the prompts keep their bounds with tiny: 100% served of texts, 100% served of titles"
    assert found["judged"]["titles"]["evaluation"]["cases"] == 9


def chinese(prompt: str) -> str:
    """Say what is asked about in the language that is asked in: true in both."""
    told = dict(line[2:].split("：") for line in prompt.splitlines() if line[:2] == "- " and "：" in line)
    if not told:
        return said(prompt)
    return f"为您推荐{told['title']}。" + (f"价格{told['price']}。" if "price" in told else "")


def test_a_spec_that_names_chinese_has_it_judged_as_well(tmp_path: Path) -> None:
    serving = spec_slices(spec(model={"languages": ["en", "zh"]}))["serving"]
    behaviour = Behaviour(says=chinese)

    def found(folder: str) -> dict[str, Any]:
        variables = {"INTENTFLOW_LLM": json.dumps({"url": url, "model": MODEL}), "INTENTFLOW_LLM_KEY": KEY}
        run_judge_words(serving, destination=tmp_path / folder, environment=variables)
        judged: dict[str, Any] = files.read_json(tmp_path / folder / FILE)
        return judged

    with running(behaviour) as url:
        both = found("both")
        behaviour.says = lambda prompt: "Some tea." if "：" in prompt else said(prompt)  # English, whatever is asked
        english = found("english")
    assert list(both["judged"]) == ["texts", "titles", "texts_zh", "titles_zh"]
    assert (both["judged"]["texts_zh"]["evaluation"]["cases"], gates.words(both).verdict) == (8, PASSED)
    outcome = gates.words(english)
    assert (outcome.verdict, english["judged"]["texts"]["broken"]) == (REFUSED, [])
    assert "blurb@1: served 0% of the cases" in outcome.reason


def test_a_prompt_that_orders_lists_is_judged_by_whether_it_keeps_to_what_it_was_given(tmp_path: Path) -> None:
    serving = spec_slices(spec(model={"rerank": {}}))["serving"]
    behaviour = Behaviour(says=lambda prompt: '{"first": [2, 1]}' if "What they may" in prompt else said(prompt))

    def found(folder: str, **more: Any) -> dict[str, Any]:
        endpoint = json.dumps({"url": url, "model": MODEL, "person_facts": True} | more)
        variables = {"INTENTFLOW_LLM": endpoint, "INTENTFLOW_LLM_KEY": KEY}
        run_judge_words(serving, destination=tmp_path / folder, environment=variables)
        judged: dict[str, Any] = files.read_json(tmp_path / folder / FILE)
        return judged

    with running(behaviour) as url:
        kept, private = found("kept"), found("private", person_facts=False)
        behaviour.says = lambda prompt: '{"first": [0]}' if "What they may" in prompt else said(prompt)
        strange = found("strange")
    assert (kept["judged"]["lists"]["evaluation"]["served"], gates.words(kept).verdict) == (1.0, PASSED)
    assert "lists" not in private["judged"], "doors of that environment never ask for an order"
    assert gates.words(strange).verdict == REFUSED
    assert gates.words(strange).reason.startswith("rerank@1: took 0% of the orders; at least 60%")


def test_a_prompt_whose_texts_are_refused_holds_the_release_back_by_name(tmp_path: Path) -> None:
    with running(Behaviour(says=lambda prompt: "The best of all.")) as url:
        outcome = gates.words(judged(tmp_path, url))
    assert (outcome.verdict, outcome.value, outcome.passed) == (REFUSED, 0.0, False)
    assert outcome.reason.startswith("blurb@1: served 0% of the cases; at least 60%")
    assert outcome.reason.endswith("content.model: another prompt or model, or leave it out")


def test_without_an_endpoint_nothing_is_judged_and_the_report_says_so(tmp_path: Path) -> None:
    outcome = gates.words(judged(tmp_path))
    assert (outcome.skipped, outcome.passed) == (True, True)
    assert outcome.reason == "no text was judged: INTENTFLOW_LLM names no endpoint"


def test_an_endpoint_that_is_away_is_no_pass(tmp_path: Path) -> None:
    outcome = gates.words(judged(tmp_path, "http://127.0.0.1:9/v1"))
    assert (outcome.verdict, outcome.passed) == (UNDECIDED, False)
    assert "no text was judged: the endpoint was away; start it and run again" in outcome.reason


def test_an_endpoint_that_is_named_wrongly_ends_the_step_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="INTENTFLOW_LLM: url"):
        judged(tmp_path, "nowhere")
    assert not (tmp_path / "found").exists()


def test_a_baseline_in_the_place_of_a_release_whose_words_were_held_back_writes_fixed_sentences() -> None:
    held = {"gates": [{"metric": "words", "passed": False}, {"metric": "intent.map", "passed": True}]}
    assert baseline_champion.holds_words_back(held)
    assert baseline_champion.baselines(held, {"intent": {}, "ranking": {}}) == {}
    serving = baseline_champion.without_model(json.loads(SERVING))
    assert "model" not in serving["content"]
    assert not {"prompts", "title_prompts"} & set(serving)


@pytest.mark.parametrize("pipeline", ["train", "retrain"])
def test_the_step_hangs_where_a_spec_declares_a_model_and_its_verdict_reaches_the_registry(pipeline: str) -> None:
    def nodes(**content: Any) -> dict[str, Any]:
        return {node.step.name: node for node in index.pipeline(pipeline).graph(spec(**content)).nodes}

    asked = nodes(model={})
    assert asked["register"].inputs["words"].node.step.name == "judge_words"
    assert asked["admit"].inputs["words"] is True
    others = nodes()
    assert "judge_words" not in others
    assert "words" not in others["register"].inputs
    assert "words" not in others["admit"].inputs


def test_a_pipeline_that_was_compiled_without_the_step_refuses_such_a_spec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = spec(model={}).model_dump(mode="json", exclude_none=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match=r"spec: content.model: needs a step that judges its prompts"):
        admission.admit("grocery", document, mode="", which="", k=0, note="", words=False)


@pytest.mark.process  # a pipeline is compiled
def test_the_pipeline_with_the_step_compiles_and_the_key_reaches_that_step_alone() -> None:
    from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]

    from pipelines.environment_spec import Kubeflow
    from pipelines.graphs import conformance, layout, task_settings
    from pipelines.graphs.compute import Compute

    chosen, of = index.pipeline("train"), spec(model={})
    here = chosen.build(of)
    with task_settings.given(task_settings.Platform("grocery", Compute(), Kubeflow(host=""))):
        there = chosen.build(of)
    local, ir = (MessageToDict(one.pipeline_spec) for one in (here, there))
    assert [*conformance.problems(ir), *conformance.differences(local, ir)] == []
    assert all(len(layer.tasks) <= 7 and layer.width <= 1400 for layer in layout.layers(ir))
    pods = MessageToDict(there.platform_spec)["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    with_key = {
        name
        for name, pod in pods.items()
        if "INTENTFLOW_LLM_KEY" in {pair["secretKey"] for pair in pod["secretAsEnv"][0]["keyToEnv"]}
    }
    assert with_key == {"exec-judge-words"}
