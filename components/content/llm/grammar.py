"""The closed vocabulary as a grammar (GBNF) that binds a model while it decodes: facts stand in it whole.

A small model given free words adds its own, and the checker refuses them. Under the grammar it chooses among ways to
open, words of the allow-list and which facts to speak of, and cannot write another word. What it writes is checked as
before: the grammar makes texts likelier to pass, and decides nothing. English only.

`of` writes the grammar, `sampled` draws texts of it, which tests give to the checker.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, cast

from components.content.facts import Facts, spoken
from components.content.plain import plain
from components.content.writers.template import LEAST, priced
from feature_repo import columns
from feature_repo.clock import Pace, Step

# Behind the item's name, in words of the allow-list (components/content/grounding/allowed.yaml). They claim nothing.
FREE = ("for your list", "for your basket", "for your next visit", "for the week", "for your home", "at home",
        "for a quiet moment", "for your table")  # fmt: skip
FREE_OF_FRAME = {
    "treat": ("for a quiet evening", "for a small moment", "tonight", "at home", "for the evening"),
    "cook_tonight": ("for dinner", "for your dinner table", "for your kitchen", "for the meal", "at home tonight"),
    "try_new": ("for your next meal", "this week", "on your next visit", "at home", "for something new"),
    "save": ("this week", "for your basket", "for the week", "on your next visit"),
    "stock_up": ("for your shelf", "for your kitchen", "for the week", "on your next trip", "for your list"),
}
OPENINGS = ("Try", "Enjoy", "Pick", "Choose", "Add", "Take", "Here is", "Find", "Get", "Plan for", "Look at")
OF_FRAME = {
    "treat": ("Treat yourself to", "A little treat:", "Enjoy"),
    "cook_tonight": ("Cook", "Serve", "For dinner tonight:", "Cook tonight with", "Serve tonight:"),
    "try_new": ("Try", "Try something new:", "Something new to try:", "Find", "Choose"),
    "save": ("Look at the price of", "Here is", "Find"),
    "stock_up": ("Keep", "Get", "Add"),
}
AGAIN = ("Stock up on", "Time to restock", "Restock", "Need more of")  # where the reader had it
SAVING = ("Save on", "Save this week on")  # where there is an offer
TITLES = ("For your", "Your", "Time for", "A look at", "Take home some")
TITLES_OF_FRAME = {
    "treat": ("Treat yourself to", "Enjoy some"),
    "cook_tonight": ("For your", "Cook tonight with", "Tonight:"),
    "try_new": ("Try some", "Something new in"),
    "save": ("The price of", "A look at"),
}
BEHIND_LABELS = ("items", "shop", "shelf", "basket", "time")
BEHIND_TITLES = ("night", "dinner", "lunch", "breakfast", "supper", "evening", "shelf", "basket", "table")


@dataclass(frozen=True)
class Choice:
    """One of several."""

    among: tuple["Part", ...]


@dataclass(frozen=True)
class Many:
    """A part, so many times."""

    part: "Part"
    least: int
    most: int


Part = str | Choice | Many | tuple["Part", ...]  # a tuple: one behind the other


Kind = Literal["text", "title", "summary", "label"]  # about an item; of a shelf; for vectors; of a discovered group


def of(facts: Facts, *, kind: Kind = "text") -> str:
    r"""Return the grammar of texts of a kind.

    >>> of(Facts("shelf:tea", {"title": "tea"}, frame="save"), kind="title")[:66]
    'root ::= ((("The price of" | "A look at") " " "tea" ((" " ("night"'
    """
    return f"root ::= {_written(_PARTS[kind](facts))}"


def sampled(facts: Facts, rng: random.Random, *, kind: Kind = "text") -> str:
    """Draw a text of the grammar."""
    return _drawn(_PARTS[kind](facts), rng)


def _text(facts: Facts) -> Part:
    """Return one sentence that names the item, with a fact beside the name, in one more sentence, or both."""
    it = plain(facts.attributes.get(columns.TITLE)) or f"item {plain(facts.item_id)}"
    of_frame = OF_FRAME.get(facts.frame or "", ())
    had = AGAIN if facts.reasons.get("weeks_bought", 0) > 0 and facts.frame in (None, "stock_up") else ()
    saving = SAVING if facts.offer and facts.frame in (None, "save") else ()
    openings = (*had, *saving, *(of_frame or OPENINGS))
    lead, free = (Choice(openings), " ", it), FREE_OF_FRAME.get(facts.frame or "", FREE)
    beside, told = tuple(_beside(facts)), tuple(f" {one}." for one in _sentences(facts))
    behind: Part = Many((" ", Choice(free)), 0, 1)
    ways: list[Part] = []  # each speaks of a fact, where there is one beside the name
    if beside:
        ways.append((Choice(beside), behind, "."))
    if told:
        ways.append((behind, ".", Choice(told)))
    if beside and told:
        ways.append((Choice(beside), ".", Choice(told)))
    return (*lead, Choice(tuple(ways)) if ways else (" ", Choice(free), "."))


def _title(facts: Facts) -> Part:
    it = str(facts.attributes.get(columns.TITLE))
    leads = TITLES_OF_FRAME.get(facts.frame or "", TITLES)
    return Choice(((Choice(leads), " ", it, Many((" ", Choice(BEHIND_TITLES)), 0, 1)), f"{it[:1].upper()}{it[1:]}"))


def _summary(facts: Facts) -> Part:
    """Return one plain sentence: what the item is called, and two more of its facts where it has them."""
    told = [(name, words) for name, value in spoken(facts) if (words := plain(value))]
    it = next((words for name, words in told if name == columns.TITLE), told[0][1] if told else "Item")
    more = [f", {plain(name.replace('_', ' '))} {words}" for name, words in told if words != it]
    known = [f" It {' '.join(filter(None, map(plain, triple[1:])))}." for triple in facts.knowledge]
    behind: Part = Many(Choice(tuple(more)), min(1, len(more)), 2) if more else ""
    return (it, behind, ".", Choice(tuple(known)) if known else "")


def _label(facts: Facts) -> Part:
    """Return one or two of the group's words or values, with a word of the allow-list or none behind."""
    told = [one.strip() for _, value in spoken(facts) for one in plain(value).split(",")]
    names = tuple(dict.fromkeys(filter(None, told))) or ("items",)
    ways: list[Part] = []
    for one in names:
        others = tuple(other for other in names if not {*other.split()} & {*one.split()})
        second: Part = Many((" and ", Choice(others)), 0, 1) if others else ""
        ways.append((f"{one[:1].upper()}{one[1:]}", second))
    return (Choice(tuple(ways)), Many((" ", Choice(BEHIND_LABELS)), 0, 1))


