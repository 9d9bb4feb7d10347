"""Candidates with their scores: which of them are best, and how an answer names one.

Training, evaluation and serving order candidates here alone. It scores nothing (score.py) and knows no user.

Letters: B rows, M candidates over all rows.
"""

import math
from dataclasses import dataclass

import numpy as np

from components.ranking.baseline_net import is_formula
from components.ranking.candidates import CandidateSet
from components.ranking.levels import Facts
from components.ranking.sources import NAMES, finder
from feature_repo import columns

FACT = {  # reasons that are named otherwise than their fact
    "near_history": "near",
    "popular_share": columns.SHARES[1],
    "category_weeks": "target_weeks",
    "in_flyer": "offer_flyer",
}
TIE = np.float32(1e-5)


@dataclass(frozen=True)
class Recommended:
    """One recommended item: why it was a candidate, and the facts that speak for it."""

    item_index: int
    score: float  # compares within one answer only
    source: str
    reasons: dict[str, float]
    algorithm: str | None = None  # that scored it, where the ranker chooses among several


@dataclass(frozen=True)
class Scored:
    """Candidates of B rows with their facts and scores."""

    found: CandidateSet
    facts: Facts
    scores: np.ndarray  # [M] float32, float64 of a baseline and of a choice
    spoke: np.ndarray | None = None  # [B] int64: which of `algorithms` scored the row; None: there is one
    algorithms: tuple[str, ...] = ()

    @classmethod
    def whole(
        cls,
        found: CandidateSet,
        facts: Facts,
        scores: np.ndarray,
        spoke: np.ndarray | None = None,
        algorithms: tuple[str, ...] = (),
    ) -> "Scored":
        """Return scores that all are numbers; ArithmeticError for others, which sort beside nothing."""
        if math.isnan(np.minimum.reduce(scores, initial=0.0)):
            raise ArithmeticError(f"{np.count_nonzero(np.isnan(scores))} of {len(scores)} scores are no numbers")
        return cls(found, facts, scores, spoke, algorithms)

    def recommended(self, places: np.ndarray) -> list[Recommended]:
        """Return candidates as answers have them, in the order of `places`."""
        found, facts = self.found, self.facts
        items, scores, codes = (values[places].tolist() for values in (found.item, self.scores, found.source))
        spoke = [None] * len(places) if self.spoke is None else self.spoke[found.row[places]].tolist()
        reasons = {code: {name: FACT.get(name, name) for name in finder(NAMES[code]).REASONS} for code in set(codes)}
        names = {fact for of_code in reasons.values() for fact in of_code.values()}
        known = {fact: facts.at(fact, places).tolist() for fact in names}
        return [
            Recommended(
                item_index=item,
                score=score,
                source=NAMES[code],
                reasons={name: round(known[fact][m], 4) for name, fact in reasons[code].items() if known[fact][m] > 0},
                algorithm=None if by is None else self.algorithms[by],
            )
            for m, (item, score, code, by) in enumerate(zip(items, scores, codes, spoke, strict=True))
        ]


def top(scored: Scored, k: int, *, allowed: np.ndarray | None = None) -> np.ndarray:
    """Return each row's best k candidates by position, -1 where there are fewer, int64 [B, k]; ties by item.

    A network's scores that are closer than `TIE` are ties: their last bits depend on how many rows were scored at once.
    """
    found = scored.found
    if len(found.offsets) == 2:  # of one row, as a service asks
        return _top_of_one(scored, k, allowed)
    member = np.arange(len(found.item)) if allowed is None else np.flatnonzero(allowed)
    row = found.row[member]
    order = np.lexsort((found.item[member], -_compared(scored, member, row), row))
    rank = np.arange(len(member)) - np.searchsorted(row, row)
    best = np.full((len(found.offsets) - 1, k), -1, dtype=np.int64)
    keep = rank < k
    best[row[keep], rank[keep]] = member[order][keep]
    return best


def _top_of_one(scored: Scored, k: int, allowed: np.ndarray | None) -> np.ndarray:
    """Do the same for one row, sorting no more than may be among its best."""
    M = len(scored.found.item)
    member = np.arange(M) if allowed is None else np.flatnonzero(allowed)
    compared = _compared(scored, member, np.zeros(len(member), dtype=np.int64))
    if len(member) > k > 0:
        likely = compared >= np.partition(compared, len(compared) - k)[len(compared) - k]
        member, compared = member[likely], compared[likely]
    order = np.lexsort((scored.found.item[member], -compared))[:k]
    best = np.full((1, k), -1, dtype=np.int64)
    best[0, : len(order)] = member[order]
    return best


def _compared(scored: Scored, member: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Return the scores of some candidates as they are compared: of a network in steps of TIE."""
    scores = scored.scores[member]
    if scored.spoke is None:
        return np.asarray(np.rint(scores / TIE) if scores.dtype == np.float32 else scores)
    exact = np.asarray([is_formula(name) for name in scored.algorithms])[scored.spoke][row]
    return np.asarray(np.where(exact, scores, np.rint(scores / TIE)))
