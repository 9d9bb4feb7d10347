"""Does showing what was bought make it look good? Popularity feedback with and without exploration, on a made shop.

Items have a written appeal, and are bought only where they are shown. Each week the ranker is made anew from all so
far: by purchases (`counted`), or by purchases a look (`rated`), each counting 1 over how likely its item was shown at
that place, as doors log it. In the first week nobody knows anything: a few purchases fell to items by luck. Lists are
drawn, and their propensities computed, by the product's own code. Users look less at lower places, as NDCG has it.

Letters: I items, K places, N answers a week.
"""

import argparse
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import script
from benchmarks.script import Document
from components.policy import draw
from components.policy.choice import Ask, Policy
from components.policy.head import gains
from components.policy.policies.epsilon import Epsilon
from components.policy.policies.greedy import Greedy
from components.policy.policies.softmax import Softmax

ITEMS, PLACES, ANSWERS, WEEKS, SEEDS = 100, 10, 2_000, 26, 20
QUICK = {"weeks": 4, "seeds": 2, "answers": 300}
RATE = 0.1  # mean appeal
LUCK = 3.0  # purchases of an item before anything was shown, in the mean
LAST = 4  # weeks that the end is measured over
DRAWS = 512
COUNTED, RATED = "counted", "rated"
EPSILON, SOFTMAX = Epsilon(0.1, ITEMS), Softmax(1.0, ITEMS)
SIDES: dict[str, tuple[Policy, float, str]] = {  # policy, share of answers that are drawn, what ranks
    "greedy, counted": (Greedy(), 0.0, COUNTED),
    "epsilon .1, counted": (EPSILON, 1.0, COUNTED),
    "softmax in a tenth of answers, counted": (SOFTMAX, 0.1, COUNTED),
    "greedy, rated": (Greedy(), 0.0, RATED),
    "epsilon .1, rated": (EPSILON, 1.0, RATED),
    "softmax in a tenth of answers, rated": (SOFTMAX, 0.1, RATED),
}


@dataclass(frozen=True)
class Year:
    """What came of one shop."""

    regret: np.ndarray  # [W] of a place: what the best list brings more than those shown, as a share of it
    seen: float  # share of items that were shown at least once an answer in a thousand, in the last weeks
    found: float  # share of the ten best items that the ranker has among its first ten at the end


def lived(policy: Policy, share: float, counts: str, *, weeks: int, answers: int, seed: int) -> Year:
    """Let a shop show, sell and train by week."""
    rng = np.random.default_rng([seed, 0])
    appeal = np.clip(RATE * rng.gamma(2.0, 0.5, size=ITEMS), 0.0, 1.0)  # [I]
    bought = rng.poisson(LUCK, size=ITEMS).astype(float)
    asked = np.full(ITEMS, LUCK / RATE)  # looks that luck stands for
    look = gains(PLACES)  # [K] how likely a place is looked at
    best = float((np.sort(appeal)[::-1][:PLACES] * look).sum())
    rng, regret, shown = np.random.default_rng([seed, 1]), [], np.zeros(ITEMS)
    for week in range(weeks):
        order = np.argsort(-(bought / asked if counts == RATED else bought), kind="stable")  # [I] by rank
        scores = (bought / asked if counts == RATED else bought)[order]
        ask = Ask.of(scores, PLACES)
        lists = draw.simulated(policy, ask, rng, answers, share=share)  # [N, K] ranks
        chances = draw.marginals(policy, ask, week, draws=DRAWS).mixed(ask, share).mean if share else None
        items = order[lists]
        taken = rng.random(items.shape) < appeal[items] * look
        regret.append(1 - float((appeal[items] * look).sum(axis=1).mean()) / best)
        weight = np.ones(items.shape)
        if counts == RATED and chances is not None:
            weight = 1 / np.maximum(chances[np.arange(PLACES), lists], 1 / DRAWS)
        np.add.at(bought, items, taken * weight)
        np.add.at(asked, items, weight * look)
        if week >= weeks - LAST:
            shown += np.bincount(items.ravel(), minlength=ITEMS)
    rank = np.argsort(-(bought / asked if counts == RATED else bought), kind="stable")[:PLACES]
    top = np.argsort(-appeal)[:PLACES]
    seen = float((shown >= answers * min(LAST, weeks) / 1000).mean())
    return Year(np.asarray(regret), seen, len(set(rank) & set(top)) / PLACES)


def measure(asked: argparse.Namespace) -> Document:
    """Let every side live the same shops."""
    weeks, seeds, answers = QUICK.values() if asked.quick else (WEEKS, SEEDS, ANSWERS)
    sides: dict[str, Any] = {}
    for name, (policy, share, counts) in SIDES.items():
        script.note(name)
        years = [lived(policy, share, counts, weeks=weeks, answers=answers, seed=seed) for seed in range(seeds)]
        ends = np.asarray([year.regret[-LAST:].mean() for year in years])
        sides[name] = {
            "regret_first": round(float(np.mean([year.regret[0] for year in years])), 4),
            "regret_last": round(float(ends.mean()), 4),
            "regret_last_error": round(float(ends.std(ddof=1) / np.sqrt(seeds)), 4),
            "regret_all": round(float(np.mean([year.regret.mean() for year in years])), 4),
            "seen": round(float(np.mean([year.seen for year in years])), 3),
            "found": round(float(np.mean([year.found for year in years])), 3),
        }
    return {"items": ITEMS, "answers": answers, "weeks": weeks, "seeds": seeds, "sides": sides}


def text(document: Document) -> str:
    """Write the table."""
    head = ["", "regret, first week", "last four weeks", "±", "all weeks", "items shown", "of the ten best found"]
    lines = [[name, *one.values()] for name, one in document["sides"].items()]
    return script.table(head, lines)


if __name__ == "__main__":
    script.main(script.parser(__doc__, trained=False), measure, text)
