"""Texts about items: what the checker finds in labelled texts, and what of a writer's texts is served.

    python -m benchmarks.content --json             # 1,000 user x item pairs: 200 items, five intents each
    python -m benchmarks.content --quick            # 50 pairs
    python -m benchmarks.content --seconds 3600 --keep FOLDER   # as many as it writes in an hour; again: it goes on

The model is the endpoint of INTENTFLOW_LLM, or a file that xllamacpp runs here (--model FILE); without either the fixed
sentences alone are measured, and `writer` says why.
"""

import argparse
import asyncio
import os
import random
import re
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import script
from components.content import frames, writers
from components.content.facts import Facts
from components.content.grounding.checker import check
from components.content.llm import local, prompts, settings
from components.content.llm.client import Client
from components.content.llm.spec import Model
from components.content.llm.store import Store
from components.content.llm.writer import ModelWriter, Written
from components.content.plain import plain

FIXED = ("template@2", "template@3")
PORT = 18_479  # of the model that runs here where texts are kept
DEADLINES = (2_500, 10_000, 30_000)  # ms: the spec's default, what docs/words.md gives a laptop, the most
SHELF = {  # what a made shop sells: category, its items, and what each goes with
    "SOUP": (("Leek soup", "Tomato soup", "Pea soup", "Lentil soup"), "dark bread"),
    "PASTA": (("Penne rigate", "Spaghetti", "Fusilli", "Tagliatelle"), "tomato sauce"),
    "COFFEE": (("Ground coffee", "Espresso beans", "Instant coffee"), "oat biscuits"),
    "CANDY": (("Dark chocolate", "Fruit gums", "Almond nougat"), "a pot of tea"),
    "YOGURT": (("Greek style yogurt", "Vanilla yogurt", "Plain yogurt"), "blueberries"),
    "RICE": (("Basmati rice", "Jasmine rice", "Brown rice"), "vegetable curry"),
}
BRANDS = ("National", "Tilda", "Barilla", "Lavazza", "Oatly", "Lindt")
SIZES = ("12 OZ", "500 g", "1 L", "2 KG", "24 OZ")


def main() -> None:
    """Measure and print."""
    asked = script.parser(__doc__, trained=False)
    asked.add_argument("--pairs", type=int, default=1000, help="user x item pairs")
    asked.add_argument("--model", type=Path, help="a .gguf file to run here; the packaged one where there is one")
    asked.add_argument("--seconds", type=float, help="how long the model may write; left out: until all pairs are done")
    asked.add_argument("--keep", type=Path, help="folder of texts that were written before, and of those that are now")
    asked.add_argument("--prompt", default="blurb@2", choices=prompts.NAMES)
    asked.add_argument("--free", action="store_true", help="let the model write freely: no grammar binds its words")
    script.main(asked, measure, text)


def measure(asked: argparse.Namespace) -> script.Document:
    """Measure checker and writers."""
    pairs = made(50 if asked.quick else asked.pairs)
    found: dict[str, Any] = {"pairs": len(pairs), "checker": checker(), "fixed": {n: fixed(n, pairs) for n in FIXED}}
    endpoint, running = settings.read(os.environ), None
    model = asked.model or (local.packaged() if endpoint is None and local.installed() else None)
    if model is not None:
        # Texts are kept under the address of who wrote them, so one that goes on has the same.
        running, local_endpoint = local.start(model, port=PORT if asked.keep else 0)
        endpoint = (local_endpoint, "")
    if endpoint is None:
        found["writer"] = {"skipped": f"no {settings.LLM} and no --model"}
    else:
        named = (endpoint[0].model_copy(update={"grammar": None}) if asked.free else endpoint[0], endpoint[1])
        found["writer"] = asyncio.run(
            written(named, pairs, prompt=asked.prompt, seconds=asked.seconds, keep=asked.keep)
        )
    del running
    return found


def made(n: int) -> list[Facts]:
    """Make pairs: items of a made shop under each frame in turn, with a user's record of each."""
    rng = random.Random(7)
    items = [(title, category, goes) for category, (titles, goes) in SHELF.items() for title in titles]
    pairs: list[Facts] = []
    while len(pairs) < n:
        title, category, goes = rng.choice(items)
        price = round(rng.uniform(1, 12), 2)
        facts = Facts(
            f"i{len(pairs) // len(frames.NAMES)}",
            {"title": title, "category": category, "brand": rng.choice(BRANDS), "price": price,
             "package_size": rng.choice(SIZES)},
            "history",
            {"weeks_bought": float(rng.randint(2, 30)), "weeks_since": float(rng.randint(1, 9)),
             "popular_share": rng.uniform(0.02, 0.4), "segment_share": rng.uniform(0.02, 0.4),
             "category_weeks": float(rng.randint(2, 40))},
            {f"buy:{category}": rng.uniform(0.1, 0.9)},
            verb="bought",
            knowledge=((title, "goes with", goes),),
            offer=f"{price * 0.8:.2f} instead of {price:.2f}",
        )  # fmt: skip
        pairs += [replace(facts, frame=name) for name in frames.NAMES]
    return pairs[:n]