def _beside(facts: Facts) -> Iterator[str]:
    """Yield what may stand behind the item's name."""
    for name, value in spoken(facts):
        words = plain(value)
        if not words or name in (columns.TITLE, "category"):
            continue
        if name == "price":
            if price := priced(value):
                yield from (f" for {price}", f" at {price}")
        elif name == "package_size":
            yield f" ({words})"
        elif name in ("brand", "artist", "author", "director", "maker"):
            yield f" by {words}"
        else:
            yield f" ({plain(name.replace('_', ' '))}: {words})"


def _sentences(facts: Facts) -> Iterator[str]:
    """Yield each fact that may stand as a sentence, as the fixed sentences say it."""
    verb, pace = plain(facts.verb), Pace(cast(Step, facts.step))
    given = {name: value for name, value in facts.reasons.items() if value > 0}
    for triple in facts.knowledge:
        yield " ".join(("It", *filter(None, map(plain, triple[1:]))))
    if offer := plain(facts.offer):
        yield f"The offer: {offer}"
    if weeks := round(given.get("weeks_bought", 0.0)):
        yield f"You {verb} it in {pace.counted(weeks)}"
        if since := round(given.get("weeks_since", 0.0)):
            yield f"You last {verb} it {pace.counted(since)} ago"
    if weeks := round(given.get("category_weeks", 0.0)):
        yield f"You {verb} others of its category in {pace.counted(weeks)}"
    for name, who in (("popular_share", "all active users"), ("segment_share", "users like you")):
        if (share := given.get(name, 0.0)) >= LEAST:
            yield f"{share:.0%} of {who} {verb} it lately"
    if given.get("in_flyer"):
        yield "It is in the flyer"


_PARTS: Mapping[Kind, Callable[[Facts], Part]] = {
    "text": _text,
    "title": _title,
    "summary": _summary,
    "label": _label,
}


def _written(part: Part) -> str:
    """Write a part as GBNF."""
    if isinstance(part, str):
        escaped = part.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(part, Choice):
        return f"({' | '.join(map(_written, part.among))})"
    if isinstance(part, Many):
        return f"({_written(part.part)}){{{part.least},{part.most}}}"
    return f"({' '.join(map(_written, part))})" if len(part) > 1 else _written(part[0])


def _drawn(part: Part, rng: random.Random) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Choice):
        return _drawn(rng.choice(part.among), rng)
    if isinstance(part, Many):
        return "".join(_drawn(part.part, rng) for _ in range(rng.randint(part.least, part.most)))
    return "".join(_drawn(one, rng) for one in part)
