"""Rules in batch answers: each user's list is made as the door makes it, alone.

A batch names no placement, so rules of placements do not hold in it. Windows look at the user's row, which knows the
items of training.

Letters: B rows, C targets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from components.ranking.rules import book, past, pool
from components.ranking.rules.book import Asked, RuleBook
from components.ranking.rules.spec import PLACEMENTS, RULES
from components.ranking.sources import SOURCES
from feature_repo.documents.changes import Newest
from feature_repo.errors import DataError
from feature_repo.fallback import Fallback
from feature_repo.release_folder import ReleaseFolder
from feature_repo.rows import UserRows

if TYPE_CHECKING:
    from components.ranking.score import Ranker


@dataclass(frozen=True)
class BatchRules:
    """The rules of a release and of the document log, over the items of a batch."""

    book: RuleBook
    ranker: "Ranker"
    fallback: Fallback

    @classmethod
    def of(
        cls, released: ReleaseFolder, documents: Mapping[str, Newest], ranker: "Ranker", fallback: Fallback
    ) -> "BatchRules | None":
        """Read them; None where there are none. A rule that cannot be kept stops the step: nobody would see it said."""
        slices, hidden = released.slices, ranker.catalogue.hidden
        rules = book.merged(RULES.validate_python(slices.get("rules", [])), documents)
        if not rules:
            return None
        items = book.items_of(ranker.vocabulary, () if hidden is None else frozenset(np.flatnonzero(hidden).tolist()))
        read = book.read(rules, PLACEMENTS.validate_python(slices.get("placements", {})), items)
        for one in read.rules:
            if one.problem and one.rule.kind != "pin":
                raise DataError(f"rule '{one.rule.name}': {one.problem}; change or remove it (docs/rules.md)")
        return cls(read, ranker, fallback)

    def listed(
        self,
        rows: UserRows,
        probabilities: np.ndarray,
        group: int,
        *,
        modelled: bool,
        k: int,
        exclude: frozenset[int] = frozenset(),
    ) -> list[tuple[int, float, str, float]] | None:
        """Return one user's list (B = 1): item, score, source, propensity; None where no rule holds in it."""
        segment = self.fallback.names[group] if group != self.fallback.everyone else None
        asked = Asked(int(rows.now[0]), None, segment, *past.of_row(rows, self.ranker.vocabulary.signs))
        rules = self.book.for_list(asked)
        if not rules:
            return None
        made = pool.make(
            lambda n, exclude: self._rank(rows, probabilities, group, n, exclude, modelled=modelled),
            lambda items: self._score(rows, probabilities, items) if modelled else None,
            lambda ranked, n: [(one, 1.0) for one in ranked],
            rules=rules,
            asked=asked,
            k=k,
            most=max(k, sum(self.ranker.spec.limit(one.name) for one in SOURCES)),
            n_items=len(self.ranker.catalogue),
            exclude=exclude,
        )
        return [(one.item_index, float(one.score), one.source, chance) for one, chance in made.chosen]

    def _rank(
        self, rows: UserRows, probabilities: np.ndarray, group: int, n: int, exclude: frozenset[int], *, modelled: bool
    ) -> Sequence[pool.Ranked]:
        if modelled:
            return self.ranker.recommend(rows, probabilities, k=n, exclude=exclude)
        hidden = self.ranker.catalogue.hidden
        gone = () if hidden is None else np.flatnonzero(hidden).tolist()
        barred = self.ranker.eligible.barred(self.ranker.read(rows)).row(0).tolist()
        exclude = exclude.union(gone, barred)
        return self.fallback.recommend(group, n_items=len(self.ranker.catalogue), k=n, exclude=exclude)

    def _score(self, rows: UserRows, probabilities: np.ndarray, items: Sequence[int]) -> list[float]:
        return [float(value) for value in self.ranker.score(rows, probabilities, np.asarray(items, dtype=np.int64))]