def checker() -> dict[str, Any]:
    """Measure the checker on the labelled texts, whole and by half."""
    from tests.content.labelled import cases

    def of(half: str) -> dict[str, float]:
        lies = [bool(check(text, facts)) for facts, _, lies in cases(half) for text in lies.values()]
        truths = [bool(check(text, facts)) for facts, holds, _ in cases(half) for text in holds]
        recall, refused = sum(lies) / len(lies), sum(lies) + sum(truths)
        return {"recall": recall, "precision": sum(lies) / refused, "truths_passed": 1 - sum(truths) / len(truths)}

    return of("") | {half: of(half) for half in ("dev", "held")}


def fixed(name: str, pairs: list[Facts]) -> dict[str, float]:
    """Count what a writer of fixed sentences says differently."""
    writer = writers.named(name)
    texts = [writer.write(facts, max_attributes=5).text for facts in pairs]
    return {"skeletons": len({skeleton(t, f) for t, f in zip(texts, pairs, strict=True)}), "per_item": per_item(texts)}


async def written(
    endpoint: tuple[settings.Endpoint, str],
    pairs: list[Facts],
    *,
    prompt: str,
    seconds: float | None = None,
    keep: Path | None = None,
) -> dict[str, Any]:
    """Have a model write each pair's text, one after the other, and count what is served of those it came to.

    No deadline cuts a text short, so that a busy machine changes no share; `over_ms` says what deadlines would cut.
    Texts that were kept count as served, and in no figure of time.
    """
    client = Client(*endpoint)
    spec = Model(max_tokens=48, at_once=1, prompt=prompt).model_copy(update={"deadline_ms": 3_600_000})
    store = None if keep is None else Store(keep)
    writer, began = ModelWriter(client, spec, prompts.texts(spec.prompt), store), time.perf_counter()
    made_: list[Written] = []
    for facts in pairs:
        if seconds is not None and made_ and time.perf_counter() - began > seconds:
            break
        made_.append(await writer.whole(facts, writers.named("template@3").write(facts, max_attributes=5)))
    await client.close()
    seconds, pairs = time.perf_counter() - began, pairs[: len(made_)]
    fresh = [one for one in made_ if not one.cached]
    served = [(one, facts) for one, facts in zip(made_, pairs, strict=True) if one.fallback is None]
    first = [one.first_ms for one, _ in served if one.first_ms is not None]
    reasons = [one.fallback for one in made_ if one.fallback is not None]
    kinds = [refusal.kind for one in made_ for refusal in one.refusals]
    return {
        "pairs": len(pairs),
        "written_now": len(fresh),
        "model": endpoint[0].model,
        "prompt": prompt,
        "grammar": endpoint[0].grammar,
        "served": len(served) / len(pairs),
        "grounded": sum(not check(one.text, frames.framed(facts)) for one, facts in served) / max(1, len(served)),
        "fallback": {reason: reasons.count(reason) / len(pairs) for reason in sorted(set(reasons))},
        "refused_for": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
        "second_try": sum(one.tries > 1 for one, _ in served) / len(pairs),
        "skeletons": len({skeleton(one.text, facts) for one, facts in served}),
        "per_item": per_item([one.text for one in made_]),
        "over_ms": {
            str(most): sum(one.cost.seconds * 1000 > most for one in fresh) / max(1, len(fresh)) for most in DEADLINES
        },
        "tokens_per_s": sum(one.cost.tokens for one in made_) / seconds,
        "first_token_ms": statistics.median(first) if first else None,
        "cost": sum(one.cost.money for one in made_),
        "examples": [one.text for one, _ in served[:10]],
    }


def skeleton(text: str, facts: Facts) -> str:
    """Return a text with the facts' values taken out.

    >>> skeleton("Leek soup for 2.50.", Facts("i1", {"title": "Leek soup"}))
    '_ for #.'
    """
    values = [plain(value) for name, value in facts.attributes.items() if name != "price"]
    values += [plain(part) for triple in facts.knowledge for part in triple]
    for value in sorted(filter(None, values), key=len, reverse=True):
        text = re.sub(re.escape(value), "_", text, flags=re.IGNORECASE)
    return re.sub(r"\d+(?:[.,]\d+)?", "#", text)


def per_item(texts: list[str]) -> float:
    """Return how many of an item's texts, one a frame, say something else than the others: at most five."""
    groups = [texts[at : at + len(frames.NAMES)] for at in range(0, len(texts), len(frames.NAMES))]
    return statistics.mean(len(set(group)) for group in groups)


def text(found: script.Document) -> str:
    """Return the figures as lines."""
    writer = found["writer"]
    lines = [f"checker  recall {found['checker']['recall']:.3f}, precision {found['checker']['precision']:.3f}"]
    lines += [f"{name}  {one['skeletons']} skeletons, {one['per_item']:.1f} texts an item of five"
              for name, one in found["fixed"].items()]  # fmt: skip
    if "skipped" in writer:
        return "\n".join([*lines, f"model  not measured: {writer['skipped']}"])
    lines.append(
        f"{writer['model']}  {writer['pairs']} pairs, served {writer['served']:.0%}, {writer['skeletons']} skeletons, "
        f"{writer['tokens_per_s']:.0f} tokens/s, first word after {writer['first_token_ms'] or 0:.0f} ms"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
