"""Evaluates a prompt with its model on a fixed set, and says whether its texts may be served.

`python -m components.content.llm.gate` asks the endpoint of INTENTFLOW_LLM and exits with 1 where a bound is not kept.
All that a served text says is grounded: what the bounds judge is how often there is one, and what it is like.
"""

import argparse
import asyncio
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from components.content import writers
from components.content.facts import LANGUAGES, Facts, Language
from components.content.frames import framed
from components.content.grounding.checker import check
from components.content.grounding.tokens import tokens
from components.content.llm import prompts, settings
from components.content.llm.client import Client
from components.content.llm.spec import Model
from components.content.llm.writer import ModelWriter, Written, reads_like_an_order
from feature_repo.errors import SpecError

CASES: Mapping[Language, Path] = {"en": prompts.FOLDER / "cases.yaml", "zh": prompts.FOLDER / "cases.zh.yaml"}
LOUD = frozenset(
    ["hurry", "now!", "wow", "yay", "hey", "guys", "buy!"]
)  # words and marks of a tone that no shop asked for


@dataclass(frozen=True)
class Bounds:
    """What a prompt must keep."""

    served: float = 0.6  # least share of texts that are the model's
    words: tuple[int, int] = (3, 40)  # of a served text; of a Chinese one characters
    duplicates: float = 0.2  # most share of served texts that another one is, word for word
    loud: float = 0.0  # most share with an exclamation mark, or a word of LOUD
    tokens: float = 800.0  # most tokens a text, asked and answered


BOUNDS: Mapping[Language, Bounds] = {"en": Bounds(), "zh": Bounds(words=(4, 90))}


@dataclass(frozen=True)
class Evaluation:
    """What a prompt's texts are like."""

    cases: int
    served: float
    grounded: float
    shortest: int
    longest: int
    duplicates: float
    loud: float
    tokens: float
    fallbacks: dict[str, int]

    def broken(self, bounds: Bounds) -> list[str]:
        """Return each bound that is not kept, in words."""
        least, most = bounds.words
        found = [
            (self.served < bounds.served, f"served {self.served:.0%} of the cases; at least {bounds.served:.0%}"),
            (self.grounded < 1, f"grounded {self.grounded:.0%} of what was served; all"),
            (self.shortest < least, f"shortest text {self.shortest} words; at least {least}"),
            (self.longest > most, f"longest text {self.longest} words; at most {most}"),
            (self.duplicates > bounds.duplicates, f"duplicates {self.duplicates:.0%}; at most {bounds.duplicates:.0%}"),
            (self.loud > bounds.loud, f"loud {self.loud:.0%}; at most {bounds.loud:.0%}"),
            (self.tokens > bounds.tokens, f"{self.tokens:.0f} tokens a text; at most {bounds.tokens:.0f}"),
        ]
        return [said for wrong, said in found if wrong]


def cases(language: Language = "en") -> list[Facts]:
    """Return the fixed set of a language."""
    found: list[dict[str, Any]] = yaml.safe_load(CASES[language].read_text(encoding="utf-8"))
    made = []
    for one in found:
        triples = tuple(tuple(map(str, triple)) for triple in one.pop("knowledge", ()))
        made.append(Facts(**({"verb": "bought"} | one), knowledge=triples, frame_asked=True))  # type: ignore[arg-type]
    return made


def evaluate(written: Sequence[Written], facts: Sequence[Facts], *, language: Language = "en") -> Evaluation:
    """Say what texts are like, each written from the facts in its place."""
    served = [(one.text, of) for one, of in zip(written, facts, strict=True) if one.fallback is None]
    texts = [text for text, _ in served]
    lengths = [length(text, language) for text in texts] or [0]
    reasons = [one.fallback for one in written if one.fallback is not None]
    n = max(1, len(texts))
    return Evaluation(
        cases=len(written),
        served=len(texts) / max(1, len(written)),
        grounded=sum(not check(text, framed(of), language=language) for text, of in served) / n,
        shortest=min(lengths),
        longest=max(lengths),
        duplicates=1 - len({text.lower() for text in texts}) / n if texts else 0.0,
        loud=sum("!" in text or bool(LOUD & set(text.lower().split())) for text in texts) / n,
        tokens=statistics.mean(one.cost.tokens for one in written) if written else 0.0,
        fallbacks={reason: reasons.count(reason) for reason in sorted(set(reasons))},
    )


def length(text: str, language: Language) -> int:
    """Return a text's words and numbers, of a Chinese one its characters without marks.

    >>> length("Leek soup for 2.50.", "en"), length("龙井茶，38.50。", "zh")
    (4, 7)
    """
    said = [one.text for one in tokens(text) if one.kind != "mark"]
    return sum(len(one.replace(".", "")) for one in said) if language == "zh" else len(said)


async def asked(writer: ModelWriter, facts: Sequence[Facts], *, language: Language = "en") -> list[Written]:
    """Have each text written, one after the other; none comes from a cache."""
    assert not any(map(reads_like_an_order, facts))
    fixed = writers.of(writers.DEFAULT, language)
    return [await writer.whole(one, fixed.write(one, max_attributes=5), language=language) for one in facts]


def main() -> None:
    """Evaluate and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--prompt", default=prompts.DEFAULT, choices=prompts.NAMES)
    parser.add_argument("--language", default="en", choices=LANGUAGES)
    given = parser.parse_args()
    name, language = given.prompt, given.language
    try:
        found = settings.read(os.environ)
        if found is None:
            raise SpecError(f"{settings.LLM}: names no endpoint; a prompt is evaluated with its model")
    except SpecError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    facts = cases(language)
    writer = ModelWriter(Client(*found), Model(prompt=name, deadline_ms=30_000), prompts.texts(name))
    result = evaluate(asyncio.run(asked(writer, facts, language=language)), facts, language=language)
    broken = result.broken(BOUNDS[language])
    print("\n".join(f"{field}: {value}" for field, value in asdict(result).items()))
    print("\n".join(["passed"] if not broken else [f"failed: {one}" for one in broken]))
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
