"""The language model as a reader, each use on and off: summaries, a widened search, names of groups, ordered lists.

    python -m benchmarks.reader --json              # a made shop whose answers are known
    python -m benchmarks.reader --quick             # a few of each

The model is the endpoint of INTENTFLOW_LLM, or a file that xllamacpp runs here (--model FILE). Without either `off`
alone is measured. Nothing here is trained: `off` of lists is an order by chance, `best` one that knows the taste.
"""

import argparse
import asyncio
import os
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from benchmarks import script
from benchmarks.content import BRANDS, SHELF
from components.content.facts import Facts
from components.content.llm import local, prompts, settings
from components.content.llm.client import Client
from components.content.llm.spec import Budget, Model, Rerank
from components.content.llm.writer import ModelWriter
from components.content.reader import expansion, labels, rerank, summaries
from components.content.reader.asking import Reader
from components.vectors import build, encoders
from components.vectors.spec import Vectors
from feature_repo.item_vectors import text_digest, text_of, unit
from pipelines.discovery import find

HERE = 3_600_000  # ms: no deadline, so that a busy machine changes no figure but the seconds
NEAR, FOUND, LISTED = 2, 3, 10  # neighbours, items found, items of a list
SEARCHES = {  # what somebody looks for without the catalogue's words: the category that they mean
    "starter for a cold evening": "SOUP",
    "Italian noodles": "PASTA",
    "hot drink that wakes you up": "COFFEE",
    "sweets": "CANDY",
    "dairy breakfast": "YOGURT",
    "side dish from Asia": "RICE",
    "bouillon": "SOUP",
    "cappuccino": "COFFEE",
    "treats for children": "CANDY",
    "grain": "RICE",
}
USES = ("summaries", "expansion", "labels", "rerank")
Items = list[tuple[str, str, str]]  # title, category, brand
Found = TypeVar("Found")


def main() -> None:
    """Measure and print."""
    asked = script.parser(__doc__, trained=False)
    asked.add_argument("--model", type=Path, help="a .gguf file to run here; the packaged one where there is one")
    asked.add_argument("--only", choices=USES, action="append", help="measure this use alone; may be said again")
    asked.add_argument("--users", type=int, default=30, help="users whose lists are ordered")
    script.main(asked, measure, text)


def measure(asked: argparse.Namespace) -> script.Document:
    """Measure each use, off and, where there is a model, on."""
    endpoint, running = settings.read(os.environ), None
    model = asked.model or (local.packaged() if endpoint is None and local.installed() else None)
    if model is not None:
        running, here = local.start(model)
        endpoint = (here, "")
    rng = random.Random(11)
    items: Items = [
        (title, category, rng.choice(BRANDS)) for category, (titles, _) in SHELF.items() for title in titles
    ]
    searches = dict(list(SEARCHES.items())[: 2 if asked.quick else None])
    people = users(items, 2 if asked.quick else asked.users, rng)
    found: dict[str, Any] = {"model": endpoint[0].model if endpoint else f"no {settings.LLM} and no --model"}
    uses: dict[str, Callable[[], script.Document]] = {
        "summaries": lambda: summed(endpoint, items[:4] if asked.quick else items),
        "expansion": lambda: widened(endpoint, items, searches),
        "labels": lambda: named(endpoint, items),
        "rerank": lambda: ordered(endpoint, people),
    }
    found |= {use: uses[use]() for use in asked.only or USES}
    del running
    return found


def asking(endpoint: Any, ask: Callable[[Client], Awaitable[Found]]) -> tuple[Found, float]:
    """Return what a client of the endpoint found, and the seconds that it took."""

    async def run() -> Found:
        client = Client(*endpoint)
        try:
            return await ask(client)
        finally:
            await client.close()

    began = time.perf_counter()
    return asyncio.run(run()), time.perf_counter() - began


def of_model(client: Client) -> ModelWriter:
    """Return a writer without a deadline."""
    spec = Model(at_once=1).model_copy(update={"deadline_ms": HERE})
    return ModelWriter(client, spec, prompts.texts(spec.prompt))


