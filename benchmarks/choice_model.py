"""A choice model fitted on real baskets: how likely a household takes an item along at its next visit.

A logistic regression over what the visits before tell of the pair (McFadden 1974, with an independent choice for each
item of a basket): how often, how lately, how popular, how often of its category. Each visit is predicted from those
before it alone. `benchmarks.real_users` plays it as users of a door.

Letters: V visits, I items, C categories, U households, F features.
"""

from dataclasses import dataclass

import numpy as np

EVIDENCE = 5.0  # visits by which the share of everybody counts in a household's own
DECAY = 0.9  # a visit
NAMES = ("own rate", "own decayed rate", "visits since", "popularity", "category's rate", "in the basket before")
Pairs = np.ndarray  # float32 [V, I, F]


@dataclass(frozen=True)
class Baskets:
    """Visits in the order of time, with what was taken along."""

    household: np.ndarray  # int64 [V]
    week: np.ndarray  # int64 [V]
    taken: np.ndarray  # bool [V, I]
    category: np.ndarray  # int64 [I]

    @property
    def households(self) -> int:
        """Return how many households there are."""
        return int(self.household.max()) + 1


@dataclass(frozen=True)
class ChoiceModel:
    """A fitted model."""

    weight: np.ndarray  # [F], of standardised features
    intercept: float
    mean: np.ndarray  # [F]
    scale: np.ndarray  # [F]

    def chances(self, features: np.ndarray) -> np.ndarray:
        """Return the probability of each pair, of features [..., F]."""
        z = ((features - self.mean) / self.scale) @ self.weight + self.intercept
        return np.asarray(1 / (1 + np.exp(-z)))


@dataclass(frozen=True)
class Judged:
    """What a model says of visits that it did not learn from, beside the household's own rate."""

    visits: int
    taken: float  # mean share of the items that a visit takes
    log_loss: float  # of a pair
    own_rate_log_loss: float
    auc: float
    own_rate_auc: float
    farthest: float  # largest difference of said and seen, over tenths of what is said, in points


class _Past:
    """What the visits so far tell; `seen` gives it before a visit, `add` goes on."""

    def __init__(self, baskets: Baskets, share: np.ndarray) -> None:
        users, items = baskets.households, len(baskets.category)
        categories = int(baskets.category.max()) + 1
        self.category, self.share = baskets.category, share  # share [I] of visits, by everybody
        self.of_category = np.zeros(categories)
        np.maximum.at(self.of_category, baskets.category, share)
        self.visits = np.zeros(users)
        self.count, self.fast, self.before = (np.zeros((users, items)) for _ in range(3))
        self.last = np.full((users, items), -np.inf)
        self.count_of_category = np.zeros((users, categories))

    def seen(self, u: int) -> np.ndarray:
        """Return a household's features, float32 [I, F]."""
        n = self.visits[u]
        own = (self.count[u] + EVIDENCE * self.share) / (n + EVIDENCE)
        lately = (self.fast[u] + self.share) / (min((1 - DECAY**n) / (1 - DECAY), n) + 1)
        since = np.log1p(np.minimum(n - self.last[u], 100.0))
        kin = (self.count_of_category[u] + EVIDENCE * self.of_category) / (n + EVIDENCE)
        columns = [np.log(own), np.log(lately), since, np.log(self.share), np.log(kin)[self.category], self.before[u]]
        return np.stack(columns, axis=1).astype(np.float32)

    def add(self, u: int, taken: np.ndarray) -> None:
        """Take a visit into account."""
        self.visits[u] += 1
        self.count[u] += taken
        self.fast[u] = DECAY * self.fast[u] + taken
        self.last[u, taken] = self.visits[u]
        self.before[u] = taken
        self.count_of_category[u, np.unique(self.category[taken])] += 1


def features(baskets: Baskets, *, share: np.ndarray, since: int) -> tuple[Pairs, np.ndarray, np.ndarray]:
    """Return the features of the visits from week `since` on, their places [V'], and what households know at the end.

    The last is float32 [U, I, F]; `share` [I] is the share of visits that took each item, above 0.
    """
    past, found, place = _Past(baskets, share), [], []
    for visit, (u, week) in enumerate(zip(baskets.household.tolist(), baskets.week.tolist(), strict=True)):
        if week >= since:
            found.append(past.seen(u))
            place.append(visit)
        past.add(u, baskets.taken[visit])
    now = np.stack([past.seen(u) for u in range(baskets.households)])
    return np.stack(found), np.asarray(place), now


def fit(pairs: Pairs, taken: np.ndarray) -> ChoiceModel:
    """Fit the regression on visits' features [V, I, F] and what they took, bool [V, I]."""
    from sklearn.linear_model import LogisticRegression

    x, y = pairs.reshape(-1, pairs.shape[-1]).astype(np.float64), taken.ravel()
    mean, scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-9)
    made = LogisticRegression(C=1e6, max_iter=500).fit((x - mean) / scale, y)
    return ChoiceModel(made.coef_[0], float(made.intercept_[0]), mean, scale)


def judge(model: ChoiceModel, pairs: Pairs, taken: np.ndarray) -> Judged:
    """Judge a model on other visits."""
    from sklearn.metrics import log_loss, roc_auc_score

    y, said, own = taken.ravel(), model.chances(pairs).ravel(), np.exp(pairs[..., 0]).ravel()
    parts = np.array_split(np.argsort(said, kind="stable"), 10)
    off = [abs(float(said[part].mean()) - float(y[part].mean())) for part in parts]
    losses, areas = zip(*((log_loss(y, p), roc_auc_score(y, p)) for p in (said, own)), strict=True)
    return Judged(len(taken), float(taken.mean()), losses[0], losses[1], areas[0], areas[1], max(off))
