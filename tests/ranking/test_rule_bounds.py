"""Bounds that rules set for policies that draw: by hand, and no drawn list of many drawn worlds breaks a rule."""

import numpy as np
import pytest

from components.policy import draw
from components.policy.choice import Ask, Bounds
from components.policy.policies import POLICIES
from components.ranking.rules import book, listing
from components.ranking.rules.book import Asked
from components.ranking.rules.bounds import bounds_of
from tests.ranking.test_rules import ITEMS, NOW, RANKED, read, rule
from tests.ranking.test_rules_drawn import above_cap, hides, in_force, row, world_of

K = 4


def bounds(*rules: object) -> tuple[list[int], tuple[int, ...], Bounds]:
    """Return candidates, the greedy list and the bounds that rules set."""
    asked, held = Asked(NOW), read(*rules)
    candidates = listing.ordered(RANKED, held, asked)
    greedy = listing.listed(RANKED, held, asked, k=K).items
    return candidates, greedy, bounds_of(held, asked, candidates, greedy)


def test_bounds_are_in_the_positions_of_candidates_in_the_order_of_rules() -> None:
    candidates, greedy, found = bounds(
        rule("filter", where="category = 'BREAD'"),
        rule("boost", where="category = 'SOUP'", places=500),
        rule("pin", item="i7", place=2),
        rule("cap", column="category", at_most=1),
        rule("new", share=0.5, days=5),
    )
    assert candidates == [4, 5, 0, 1, 2, 3, 7]  # soups first, no roll
    assert greedy[1] == 7
    assert found.fixed == ((1, 6),)
    assert found.caps == ((1, (0, 1)), (1, (2, 3)), (1, (4, 5)))
    new = [candidates.index(item) for item in (3, 5, 7)]  # first seen on the 8th and 9th; i7 came after training
    assert found.quotas == ((2, tuple(sorted(new))),)


def test_what_cannot_be_broken_sets_no_bound() -> None:
    assert bounds()[2] == Bounds()
    assert bounds(rule("cap", column="category", at_most=2))[2] == Bounds()
    assert bounds(rule("pin", item="i7", place=9), rule("cap", column="colour", at_most=1))[2] == Bounds()


@pytest.mark.parametrize("policy", POLICIES[1:], ids=lambda policy: policy.name)
def test_no_drawn_list_breaks_a_rule(policy) -> None:
    drawn = 0
    for seed in range(1500):
        items, ranked, rules, asked, k = world_of(seed)
        held = book.read(rules, {}, items).for_list(asked)
        found = listing.listed(ranked, held, asked, k=k)
        candidates = listing.ordered(ranked, held, asked)
        greedy, position = found.items, {item: n for n, item in enumerate(candidates)}
        if len(greedy) < k:
            continue
        ask = Ask(
            np.linspace(1, -1, len(candidates)),
            tuple(position[item] for item in greedy),
            bounds=bounds_of(held, asked, candidates, greedy),
        )
        if draw.ends_early(ask):
            continue
        drawn += 1
        mine, rows = [one for one in rules if in_force(one, asked)], {i: row(items, i) for i in candidates}
        unmet = {one.rule for one in found.unmet}
        for positions in draw.simulated(policy, ask, np.random.default_rng(seed), 4).tolist():
            assert -1 not in positions, seed
            shown = [candidates[p] for p in positions]
            assert len({*shown}) == k
            assert not any(hides(one, rows[i], i, asked) for i in shown for one in mine), seed
            assert not above_cap(shown, mine, rows), seed
            assert not list(listing.violations(shown, [o for o in held if o.rule.name not in unmet], asked)), seed
            for one in held:
                if one.rule.kind == "new" and not one.problem and not ask.bounds.caps:
                    have, had = (sum(one.is_new(i, asked.now) for i in some) for some in (shown, greedy))
                    assert have >= min(had, listing.needed(one.rule.share, k)), seed
    assert drawn > 300
    assert ITEMS.learnt == 7
