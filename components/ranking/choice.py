"""Which algorithm answers for whom: a table over predicted intents and lengths of history, as a release holds it.

Training learns it (choose.py); training, evaluation and serving look it up here. Pure numpy, no torch.

Letters: B rows, C targets, A algorithms.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from components.ranking import cohorts
from components.ranking.choose_spec import COHORT, INTENT
from feature_repo.errors import DataError
from feature_repo.rows import UserRows
from feature_repo.vocabulary import Target

Key = tuple[int | None, int | None]  # a target's and a cohort's position; None: any
ALL: Key = (None, None)


@dataclass(frozen=True)
class Cell:
    """What was learnt of the users of one intent and cohort."""

    algorithm: str  # that answers for them
    rows: int  # user-steps that it was learnt from
    users: int
    gain: float = 0.0  # of NDCG@10 over what answers for more users, shrunk towards theirs; 0: it answers here too
    low: float = 0.0  # the lower end of that gain's interval
    ndcg: Mapping[str, float] = field(default_factory=dict)  # of each algorithm on these rows


@dataclass(frozen=True)
class Choice:
    """The table. A user of a cell that it lacks is answered as the cohort is, and that as all are."""

    by: tuple[str, ...]
    algorithms: tuple[str, ...]
    targets: tuple[Target, ...]
    cells: Mapping[Key, Cell]

    @cached_property
    def _leveled(self) -> np.ndarray:
        """Tell which intents count, bool [C]: those with a level; all where none has one."""
        leveled = np.asarray([target.column is not None for target in self.targets], dtype=bool)
        return leveled if leveled.any() else np.ones(len(self.targets), dtype=bool)

    def predicted(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the likeliest intent of rows of probabilities [B, C] that counts, int64 [B]; ties: the first."""
        return np.asarray(np.argmax(np.where(self._leveled, probabilities, -1.0), axis=1))

    def keys(self, rows: UserRows, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return each row's intent and cohort, int64 [B]."""
        return self.predicted(np.atleast_2d(probabilities)), cohorts.of(rows)

    @cached_property
    def _codes(self) -> np.ndarray:
        """Spread the table over every intent and cohort, int64 [C, cohorts]: a request looks one place up."""
        code = {name: place for place, name in enumerate(self.algorithms)}
        dense = np.empty((len(self.targets), len(cohorts.NAMES)), dtype=np.int64)
        for (i, c), cell in sorted(self.cells.items(), key=lambda one: sum(part is not None for part in one[0])):
            dense[slice(None) if i is None else i, slice(None) if c is None else c] = code[cell.algorithm]
        return dense

    def codes(self, intent: np.ndarray, cohort: np.ndarray) -> np.ndarray:
        """Return which algorithm answers for rows of intents and cohorts [B], a position in `algorithms`, int64 [B]."""
        return np.asarray(self._codes[intent, cohort])

    def of(self, rows: UserRows, probabilities: np.ndarray) -> np.ndarray:
        """Return which algorithm answers for rows [B] with intents [B, C], a position in `algorithms`, int64 [B]."""
        return self.codes(*self.keys(rows, probabilities))

    def document(self) -> dict[str, Any]:
        """Return what files hold: intents and cohorts by name."""
        return {
            "by": list(self.by),
            "algorithms": list(self.algorithms),
            "cells": [
                {
                    INTENT: None if i is None else self.targets[i].name,
                    COHORT: None if c is None else cohorts.NAMES[c],
                    **{name: value for name, value in vars(cell).items() if name != "ndcg"},
                    "ndcg": dict(cell.ndcg),
                }
                for (i, c), cell in self.cells.items()
            ],
        }

    @classmethod
    def read(cls, document: Mapping[str, Any], targets: Sequence[Target]) -> "Choice":
        """Read what `document` wrote, by the targets of the vocabulary beside it."""
        place = {target.name: i for i, target in enumerate(targets)}
        number = {name: c for c, name in enumerate(cohorts.NAMES)}
        cells, algorithms = {}, tuple(document["algorithms"])
        for one in document["cells"]:
            intent, cohort = one[INTENT], one[COHORT]
            known = (intent is None or intent in place) and (cohort is None or cohort in number)
            if not known or one["algorithm"] not in algorithms:
                raise DataError(
                    f"ranking model: its choice names intent {intent}, cohort {cohort} and algorithm "
                    f"{one['algorithm']}, of which one is none of the release's; train again"
                )
            key = (None if intent is None else place[intent], None if cohort is None else number[cohort])
            cells[key] = Cell(**{name: one[name] for name in Cell.__dataclass_fields__})
        if ALL not in cells:
            raise DataError("ranking model: its choice says nothing of all users; train again")
        return cls(tuple(document["by"]), algorithms, tuple(targets), cells)
