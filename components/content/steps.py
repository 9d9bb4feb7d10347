"""The step `judge_words` in its frame: the release's slices in, an evaluation of its prompts with their model out.

Hung where a spec declares `content.model`. The endpoint is the environment's; where it names none, nothing is asked,
and the evaluation says so: doors of that environment write fixed sentences. One that is away is not judged either,
which holds a release back. components/registry makes a gate of it.
"""

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from components.content import shelves, writers
from components.content.llm import gate, prompts, settings
from components.content.llm.client import Client
from components.content.llm.spec import Model
from components.content.llm.writer import ModelWriter, Written
from components.step import Progress, step
from feature_repo import files

FILE = "words.json"
DEADLINE_MS = 30_000  # of one text: what it takes is a door's matter, with its own deadline
OF_TITLES = gate.Bounds(words=(1, 8), duplicates=1.0)  # a set of shelves with few values


def run_judge_words(serving: str, *, destination: Path, environment: Mapping[str, str] | None = None) -> None:
    """Write words.json: {named, asked, why, model, judged: {texts, titles: {prompt, broken, evaluation}}}.

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
    items = gate.cases()
    named = [replace(shelves.facts(str(one.attributes["category"]), frame=None, asked=True), frame=one.frame)
             for one in items if "category" in one.attributes]  # fmt: skip
    fixed, made = writers.named(writers.DEFAULT), dict[str, list[Written]](texts=[], titles=[])
    try:
        for place, one in enumerate(items):
            made["texts"].append(await texts.whole(one, fixed.write(one, max_attributes=5)))
            progress.at((place + 1) / (len(items) + len(named)))
        for one in named:
            made["titles"].append(await titles.whole(one, shelves.title(one, "en")))
    finally:
        await client.close()
    gone = sorted(
        {one.fallback for ones in made.values() for one in ones if one.fallback in ("away", "refused")} - {None}
    )
    judged = {
        "texts": _told(spec.prompt, gate.evaluate(made["texts"], items), gate.Bounds()),
        "titles": _told(spec.titles, gate.evaluate(made["titles"], named), OF_TITLES),
    }
    why = f"the endpoint was {gone[0]}" if gone else ""
    return {"named": True, "asked": not gone, "why": why, "model": found[0].model, "judged": {} if gone else judged}


def _told(prompt: str, evaluation: gate.Evaluation, bounds: gate.Bounds) -> dict[str, Any]:
    return {"prompt": prompt, "broken": evaluation.broken(bounds), "evaluation": asdict(evaluation)}
