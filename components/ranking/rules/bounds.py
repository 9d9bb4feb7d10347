"""What rules leave to a policy that draws: bounds on its lists. Pure.

The greedy list is the rules' own (listing.py). A drawn list keeps its pins where it kept them, passes no cap, and holds
as many new items as it did; what is hidden is no candidate, and boosts have moved candidates already.
"""

from collections.abc import Mapping, Sequence

from components.policy.choice import Bounds
from components.ranking.rules.book import Asked, ReadRule
from components.ranking.rules.listing import needed
from components.ranking.rules.spec import Cap, New, Pin

Parts = list[tuple[int, tuple[int, ...]]]


def bounds_of(rules: Sequence[ReadRule], asked: Asked, candidates: Sequence[int], greedy: Sequence[int]) -> Bounds:
    """Return bounds on lists of `candidates` (items) beside the greedy list of items, by positions of candidates."""
    place = {item: position for position, item in enumerate(candidates)}
    usable = [one for one in rules if not one.problem]
    return Bounds(
        fixed=tuple(sorted(_pins(usable, place, greedy))),
        caps=tuple(_caps(usable, candidates)),
        quotas=tuple(_quotas(usable, asked, candidates, greedy)),
    )


def _pins(rules: Sequence[ReadRule], place: Mapping[int, int], greedy: Sequence[int]) -> list[tuple[int, int]]:
    """Return the pins that the greedy list keeps: those that it cannot keep, no list can."""
    found = []
    for one in rules:
        if isinstance(one.rule, Pin) and one.rule.place <= len(greedy):
            (item,) = one.about
            if greedy[one.rule.place - 1] == item:
                found.append((one.rule.place - 1, place[item]))
    return found


def _caps(rules: Sequence[ReadRule], candidates: Sequence[int]) -> Parts:
    """Return the caps that candidates could pass, a value each."""
    found: Parts = []
    for one in rules:
        if not isinstance(one.rule, Cap):
            continue
        of: dict[str, list[int]] = {}
        for position, item in enumerate(candidates):
            for value in one.values.get(item, ()):
                of.setdefault(value, []).append(position)
        found += [(one.rule.at_most, tuple(those)) for those in of.values() if len(those) > one.rule.at_most]
    return found


def _quotas(rules: Sequence[ReadRule], asked: Asked, candidates: Sequence[int], greedy: Sequence[int]) -> Parts:
    """Return the shares of new items, as far as the greedy list has them."""
    found: Parts = []
    for one in rules:
        if isinstance(one.rule, New):
            have = sum(one.is_new(item, asked.now) for item in greedy)
            if least := min(have, needed(one.rule.share, len(greedy))):
                new = (p for p, item in enumerate(candidates) if one.is_new(item, asked.now))
                found.append((least, tuple(new)))
    return found