def summed(endpoint: Any, items: Items) -> script.Document:
    """Say how many of an item's nearest are of its category, by vectors of its texts alone and with summaries."""
    names = ("title", "category", "brand")
    rows = [dict(zip(names, one, strict=True)) for one in items]
    texts = {text_digest(text_of(row, names)): Facts("", row) for row in rows}
    own = [text_of(row, names) for row in rows]
    figures: script.Document = {"off": {"same_category_at_2": same_category(own, items)}}
    if endpoint is None:
        return figures
    (made, counts), seconds = asking(
        endpoint, lambda client: summaries.summarised(of_model(client), texts, {}, seconds=HERE)
    )
    read = [f"{one}. {made[key].summary}" if (key := text_digest(one)) in made else one for one in own]
    figures["on"] = {
        "same_category_at_2": same_category(read, items),
        "summed_up": counts.made / len(texts),
        "seconds": seconds / len(texts),
        "examples": [one.summary for one in list(made.values())[:3]],
    }
    return figures


def same_category(texts: Sequence[str], items: Items) -> float:
    """Return the share of each text's nearest, by the hashing encoder, that are of its item's category."""
    vectors = unit(np.asarray(encoders.opened("hashing", Path()).encode(texts), np.float32))
    alike = vectors @ vectors.T - 2 * np.eye(len(texts))
    nearest = np.argsort(-alike, axis=1, kind="stable")[:, :NEAR]
    kinds = np.array([category for _, category, _ in items])
    return float((kinds[nearest] == kinds[:, None]).mean())


def widened(endpoint: Any, items: Items, searches: dict[str, str]) -> script.Document:
    """Say how many of the three items that a search finds are of the category that was meant."""
    table = pa.table({"item_id": [str(n) for n in range(len(items))], "title": [one[0] for one in items],
                      "category": [one[1] for one in items]})  # fmt: skip
    spec = Vectors.model_validate({"text": {"columns": ["title", "category"]}})
    texts = build.texts_of(table, spec)
    encoder = encoders.opened("hashing", Path())
    vectors = unit(np.asarray(encoder.encode(texts), np.float32))
    known = {word for one in texts for word in expansion.words_of(one)}

    def precision(wider: dict[str, expansion.Expansion]) -> float:
        hits = []
        for query, meant in searches.items():
            by = find.sought(encoder, query, wider.get(query))
            best = find.nearest(by, vectors, np.ones(len(items), dtype=bool), k=FOUND)
            hits.append(sum(items[one.item][1] == meant for one in best) / FOUND)
        return statistics.mean(hits)

    known_best = {query: expansion.Expansion((meant.lower(),)) for query, meant in searches.items()}
    figures: script.Document = {
        "off": {"precision_at_3": precision({})},
        "best": {"precision_at_3": precision(known_best)},  # widened by the category that was meant
    }
    if endpoint is None:
        return figures

    async def ask(client: Client) -> dict[str, expansion.Expansion]:
        reader = Reader(client, Budget())
        return {query: await expansion.expanded(reader, query, known, deadline_ms=HERE) for query in searches}

    wider, seconds = asking(endpoint, ask)
    said = [one for one in wider.values() if one.fallback is None]
    figures["on"] = {
        "precision_at_3": precision(wider),
        "answered": len(said) / len(searches),
        "words_kept": statistics.mean(len(one.words) for one in wider.values()),
        "examples": {query: [*one.words, *one.dropped] for query, one in list(wider.items())[:4]},
        "words_dropped": statistics.mean(len(one.dropped) for one in wider.values()),
        "seconds": seconds / len(searches),
    }
    return figures


