"""The rules of Chinese texts: what the facts and an allow-list leave over is refused.

Facts are taken out as whole values, longest first, so that no part of one can be turned against it; numbers must be
the facts' own with their unit; the rest must be words of the allow-list.
"""

import re
from collections.abc import Iterator

from components.content import frames
from components.content.facts import Facts, spoken
from components.content.plain import plain
from feature_repo.clock import WEEK

MARKS = re.compile(r"[^\w<>{}$€£¥#@*|\\^~`]+")  # punctuation of either script; no money, markup or addresses
AGO, COUNT, SHARE = re.compile(r"(\d+)\s*周前"), re.compile(r"(\d+)\s*周"), re.compile(r"(\d+)%")
MONEY = re.compile(r"\d+\.\d\d")
DID = ("买过", "选过", "听过", "看过", "读过", "玩过")
CLAIMS: tuple[tuple[str, tuple[str, ...]], ...] = (  # the longer ones first: of others' deeds, then of the reader's
    (f"用户(?:近来|最近)?(?:{'|'.join(DID)})", ("popular_share", "segment_share")),
    ("最近一次", ("weeks_since",)),
    (f"(?:{'|'.join(DID)})", ("weeks_bought", "category_weeks")),
    ("(?:再次|又|补货|囤)", ("weeks_bought",)),
    ("(?:像您一样|像你一样)", ("segment_share",)),
    ("(?:所有活跃用户)", ("popular_share",)),
    ("(?:优惠|特价|折|省)", ("offer",)),
)


def judged(text: str, facts: Facts, allowed: frozenset[str]) -> Iterator[tuple[str, str, str]]:
    """Yield kind, word and reason of what the facts do not bear."""
    rest = text
    for value in sorted(set(values(facts)), key=len, reverse=True):
        rest = re.sub(re.escape(value), " ", rest, flags=re.IGNORECASE)
    given = {name for name, value in facts.reasons.items() if value > 0} | ({"offer"} if facts.offer else set())
    for pattern, needed in CLAIMS:
        if (found := re.search(pattern, rest)) and not given & set(needed):
            yield "claim", found.group(), "没有事实支持"
        elif found:
            rest = re.sub(pattern, " ", rest)
    for kind, figure, right in _numbers(facts):
        for number in figure.finditer(rest):
            if number.group(number.lastindex or 0) not in right:
                yield "number", number.group(), f"事实中没有这个{kind}"
        rest = figure.sub(" ", rest)
    for word in sorted(allowed | frames.words(facts.frame, "zh"), key=len, reverse=True):
        rest = rest.replace(word, " ")
    if left := MARKS.sub(" ", rest).strip():
        yield "word", left, "事实中没有"


def values(facts: Facts) -> Iterator[str]:
    """Yield the facts' own words, each value whole."""
    for name, value in spoken(facts):
        if name != "price" and (words := plain(value)):
            yield words
    for triple in facts.knowledge:
        yield from filter(None, (plain(part) for part in triple))
    if offer := plain(facts.offer):
        yield offer
    for name in facts.intents:
        if words := plain(name.partition(":")[2]):
            yield words


def _numbers(facts: Facts) -> Iterator[tuple[str, re.Pattern[str], set[str]]]:
    reasons = facts.reasons
    since, had = reasons.get("weeks_since", 0.0), [reasons.get(n, 0.0) for n in ("weeks_bought", "category_weeks")]
    weeks = facts.step == WEEK
    yield "时间", AGO, {f"{since:.0f}"} if since and weeks else set()
    yield "时间", COUNT, {f"{one:.0f}" for one in had if one} if weeks else set()
    shares = [reasons.get(name, 0.0) for name in ("popular_share", "segment_share")]
    yield "比例", SHARE, {f"{one:.0%}".rstrip("%") for one in (*shares, *facts.intents.values()) if one >= 0.01}
    price = facts.attributes.get("price")
    yield "价格", MONEY, {f"{price:.2f}"} if isinstance(price, int | float) else set()
    yield "数字", re.compile(r"\d+(?:\.\d+)?"), set()
