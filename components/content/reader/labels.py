"""Names discovered groups: a few words of the group's own most telling words and values, and of the allow-list.

Called by `intentflow discover`, which sees to it that enough people stand behind each word and value. A label that says
another word, or none of the group's, is refused as any text is; the group then keeps its words as its name.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.content.facts import Described, Facts
from components.content.llm import prompts
from components.content.llm.writer import Fallback, ModelWriter
from components.content.shelves import worded

LONGEST = 40  # characters of a label
WORDS = "words"  # who named a group that the model did not
PROMPT = prompts.LABELS[0]


@dataclass(frozen=True)
class Label:
    """A group's name and who gave it."""

    text: str
    source: str
    model: str | None = None
    fallback: Fallback | None = None

    def document(self) -> dict[str, Any]:
        """Return it as the proposal holds it, without what is not said."""
        return {name: value for name, value in vars(self).items() if value is not None}


def facts(words: Sequence[str], values: Mapping[str, Sequence[str]]) -> Facts:
    """Return what a group's name may rest on: its words, and by column its values.

    >>> facts(["flour", "yeast"], {"category": ["BAKING"], "words": ["x"]}).attributes
    {'words': 'flour, yeast', 'category': 'baking'}
    """
    of_values = {name: ", ".join(map(worded, ones)) for name, ones in values.items() if name != "words" and ones}
    return Facts("group", {"words": ", ".join(words)} | of_values)


async def labelled(writer: ModelWriter, groups: Sequence[Facts], names: Sequence[str]) -> list[Label]:
    """Return each group's label; `names` are what they are called otherwise. Two of one label keep their names."""
    of = writer.of_kind("label", prompts.texts(PROMPT), longest=LONGEST, words=prompts.WORDS_OF_TITLE)
    fixed = [Described(name, WORDS, ()) for name in names]
    made = await asyncio.gather(*(of.whole(one, own) for one, own in zip(groups, fixed, strict=True)))
    said = [one.text.strip(" .").lower() for one in made]
    found = []
    for one, name, mine in zip(made, names, said, strict=True):
        why: Fallback | None = one.fallback or (None if one.used and said.count(mine) == 1 else "ungrounded")
        found.append(Label(name, WORDS, fallback=why) if why else Label(one.text.strip(" ."), one.source, one.model))
    return found
