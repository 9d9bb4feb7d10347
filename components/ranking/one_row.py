"""One user's row as a ranker answers it: its candidates scored, the best of them, and what follows past the last.

What the answers need of the row (how models read it, its history, what it may not be shown) is laid out once, here.
Many rows at once are ranked by score.py, whose scores these are.

Letters: B rows (1 here), C targets, M candidates.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from components.ranking.candidates import CandidateSet, candidates, given
from components.ranking.history import History
from components.ranking.scored import Recommended, Scored
from feature_repo.rows import UserRows

if TYPE_CHECKING:
    from components.ranking.score import Ranker


@dataclass(frozen=True)
class OneRow:
    """A user row and its intents, before a ranker."""

    ranker: "Ranker"
    rows: UserRows  # [1] as `Ranker.read` gives it
    probabilities: np.ndarray  # [C]
    history: History

    @classmethod
    def of(cls, ranker: "Ranker", rows: UserRows, probabilities: np.ndarray) -> "OneRow":
        """Read a row [1] with intents [C] as the ranker does."""
        rows = ranker.read(rows)
        return cls(ranker, rows, probabilities, ranker.history(rows))

    @cached_property
    def barred(self) -> np.ndarray | None:
        """Return which items the user may not be shown, bool [1, I]; None: all may be."""
        return self.ranker.barred(self.rows)

    def candidates(self) -> Scored:
        """Find and score the row's candidates."""
        ranker = self.ranker
        return self._scored(candidates(self.history, ranker.catalogue, ranker.spec, barred=self.barred))

    def of_items(self, items: np.ndarray) -> Scored:
        """Score given items, int64 [M]."""
        return self._scored(given(self.history, items))

    def recommended(self, *, k: int, exclude: Collection[int] = frozenset()) -> list[Recommended]:
        """Return the best k items; past the candidates, popular items follow. Fewer where no more may be shown."""
        ranker, scored = self.ranker, self.candidates()
        found = scored.found
        allowed = ~np.isin(found.item, np.asarray(list(exclude), dtype=np.int64)) if exclude else None
        chosen = ranker.best(scored, self.rows, min(k, max(len(found.item), 1)), allowed=allowed)[0]
        answer = scored.recommended(chosen[chosen >= 0])
        if len(answer) < k and len(found.item) < len(ranker.catalogue):
            unwanted = {*exclude, *found.item, *([] if self.barred is None else np.flatnonzero(self.barred[0]))}
            answer += self._popular(k - len(answer), answer, unwanted=unwanted)
        return answer

    def _popular(self, n: int, answer: list[Recommended], *, unwanted: Collection[int]) -> list[Recommended]:
        """Continue an answer with n of the most popular other items, none scored above what stands before it."""
        order = self.ranker.catalogue.by_popularity
        items = order[~np.isin(order, np.asarray(list(unwanted), dtype=np.int64))][:n]
        scored = self.of_items(items)
        # where a list is ordered anew, its scores do not fall
        last = answer if self.ranker.diversity is not None else answer[-1:]
        ceiling = min((one.score for one in last), default=np.inf)
        falling = np.minimum.accumulate(np.minimum(scored.scores, ceiling))
        return replace(scored, scores=falling).recommended(np.arange(len(items)))

    def _scored(self, found: CandidateSet) -> Scored:
        """Score candidates: an item that came later at least as a typical one of its category.

        Training saw nobody who knows a category well and none of an item in it, so the network alone may place such an
        item anywhere. A typical item is the median of the category's best selling ones, for this user.
        """
        scored = self._by_the_ranker(found)
        like = self.ranker.catalogue.like
        groups = [(g, at) for g in like if len(at := np.flatnonzero(np.isin(found.item, g.later)))]
        if not groups:
            return scored
        typical = np.concatenate([group.known[: group.TYPICAL] for group, _ in groups])
        others = self._by_the_ranker(given(self.history, typical)).scores
        scores, start = scored.scores.copy(), 0
        for group, places in groups:
            end = start + len(group.known[: group.TYPICAL])
            scores[places] = np.maximum(scores[places], np.median(others[start:end]))
            start = end
        return replace(scored, scores=scores)

    def _by_the_ranker(self, found: CandidateSet) -> Scored:
        return self.ranker.scored(self.rows, self.probabilities[None], self.history, found)
