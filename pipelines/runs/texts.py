"""The texts under the demo's recommendations: of what the service answered, and each with the name of who wrote it.

Fixed sentences by default. Where the extra `words` and a package with a small model are installed, that model writes
from the same facts, in this process, and what it may not say leaves the fixed sentences with the reason. No other model
is asked: where the environment names an endpoint, doors write with it (docs/words.md), and a demo spends nothing there.
"""

import asyncio
from typing import Any

from components.content import writers
from components.content.facts import Facts
from components.content.llm import local, prompts
from components.content.llm.client import Client
from components.content.llm.spec import Model
from components.content.llm.writer import ModelWriter, Written
from feature_repo import columns
from feature_repo.release_folder import RANKING
from pipelines.environment import Installation
from pipelines.releases.release import ReleasedFiles

OF_THE_MODEL = Model(prompt="blurb@2", deadline_ms=10_000, at_once=1)  # as docs/words.md has it for a laptop


def of(place: Installation, released: ReleasedFiles, answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return {item_id, text, source, model, fallback} of each recommended item; who has no model leaves those out."""
    facts, spec = _facts(place, released, answer), place.spec.content
    fixed = [writers.of(spec.prompt, "en").write(one, max_attributes=spec.max_attributes) for one in facts]
    found = [Written(one.text, one.source, one.used) for one in fixed]
    model = local.packaged() if local.installed() and facts else None
    if model is not None:
        running, endpoint = local.start(model)

        async def write() -> list[Written]:
            client = Client(endpoint)
            writer = ModelWriter(client, OF_THE_MODEL, prompts.texts(OF_THE_MODEL.prompt))
            try:
                return [await writer.whole(one, own) for one, own in zip(facts, fixed, strict=True)]
            finally:
                await client.close()

        found = asyncio.run(write())
        del running
    return [_document(one, text) for one, text in zip(facts, found, strict=True)]


def _document(facts: Facts, made: Written) -> dict[str, Any]:
    said = {"model": made.model, "fallback": made.fallback}
    told = {name: value for name, value in said.items() if value is not None}
    return {"item_id": facts.item_id, "text": made.text, "source": made.source} | told


def _facts(place: Installation, released: ReleasedFiles, answer: dict[str, Any]) -> list[Facts]:
    """Return what is known of each item of an answer that the release has: its row, its reasons, its likely intents."""
    from bentos.recommender.texts import Texts
    from feature_repo.vocabulary import Vocabulary

    words = Vocabulary.load(released.folder / RANKING / "vocabulary")
    spec, likely = place.spec, {one["name"]: float(one["probability"]) for one in answer["intents"]}
    titles = [str(one or "") for one in words.items[columns.TITLE].to_pylist()]
    texts = Texts(words, titles, spec.content, verb=spec.verb, step=spec.data.step)
    found = []
    for item in answer["items"]:
        if (index := words.index_of_item.get(item["item_id"])) is None:
            continue
        names = [words.target_names[target] for target in words.targets_of_item.get(item["item_id"], ())]
        intents = {name: likely[name] for name in names if name in likely}
        found.append(texts.facts(index, source=item["source"], reasons=item["reasons"], intents=intents))
    return found


def lines(report: dict[str, Any]) -> list[str]:
    """Return the texts as a person reads them, each with who wrote it.

    >>> lines({"texts": [{"item_id": "1", "text": "Tea.", "source": "llm@1", "model": "tiny"}]})
    ['Texts', '  1. Tea.  [llm@1, tiny]']
    >>> lines({"texts": [{"item_id": "1", "text": "Tea.", "source": "template@2", "fallback": "late"}]})[1]
    '  1. Tea.  [template@2; the model: late]'
    """
    told = report.get("texts", [])
    by = [one["source"] + (f", {one['model']}" if "model" in one else "") for one in told]
    why = [f"; the model: {one['fallback']}" if "fallback" in one else "" for one in told]
    said = [
        f"  {n}. {one['text']}  [{who}{how}]" for n, (one, who, how) in enumerate(zip(told, by, why, strict=True), 1)
    ]
    return ["Texts", *said] if said else []
