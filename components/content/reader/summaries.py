"""Sums items up in one grounded sentence each, for the vectors that retrieval reads, never for people.

Each distinct text is summed up once and kept under its digest, in a CSV that the spec names
(`vectors.text.summaries`). A later call goes on with what is missing; another prompt or model makes all anew. A text
that the model was refused for, or came too late with, has no line: vectors read the text as it stands.
"""

import asyncio
import csv
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from components.content.facts import Described, Facts
from components.content.llm import prompts
from components.content.llm.store import digest
from components.content.llm.writer import ModelWriter
from feature_repo import files
from feature_repo.errors import DataError
from feature_repo.item_vectors import SUMMARY_COLUMNS

LONGEST = 160  # characters of a summary
PROMPT = prompts.SUMMARIES[0]
Report = Callable[[int, int], None]  # how many are done, of how many


@dataclass(frozen=True)
class Summary:
    """A line of the file: of which text, what it says, and by which prompt and model it was made."""

    digest: str
    summary: str
    made_by: str


@dataclass
class Counts:
    """What became of the texts."""

    texts: int = 0
    kept: int = 0  # from the file
    made: int = 0
    refused: int = 0
    waiting: int = 0  # that the time did not reach
    failed: str = ""  # why the model could not be asked on: away, refused, budget


async def summarised(
    writer: ModelWriter, texts: Mapping[str, Facts], before: Mapping[str, Summary], *, seconds: float,
    clock: Callable[[], float] = time.monotonic, report: Report = lambda done, of: None,
) -> tuple[dict[str, Summary], Counts]:  # fmt: skip
    """Return summaries by the texts' digests, in their order, and what became of them; stop after so many seconds.

    Those of `before` stand where the same prompt and model made them. One call at least is made whatever the time.
    """
    of = writer.of_kind("summary", prompts.texts(PROMPT), longest=LONGEST, words=prompts.WORDS_OF_SUMMARY)
    made_by = digest(of.prompt["en"], of.client.endpoint.model, of.client.endpoint.grammar, LONGEST)[:32]
    found = {key: one for key, one in before.items() if key in texts and one.made_by == made_by}
    counts, began = Counts(texts=len(texts), kept=len(found)), clock()
    todo = [key for key in texts if key not in found]
    for start in range(0, len(todo), of.spec.at_once):
        if start and clock() - began > seconds:
            counts.waiting = len(todo) - start
            break
        some = todo[start : start + of.spec.at_once]
        written = await asyncio.gather(*(of.whole(texts[key], Described("", "", ())) for key in some))
        for key, one in zip(some, written, strict=True):
            if one.fallback is None and one.used:
                found[key] = Summary(key, one.text, made_by)
                counts.made += 1
            else:
                counts.refused += 1
        stops = {one.fallback for one in written} & {"away", "refused", "budget"}
        if stops:
            counts.failed, counts.waiting = min(map(str, stops)), len(todo) - start - len(some)
            break
        report(start + len(some), len(todo))
    return {key: found[key] for key in texts if key in found}, counts


def read(path: Path) -> dict[str, Summary]:
    """Return the file's summaries by digest, none where there is no file; refuse one of another form."""
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as stream:
        lines = csv.DictReader(stream)
        if tuple(lines.fieldnames or ()) != SUMMARY_COLUMNS:
            raise DataError(f"{path}: no file of summaries; its columns are {', '.join(SUMMARY_COLUMNS)}")
        return {line["digest"]: Summary(**line) for line in lines}


def write(path: Path, summaries: Mapping[str, Summary]) -> None:
    """Write summaries, the whole file or nothing."""
    with files.written(path) as aside, aside.open("w", encoding="utf-8", newline="") as stream:
        lines = csv.DictWriter(stream, SUMMARY_COLUMNS)
        lines.writeheader()
        lines.writerows(asdict(one) for one in summaries.values())
