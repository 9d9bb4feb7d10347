"""The step `judge_words` in its frame: the release's slices in, an evaluation of its prompts with their model out.

Hung where a spec declares `content.model`. The endpoint is the environment's; where it names none, nothing is asked,
and the evaluation says so: doors of that environment write fixed sentences. One that is away is not judged either,
which holds a release back. components/registry makes a gate of it.
"""

import asyncio
import functools
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from components.content import shelves, writers
from components.content.facts import Described, Facts, Language
from components.content.llm import gate, prompts, settings
from components.content.llm.client import Client
from components.content.llm.spec import Model
from components.content.llm.writer import ModelWriter, Written
from components.content.reader import judged as lists_judged
from components.content.reader.asking import Reader
from components.step import Progress, step
from feature_repo import files

FILE = "words.json"
DEADLINE_MS = 30_000  # of one text: what it takes is a door's matter, with its own deadline
OF_TITLES: Mapping[Language, gate.Bounds] = {  # a set of shelves with few values
    "en": gate.Bounds(words=(1, 8), duplicates=1.0),
    "zh": gate.Bounds(words=(2, 20), duplicates=1.0),
}


def run_judge_words(serving: str, *, destination: Path, environment: Mapping[str, str] | None = None) -> None:
    """Write words.json: {named, asked, why, model, judged: {<what>: {prompt, broken, evaluation}}}.

    Judged are `texts` and `titles` of the first language, `texts_zh` and the like of others, `lists` where the model
    orders them.
    `serving` has the release's slices, JSON. Raises SpecError where the environment's endpoint is named wrongly.
    """
    with step("judge_words") as progress:
        slices = json.loads(serving)
        found = settings.read(os.environ if environment is None else environment)
        if found is None:
            about: dict[str, Any] = {
                "named": False,
                "asked": False,
                "why": f"{settings.LLM} names no endpoint",
                "judged": {},
            }
        else:
            about = asyncio.run(_judged(slices, found, progress))
        with files.written_folder(destination) as folder:
            files.write_json(folder / FILE, about)
        broken = [f"{name}: {one}" for name, told in about["judged"].items() for one in told["broken"]]
        progress.count(asked=about["asked"], broken=len(broken))
        progress.tell(words={"asked": about["asked"], "why": about["why"], "broken": broken})


async def _judged(
    slices: Mapping[str, Any], found: tuple[settings.Endpoint, str], progress: Progress
) -> dict[str, Any]:
    spec = Model.model_validate(slices["content"]["model"]).model_copy(update={"deadline_ms": DEADLINE_MS})
    client = Client(*found)
    texts = ModelWriter(client, spec, prompts.checked(spec.prompt, slices["prompts"]))
    titles = texts.titles(prompts.checked(spec.titles, slices["title_prompts"]), longest=shelves.LONGEST)
    sets = [_Set(language) for language in spec.languages or ("en",)]
    done, of = 0, sum(len(one.items) + len(one.shelves) for one in sets)
    made: dict[str, list[Written]] = {}
    try:
        for one in sets:
            for name, writer, facts in (("texts", texts, one.items), ("titles", titles, one.shelves)):
                made[name + one.language] = []
                for each in facts:
                    fixed = one.fixed(each, name)
                    made[name + one.language].append(await writer.whole(each, fixed, language=one.language))
                    done += 1
                    progress.at(done / of)
        lists = await _lists(client, spec, slices)
    finally:
        await client.close()
    gone = sorted(
        {one.fallback for ones in made.values() for one in ones if one.fallback in ("away", "refused")} - {None}
    )
    judged = {}
    for number, one in enumerate(sets):
        behind = f"_{one.language}" if number else ""  # of the first as where nobody says languages
        found_texts, found_titles = made["texts" + one.language], made["titles" + one.language]
        judged[f"texts{behind}"] = _told(
            spec.prompt, gate.evaluate(found_texts, one.items, language=one.language), gate.BOUNDS[one.language]
        )
        judged[f"titles{behind}"] = _told(
            spec.titles, gate.evaluate(found_titles, one.shelves, language=one.language), OF_TITLES[one.language]
        )
    if lists is not None and spec.rerank is not None:
        judged["lists"] = {"prompt": spec.rerank.prompt, "broken": lists.broken, "evaluation": asdict(lists)}
    why = f"the endpoint was {gone[0]}" if gone else ""
    return {"named": True, "asked": not gone, "why": why, "model": found[0].model, "judged": {} if gone else judged}


async def _lists(client: Client, spec: Model, slices: Mapping[str, Any]) -> lists_judged.Evaluation | None:
    """Judge the prompt that orders lists; None where the spec has none, or the endpoint may have no such facts."""
    if spec.rerank is None or not client.endpoint.person_facts:
        return None
    patient = spec.rerank.model_copy(update={"deadline_ms": DEADLINE_MS})
    prompt = prompts.checked(spec.rerank.prompt, slices["rerank_prompts"])
    return await lists_judged.evaluated(Reader(client, spec.budget), patient, prompt)


@dataclass(frozen=True)
class _Set:
    """The fixed set of one language: items, and the shelves of their categories."""

    language: Language

    @functools.cached_property
    def items(self) -> list[Facts]:
        return gate.cases(self.language)

    @functools.cached_property
    def shelves(self) -> list[Facts]:
        return [replace(shelves.facts(str(one.attributes["category"]), frame=None, asked=True), frame=one.frame)
                for one in self.items if "category" in one.attributes]  # fmt: skip

    def fixed(self, facts: Facts, name: str) -> Described:
        """Return the fixed sentences of an item, or a shelf's fixed title."""
        if name == "titles":
            return shelves.title(facts, self.language)
        return writers.of(writers.DEFAULT, self.language).write(facts, max_attributes=5)


def _told(prompt: str, evaluation: gate.Evaluation, bounds: gate.Bounds) -> dict[str, Any]:
    return {"prompt": prompt, "broken": evaluation.broken(bounds), "evaluation": asdict(evaluation)}
