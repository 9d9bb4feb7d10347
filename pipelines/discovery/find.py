"""`intentflow find SPEC WORDS`: items whose texts are near to some words, by the vectors that the spec declares.

With `--expand` the language model adds words, of those that the catalogue's own texts hold, before the search. It is
for a person at a terminal: a door has no encoder. The words of a search leave for the model only where they hold no
address and no number of a person.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.content.llm.settings import LLM
from components.content.llm.spec import Model
from components.content.llm.store import Store
from components.content.reader import expansion
from components.content.reader.asking import Reader
from components.content.reader.expansion import Expansion
from feature_repo import columns
from feature_repo.errors import SpecError
from feature_repo.item_vectors import unit
from pipelines.discovery import item_texts
from pipelines.discovery.item_texts import ItemTexts, Say
from pipelines.environment import Installation
from pipelines.releases import words

DEADLINE_MS = 30_000
SHARE = 0.5  # of the added words in the vector that is searched by


@dataclass(frozen=True)
class Nearest:
    """An item and its cosine to the search."""

    item: int
    cosine: float


def find(place: Installation, query: str, *, k: int, expand: bool, say: Say) -> tuple[dict[str, Any], str]:
    """Return the nearest items, as a document and as text."""
    from components.vectors import encoders

    if not query.strip():
        raise SpecError("find: no words to look for; write some, such as: intentflow find SPEC 'rye bread'")
    item_texts.require_texts(place, "find", why="compares words with items by the vectors of their texts")
    found = item_texts.of_last_run(place)
    vectors, known = item_texts.vectors_of(place, found, say)
    assert place.spec.vectors is not None
    assert place.spec.vectors.text is not None
    encoder = encoders.opened(place.spec.vectors.text.encoder, place.spec_path.absolute().parent)
    wider = _wider(place, found, query, say) if expand else None
    best = nearest(sought(encoder, query, wider), vectors, known, k=k)
    return _told(found, query, best, wider)


def sought(encoder: Any, query: str, wider: Expansion | None) -> np.ndarray:
    """Return what is searched by, of length 1 [D]: the query's vector, and with half its weight that of added words."""
    own = unit(np.asarray(encoder.encode([query]), np.float32))
    if wider is None or not wider.words:
        return np.asarray(own[0])
    added = unit(np.asarray(encoder.encode([" ".join(wider.words)]), np.float32))
    return np.asarray(unit(own + SHARE * added)[0])


def nearest(sought_by: np.ndarray, vectors: np.ndarray, known: np.ndarray, *, k: int) -> list[Nearest]:
    """Return the k items that are nearest, ties by item; none without a vector, and none that shares nothing."""
    cosine = np.where(known, vectors @ sought_by, -1.0)
    order = np.lexsort((np.arange(len(cosine)), -cosine))[:k]
    return [Nearest(int(item), float(cosine[item])) for item in order if cosine[item] > 0]


def _wider(place: Installation, found: ItemTexts, query: str, say: Say) -> Expansion:
    spec = place.spec.content.model or Model()
    with words.at_hand(place) as at_hand:
        if at_hand is None:
            raise SpecError(
                f"--expand: {LLM} names no endpoint, and no packaged model is installed; drop it, or set one"
            )
        client, where = at_hand
        say(f"more words by {client.endpoint.model} ({where}) …")

        async def run() -> Expansion:
            reader = Reader(client, spec.budget, Store(place.home))
            have = {word for text in set(found.texts) for word in expansion.words_of(text)}
            try:
                return await expansion.expanded(reader, query, have, deadline_ms=DEADLINE_MS)
            finally:
                await client.close()

        return asyncio.run(run())


def _told(found: ItemTexts, query: str, best: list[Nearest], wider: Expansion | None) -> tuple[dict[str, Any], str]:
    ids, titled = found.ids, columns.TITLE in found.items.column_names
    titles = found.items[columns.TITLE].to_pylist() if titled else found.texts
    items = [{"item_id": ids[one.item], "title": titles[one.item], "cosine": round(one.cosine, 4)} for one in best]
    lines = [f"{one['cosine']:.4f}  {one['item_id']}  {one['title']}" for one in items] or ["nothing is near"]
    if wider is None:
        return {"query": query, "items": items}, "\n".join(lines)
    if wider.fallback:
        lines.insert(0, f"no words were added: {wider.fallback}")
    elif not wider.words:
        lines.insert(0, "no words were added: the catalogue has none of the model's")
    else:
        lines.insert(0, f"searched also by {', '.join(wider.words)}")
    more = {"words": list(wider.words), "dropped": list(wider.dropped), "fallback": wider.fallback}
    return {"query": query, "expansion": more, "items": items}, "\n".join(lines)
