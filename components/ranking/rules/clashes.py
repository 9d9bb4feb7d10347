"""Rules that cannot be kept together, or at all, are refused by name before they hold: `PUT /rules`, a spec, `preview`.

What only an answer can tell (a pinned item that this user had lately) is no clash; answers say it.
"""

import itertools
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from components.ranking.rules.book import Hiding, Items, ReadRule
from components.ranking.rules.spec import MOST_RULES, Boost, Bury, Cap, Pin, Rule
from feature_repo.errors import DataError, nearest

Problem = tuple[str, str]  # name of a rule, and what is wrong with it in one line


def require_none(
    rules: Sequence[ReadRule], items: Items, *, segments: Collection[str], max_k: int, of: Collection[str] = ()
) -> None:
    """Refuse rules that are wrong or clash, those named in `of` alone where it names some; DataError names them."""
    if len(rules) > MOST_RULES:
        raise DataError(f"rules: {len(rules)} of them; allowed: at most {MOST_RULES}; remove some")
    for name, problem in problems(rules, items, segments=segments, max_k=max_k, of=of):
        raise DataError(f"rules: {kind_of(rules, name)} '{name}': {problem}")


def require_no_pins_clash(rules: Sequence[Rule]) -> None:
    """Refuse, by ValueError, pins that want one place or one item, whatever the items are."""
    read = [ReadRule(rule) for rule in rules]
    for one, other in itertools.combinations(read, 2):
        if overlap(one.rule, other.rule):
            for name, problem in _of_two(one, other):
                raise ValueError(f"rules: {kind_of(read, name)} '{name}': {problem}")


def problems(
    rules: Sequence[ReadRule], items: Items, *, segments: Collection[str], max_k: int, of: Collection[str] = ()
) -> Iterator[Problem]:
    """Yield what is wrong, each under the name of a rule."""
    looked_at = [one for one in rules if not of or one.rule.name in of]
    for one in looked_at:
        yield from _of_one(one, items, segments, max_k)
    for one, other in itertools.combinations(rules, 2):
        if (not of or {one.rule.name, other.rule.name} & {*of}) and overlap(one.rule, other.rule):
            yield from _of_two(one, other)
    for one in looked_at:
        yield from _of_many(one, rules, items)


def kind_of(rules: Sequence[ReadRule], name: str) -> str:
    """Return the kind of the rule of a name."""
    return next(one.rule.kind for one in rules if one.rule.name == name)


def overlap(one: Rule, other: Rule) -> bool:
    """Tell whether two rules may hold in one list."""
    places, segments = (
        not mine or not theirs or bool({*mine} & {*theirs})
        for mine, theirs in ((one.placements, other.placements), (one.segments, other.segments))
    )
    return places and segments and _before(one.start, other.end) and _before(other.start, one.end)


def _before(start: object, end: object) -> bool:
    return start is None or end is None or start < end  # type: ignore[operator]


def within(inner: Rule, outer: Rule) -> bool:
    """Tell whether a rule holds wherever another one does."""
    scopes = ((inner.placements, outer.placements), (inner.segments, outer.segments))
    if not all(not theirs or (mine and {*mine} <= {*theirs}) for mine, theirs in scopes):
        return False
    starts = outer.start is None or (inner.start is not None and outer.start <= inner.start)
    return starts and (outer.end is None or (inner.end is not None and inner.end <= outer.end))


def _of_one(one: ReadRule, items: Items, segments: Collection[str], max_k: int) -> Iterator[Problem]:
    rule = one.rule
    if one.problem:
        yield rule.name, one.problem
    for segment in rule.segments:
        if segment not in segments:
            have = list(segments)
            told = f"have {', '.join(have)}{nearest(segment, have)}" if have else "this release has none"
            yield rule.name, f"segments: '{segment}' is no segment; {told}"
    if isinstance(rule, Pin):
        if one.about & items.withdrawn:
            yield rule.name, f"item: '{rule.item}' is withdrawn; make it available, or pin another"
        if rule.place > max_k:
            yield rule.name, f"place: {rule.place} is beyond serving.max_k {max_k}; no list is so long"


def _of_two(one: ReadRule, other: ReadRule) -> Iterator[Problem]:
    a, b = one.rule, other.rule
    if isinstance(a, Pin) and isinstance(b, Pin):
        if a.place == b.place and a.item != b.item:
            yield a.name, f"wants place {a.place} for '{a.item}', and so does pin '{b.name}' for '{b.item}'; move one"
        if a.item == b.item and a.place != b.place:
            yield a.name, f"wants '{a.item}' at place {a.place}, and pin '{b.name}' at place {b.place}; remove one"
    for pin, hiding in ((one, other), (other, one)):
        if isinstance(pin.rule, Pin) and isinstance(hiding.rule, Hiding) and pin.about & hiding.about:
            yield (
                pin.rule.name,
                f"pins '{pin.rule.item}', which {hiding.rule.kind} '{hiding.rule.name}' hides; change one of the two",
            )
    if {type(a), type(b)} == {Boost, Bury} and one.about and one.about == other.about:
        yield a.name, f"is about the same items as {b.kind} '{b.name}', which moves them the other way; remove one"


def _of_many(one: ReadRule, rules: Sequence[ReadRule], items: Items) -> Iterator[Problem]:
    if isinstance(one.rule, Hiding) and not one.problem:
        shown = frozenset(range(items.table.num_rows)) - items.withdrawn
        beside = [other for other in rules if isinstance(other.rule, Hiding) and other is not one]
        everywhere = [other for other in beside if within(one.rule, other.rule)]
        groups = [everywhere, *([other] for other in beside if overlap(one.rule, other.rule))]
        for group in groups:
            if shown and shown <= one.about.union(*(other.about for other in group)):
                names = ", ".join(f"{other.rule.kind} '{other.rule.name}'" for other in group)
                yield one.rule.name, f"leaves nothing to show{f' beside {names}' if names else ''}; hide less"
                return
    for cap in [other for other in rules if isinstance(other.rule, Cap) and not other.problem]:
        if one is cap or isinstance(one.rule, Pin):
            yield from _pins_above(cap, rules)


def _pins_above(cap: ReadRule, rules: Sequence[ReadRule]) -> Iterator[Problem]:
    """Yield a cap that pins of one list pass by themselves."""
    assert isinstance(cap.rule, Cap)
    pins = [one for one in rules if isinstance(one.rule, Pin) and one.about and overlap(one.rule, cap.rule)]
    for first in pins:
        together = [one for one in pins if overlap(one.rule, first.rule)]
        counts = Counter(value for one in together for item in one.about for value in cap.values.get(item, ()))
        for value, count in counts.items():
            if count > cap.rule.at_most and _all_overlap(together):
                names = ", ".join(f"'{one.rule.name}'" for one in together)
                yield cap.rule.name, f"allows {cap.rule.at_most} of '{value}', and pins {names} want {count}; raise it"
                return


def _all_overlap(rules: Sequence[ReadRule]) -> bool:
    return all(overlap(one.rule, other.rule) for one, other in itertools.combinations(rules, 2))
