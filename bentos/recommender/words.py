"""Has the model write what /describe says, whole or word by word as server-sent events, name shelves, and order lists.

The door's own answer comes first, in fixed sentences, with its rights, its log line and its deadline. The model then
rewrites its texts in the server's event loop, so that no thread of the door waits for it. What goes wrong with the
model is no error of the request: the fixed sentences stand, and say why.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bentos.endpoints.describe import Descriptions
from bentos.endpoints.recommend import Order, Recommendations
from bentos.endpoints.schemas import Description
from bentos.endpoints.shelves import Shelves
from bentos.http import sse
from bentos.http.request_context import RequestContext
from bentos.recommender.metrics import Metrics
from bentos.recommender.texts import Draft
from bentos.release import Release
from components.content import shelves
from components.content.facts import Described, Language
from components.content.llm import settings
from components.content.llm.client import Client
from components.content.llm.spec import Rerank
from components.content.llm.store import Store
from components.content.llm.writer import ModelWriter, Piece, Written
from components.content.reader.asking import Reader
from components.content.reader.rerank import reranked

log = logging.getLogger("intentflow.door")


def opened(release: Release, home: Path, metrics: Metrics) -> "Words | None":
    """Return the release's model writer; None where the release asks for none, or the environment names no endpoint."""
    found = settings.read(os.environ)  # also where no release asks: a mistake in it is said at the start
    if release.content.model is None or release.prompts is None:
        return None
    if found is None:
        log.warning("content.model: no endpoint in %s; texts are fixed sentences", settings.LLM)
        return None
    endpoint, key = found
    writer = ModelWriter(Client(endpoint, key), release.content.model, release.prompts, Store(home))
    titles = None if release.title_prompts is None else writer.titles(release.title_prompts, longest=shelves.LONGEST)
    reader = None
    if (asks := release.content.model.rerank) is not None and release.rerank_prompts is not None:
        at_once = release.content.model.at_once
        reader = ListReader(
            Reader(writer.client, writer.spec.budget, writer.store, at_once), asks, release.rerank_prompts
        )
    return Words(writer, metrics, titles, reader)


@dataclass(frozen=True)
class ListReader:
    """Orders lists of who had little yet."""

    reader: Reader
    spec: Rerank
    prompts: Mapping[Language, str]


@dataclass(frozen=True)
class Words:
    """Rewrites answers. Use it from one event loop."""

    writer: ModelWriter
    metrics: Metrics
    titles: ModelWriter | None = None  # of shelves; None: a release made before there were such prompts
    reader: ListReader | None = None  # None: the release asks for none

    async def ordered(self, answer: Recommendations, context: RequestContext) -> Recommendations:
        """Return the items in the model's order and log them so; in the ranker's where it gives none in time."""
        draft = context.draft
        if draft is None or self.reader is None:
            if draft is not None:
                draft.log(answer.items, "")
            return answer
        spec, left_s = self.reader.spec, context.left_s
        if left_s is not None:
            spec = spec.model_copy(update={"deadline_ms": min(spec.deadline_ms, int(1000 * left_s))})
        found = await reranked(
            self.reader.reader, spec, self.reader.prompts, history=draft.history, items=draft.items
        )  # fmt: skip
        self.metrics.ordered(found.fallback or "ordered", found.cost)
        items = [answer.items[place] for place in found.order]
        draft.log(items, found.fallback or found.source)
        order = Order(source=found.source, model=found.model, fallback=found.fallback)
        return answer.model_copy(update={"items": items, "reranked": order})

    async def titled(self, answer: Shelves, context: RequestContext) -> Shelves:
        """Return shelves with the model's titles, all at once; two that it calls the same keep their fixed words."""
        drafts = answer.drafts()
        if self.titles is None or not drafts or context.mirrored:
            return answer
        fixed = [Described(one.title, one.source, ()) for one in answer.shelves]
        texts = await asyncio.gather(
            *(
                self.titles.whole(d.facts, f, language=d.language, person=d.person)
                for d, f in zip(drafts, fixed, strict=True)
            )
        )
        said = [text.text.rstrip(".").lower() for text in texts]
        made = []
        for one, text, mine in zip(answer.shelves, texts, said, strict=True):
            outcome = text.fallback or ("alike" if said.count(mine) > 1 else None)
            self.metrics.text(
                one.source if outcome else text.source, outcome or ("cached" if text.cached else "served")
            )
            if outcome:
                made.append(one.model_copy(update={"fallback": outcome}))
                continue
            self.metrics.words_took(text)
            title = {"title": text.text.rstrip("."), "source": text.source, "model": text.model}
            made.append(one.model_copy(update=title))
        return answer.model_copy(update={"shelves": made})

    async def whole(self, answer: Descriptions, context: RequestContext) -> Descriptions:
        """Return an answer with the model's texts, all of its items at once."""
        drafts = answer.drafts()
        if not drafts or context.mirrored:  # nobody reads a copy's text
            return answer
        made = [self.writer.whole(d.facts, _fixed(one), language=d.language, person=d.person)
                for d, one in zip(drafts, answer.items, strict=True)]  # fmt: skip
        texts = await asyncio.gather(*made)
        items = [self._served(one, text) for one, text in zip(answer.items, texts, strict=True)]
        return answer.model_copy(update={"items": items})

    async def events(self, answer: Descriptions, context: RequestContext) -> AsyncIterator[bytes]:
        """Yield server-sent events: `token` as words come, `retract` where they are taken back, `item`, then `done`."""
        drafts: Sequence[Draft | None] = answer.drafts() or [None] * len(answer.items)
        for one, draft in zip(answer.items, drafts, strict=True):
            if draft is None or context.mirrored:
                yield sse.event("item", _document(one))
                continue
            async for made in self.writer.write(draft.facts, _fixed(one), language=draft.language, person=draft.person):
                if isinstance(made, Written):
                    yield sse.event("item", _document(self._served(one, made)))
                elif made.retract:
                    yield sse.event("retract", {"item_id": one.item_id})
                elif made.text:
                    yield _token(one, made)
        yield sse.event("done", answer.model_dump(mode="json", exclude={"items"}))

    def _served(self, one: Description, made: Written) -> Description:
        """Count a text, and return it as the answer has it."""
        self.metrics.text(made.source, made.fallback or ("cached" if made.cached else "served"))
        if made.fallback is None:
            self.metrics.words_took(made)
        return one.model_copy(
            update={
                "text": made.text,
                "source": made.source,
                "attributes": list(made.used),
                "model": made.model,
                "fallback": made.fallback,
            }
        )


def _fixed(one: Description) -> Described:
    return Described(one.text, one.source, tuple(one.attributes))


def _token(one: Description, made: Piece) -> bytes:
    return sse.event("token", {"item_id": one.item_id, "text": made.text})


def _document(one: Description) -> dict[str, Any]:
    return one.model_dump(mode="json")
