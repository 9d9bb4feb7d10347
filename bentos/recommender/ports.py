"""The interfaces of the parts behind the door. The real ones are components.intent.score.IntentScorer,
components.ranking.score.Ranker and feature_repo.online.profiles.OnlineProfiles, or their remote clients.

Letters: B rows, C targets of the intent model, M items asked about.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from components.ranking.rules import pool
from feature_repo.memory import Remembered
from feature_repo.rows import UserRows
from feature_repo.update import Event
from feature_repo.vocabulary import Vocabulary

Recommended = pool.Ranked  # one ranked item, as lists are made of it


class Scorer(Protocol):
    """Predicts intents."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary that C follows."""

    def predict(self, rows: UserRows) -> np.ndarray:
        """Return probabilities [B, C]."""


class Explained(Protocol):
    """Why an intent has its probability."""

    def document(self) -> dict[str, Any]:
        """Return what schemas.Causes holds, and more."""


class Explains(Protocol):
    """Says why intents have their probabilities."""

    def __call__(self, rows: UserRows, targets: Sequence[int]) -> Sequence[Explained]:
        """Explain some targets of one user's row (B = 1); none where the model has no form that tells."""


class ExplainsForecasts(Protocol):
    """Says why forecasts are what they are."""

    def __call__(self, rows: UserRows) -> Sequence[Explained]:
        """Explain all forecasts of one user's row (B = 1)."""


class Decides(Protocol):
    """Knows from which probability on an intent counts as yes."""

    def decided(self, probability: np.ndarray) -> np.ndarray:
        """Return yes or no for probabilities [C]."""


class SessionSaid(Protocol):
    """What is said of a visit."""

    @property
    def events(self) -> int:
        """How many of the visit's events it rests on; 0: no visit goes on, and the probabilities are rates."""

    @property
    def probabilities(self) -> np.ndarray:
        """By intent of a visit."""


class Sessions(Protocol):
    """Predicts what the rest of a visit holds."""

    @property
    def names(self) -> list[str]:
        """The intents, in the order of probabilities."""

    def said(self, memory: Sequence[Remembered], *, now: int) -> SessionSaid:
        """Answer from a user's last events."""


class Forecasts(Protocol):
    """Predicts amounts, and which value comes next."""

    def said(self, rows: UserRows | None) -> list[dict[str, Any]]:
        """Answer for one user (B = 1), in words; for nobody, None, what is usual."""


class Similar(Protocol):
    """Items like an item."""

    @property
    def items(self) -> Sequence[Recommended]:
        """The most alike first; the source is what they were compared by."""

    @property
    def bases(self) -> tuple[str, ...]:
        """What items can be compared by."""


class RecommendedValue(Protocol):
    """One value of an attribute for a user."""

    @property
    def value(self) -> str:
        """As the items have it."""

    @property
    def score(self) -> float:
        """What it was ordered by."""

    @property
    def source(self) -> str:
        """Where its best item came from."""

    @property
    def items(self) -> Sequence[int]:
        """Positions of its best items, best first."""

    @property
    def reasons(self) -> dict[str, float]:
        """The strongest feature values."""


class Ranker(Protocol):
    """Finds and orders items."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary that item indexes follow."""

    def recommend(
        self, rows: UserRows, probabilities: np.ndarray, *, k: int, exclude: frozenset[int]
    ) -> Sequence[Recommended]:
        """Return at most k items of one user (B = 1), best first."""

    def score(self, rows: UserRows, probabilities: np.ndarray, item_indexes: np.ndarray) -> np.ndarray:
        """Return the scores [M] of items for one user (B = 1)."""

    def algorithm_of(self, rows: UserRows, probabilities: np.ndarray) -> str:
        """Name the algorithm that scores items for one user (B = 1), whether or not there are several."""

    def values(
        self, rows: UserRows, probabilities: np.ndarray, *, attribute: str, k: int, exclude: frozenset[int]
    ) -> Sequence[RecommendedValue]:
        """Return at most k values of an attribute that the release recommends, for one user (B = 1)."""

    def similar(self, item: int, *, k: int, exclude: frozenset[int], by: str | None) -> Similar:
        """Return at most k items like one, by all bases or one; by one that is not held, none."""

    def by(self, algorithm: str) -> "Ranker":
        """Return the ranker that orders the same candidates by another algorithm, which needs no training."""


class Profiles(Protocol):
    """Reads user rows and folds events into them."""

    def read(self, user_ids: Sequence[str], *, now: int) -> UserRows:
        """Return the rows of users as asked about at `now`."""

    def memories(self, user_ids: Sequence[str]) -> list[list[Remembered] | None]:
        """Return the last events of users, oldest first; None of whom no row has a memory."""

    def forgotten(self, user_ids: Sequence[str]) -> frozenset[str]:
        """Return which of some users were forgotten, as the store knows now."""

    def heard_of(self, user_id: str) -> bool:
        """Tell whether a user was forgotten as far as the last reads heard."""

    def push_all(self, events: Mapping[str, Sequence[Event]]) -> object:
        """Fold events by user into the stored rows; the next read sees them."""