def named(endpoint: Any, items: Items) -> script.Document:
    """Say how many groups' names hold the word of their category, where a group's first words are its titles'."""
    groups, names, kinds = [], [], []
    for category in SHELF:
        words = list(
            dict.fromkeys(w for title, kind, _ in items if kind == category for w in expansion.words_of(title))
        )
        groups.append(labels.facts(words[:6], {"category": [category]}))
        names.append("-".join(words[:2]))
        kinds.append(category.lower())
    figures: script.Document = {"off": {"names_the_category": share(names, kinds), "examples": names[:3]}}
    if endpoint is None:
        return figures
    found, seconds = asking(endpoint, lambda client: labels.labelled(of_model(client), groups, names))
    texts = [one.text for one in found]
    figures["on"] = {
        "names_the_category": share(texts, kinds),
        "by_the_model": statistics.mean(one.fallback is None for one in found),
        "seconds": seconds / len(groups),
        "examples": texts[:3],
    }
    return figures


def share(names: Sequence[str], kinds: Sequence[str]) -> float:
    """Return the share of names that hold their kind's word."""
    return statistics.mean(kind in name.lower() for name, kind in zip(names, kinds, strict=True))


Person = tuple[list[str], list[str], list[bool]]  # titles of what was had, titles of a list, which of it are wanted


def users(items: Items, n: int, rng: random.Random) -> list[Person]:
    """Make users who had two things of one category; a list of ten has one more of it, at a place by chance."""
    made: list[Person] = []
    kinds = list(SHELF)
    for number in range(n):
        kind = kinds[number % len(kinds)]
        mine = rng.sample([one[0] for one in items if one[1] == kind], 3)
        others = rng.sample([one[0] for one in items if one[1] != kind], LISTED - 1)
        listed = [mine[2], *others]
        rng.shuffle(listed)
        made.append((mine[:2], listed, [one == mine[2] for one in listed]))
    return made


def ordered(endpoint: Any, people: Sequence[Person]) -> script.Document:
    """Say where the wanted item stands, as NDCG@10: in an order by chance, in the model's, and in the best."""
    as_listed = [tuple(range(len(listed))) for _, listed, _ in people]
    figures: script.Document = {"off": {"ndcg_at_10": ndcg(as_listed, people)}, "best": {"ndcg_at_10": 1.0}}
    if endpoint is None:
        return figures
    spec = Rerank().model_copy(update={"deadline_ms": HERE})

    async def ask(client: Client) -> list[rerank.Reranked]:
        reader, prompt = Reader(client, Budget()), prompts.texts(spec.prompt)
        return [await rerank.reranked(reader, spec, prompt, history=had, items=listed) for had, listed, _ in people]

    found, seconds = asking(endpoint, ask)
    reasons = [one.fallback for one in found if one.fallback]
    figures["on"] = {
        "ndcg_at_10": ndcg([one.order for one in found], people),
        "ordered": sum(one.fallback is None for one in found) / len(people),
        "fallback": {why: reasons.count(why) / len(people) for why in sorted(set(reasons))},
        "changed": sum(one.order != tuple(range(LISTED)) for one in found) / len(people),
        "seconds": seconds / len(people),
    }
    return figures


def ndcg(orders: Sequence[Sequence[int]], people: Sequence[Person]) -> float:
    """Return the mean discount of the wanted item's place, 1 where it stands on top.

    >>> ndcg([(1, 0)], [([], ["a", "b"], [False, True])]), round(ndcg([(0, 1)], [([], ["a", "b"], [False, True])]), 4)
    (1.0, 0.6309)
    """
    gains = [
        sum(float(wanted[item]) / np.log2(place + 2) for place, item in enumerate(order))
        for order, (_, _, wanted) in zip(orders, people, strict=True)
    ]
    return float(statistics.mean(gains))


def text(found: script.Document) -> str:
    """Return the figures as lines."""
    key = {"summaries": "same_category_at_2", "expansion": "precision_at_3", "labels": "names_the_category",
           "rerank": "ndcg_at_10"}  # fmt: skip
    lines = [str(found["model"])]
    for use, name in ((use, key[use]) for use in USES if use in found):
        on = (
            f"{found[use]['on'][name]:.3f}, {found[use]['on']['seconds']:.1f} s each"
            if "on" in found[use]
            else "not asked"
        )
        lines.append(f"{use:<10} {name:<20} off {found[use]['off'][name]:.3f}  on {on}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
