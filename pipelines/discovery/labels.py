"""Has the language model name discovered groups, where the spec declares one and the environment has it.

A group keeps its words as its `name`, which `--themes` writes; `label` says what the model calls it, or why it does
not. Each word and value that the model sees is one that enough users stand behind.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from components.content.llm import prompts
from components.content.llm.settings import LLM
from components.content.llm.store import Store
from components.content.llm.writer import ModelWriter
from components.content.reader import labels
from pipelines.discovery.item_texts import Say
from pipelines.environment import Installation
from pipelines.releases import words

DEADLINE_MS = 30_000  # of one name: nobody waits for it at a door
Group = dict[str, Any]


def put(place: Installation, kinds: Sequence[Sequence[Group]], say: Say) -> None:
    """Add `label` to each group, {text, source, model} or {text, source, fallback}; groups of one kind at once."""
    assert place.spec.content.model is not None
    spec = place.spec.content.model.model_copy(update={"deadline_ms": DEADLINE_MS})
    with words.at_hand(place) as found:
        if found is None:
            say(f"groups keep their words as names: content.model is declared, and {LLM} names no endpoint")
            return
        client, where = found
        say(f"names by {client.endpoint.model} ({where}) …")

        async def named() -> list[list[labels.Label]]:
            writer = ModelWriter(client, spec, prompts.texts(spec.prompt), Store(place.home))
            try:
                return [await labels.labelled(writer, list(map(_facts, of)), _names(of)) for of in kinds]
            finally:
                await client.close()

        for groups, found_labels in zip(kinds, asyncio.run(named()), strict=True):
            for group, label in zip(groups, found_labels, strict=True):
                group["label"] = label.document()


def _facts(group: Group) -> Any:
    return labels.facts(group["words"], {name: list(shares) for name, shares in group["values"].items()})


def _names(groups: Sequence[Group]) -> list[str]:
    return [str(group["name"]) for group in groups]
