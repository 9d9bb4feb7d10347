"""The `rows` artifact as the intent steps use it: rows, labels, weeks and what belongs to them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.intent.context import FILE, TargetContext
from components.intent.events import EventCodes
from components.intent.spec import Intent
from feature_repo import columns, dropped_features, files, item_vectors
from feature_repo.calendar import Calendar
from feature_repo.dropped_features import NOTHING, Asked
from feature_repo.errors import DataError
from feature_repo.item_vectors import ItemVectors
from feature_repo.rows import UserRows
from feature_repo.vocabulary import Vocabulary

if TYPE_CHECKING:
    from components.intent.material import Material

WEEK = columns.WEEK
LABELS = "label_ids"


@dataclass(frozen=True)
class Examples:
    """What was known of B users at the start of a week, and which of C targets they then fulfilled."""

    rows: UserRows
    week: np.ndarray  # [B] int64
    labels: np.ndarray  # [B, C] uint8
    context: TargetContext
    vocabulary: Vocabulary
    calendar: Calendar
    split: dict[str, list[int]]  # weeks by part: train, validate, test
    dropped: frozenset[str] = frozenset()  # stored numbers that models do without
    weight: np.ndarray | None = None  # [B] float64, possible rows that a row stands for; None: each for itself
    asked: Asked = NOTHING  # of the profile's numbers that the model sees
    components: int | None = None  # that the network projects these numbers to; None: it sees them as they are
    numbered: np.ndarray | None = None  # [B] int64, `users` as they were among more rows; None: among these
    material: "Material | None" = None  # of architecture text: its encoder, and what turns rows into tokens
    events: EventCodes | None = None  # how the network reads events; None: it reads steps
    titles: np.ndarray | None = None  # [I, V] float32, frozen text vectors of the vocabulary's items; None: not read

    def part(self, name: str) -> np.ndarray:
        """Return the positions of the rows of a part, int64."""
        found = np.flatnonzero(np.isin(self.week, self.split[name]))
        if not len(found):
            raise DataError(
                f"rows: no user in the {name} weeks {self.split[name]}; give the source more weeks of events"
            )
        return found

    def weights(self, index: np.ndarray) -> np.ndarray | None:
        """Return how many possible rows those in `index` stand for; None: each for itself."""
        return None if self.weight is None else self.weight[index]

    @property
    def train_rate(self) -> np.ndarray:
        """Return the share of possible training rows that fulfilled each target, float64 [C]."""
        train = self.part("train")
        weight = self.weights(train)
        if weight is None:
            return np.asarray(self.labels[train].mean(axis=0))
        return np.asarray(np.average(self.labels[train], axis=0, weights=weight))

    @property
    def users(self) -> np.ndarray:
        """Number users by first appearance, which no key of pseudonyms moves, int64 [B]."""
        if self.numbered is not None:
            return self.numbered
        _, first, user = np.unique(self.rows.user_id.astype(str), return_index=True, return_inverse=True)
        return np.asarray(np.argsort(np.argsort(first))[user], dtype=np.int64)

    def without_test(self) -> "Examples":
        """Leave out the rows of the test weeks; users keep their numbers, and so their part of the validation rows."""
        kept = np.flatnonzero(~np.isin(self.week, self.split["test"]))
        return replace(
            self,
            rows=self.rows.take(kept),
            week=self.week[kept],
            labels=self.labels[kept],
            weight=self.weights(kept),
            numbered=self.users[kept],
            split=self.split | {"test": []},
        )


def load(folder: Path, intents: Sequence[Intent] | None = None) -> Examples:
    """Read the `rows` artifact; its vocabulary must be the one of the intents, where they are named."""
    vocabulary = Vocabulary.load(folder / "vocabulary")
    have = {t.intent for t in vocabulary.targets}
    want = have if intents is None else {i.name for i in intents}
    if have != want:
        raise DataError(
            f"rows: built for the intents {sorted(have)}, the spec has {sorted(want)}; build the profiles again"
        )
    table = pq.read_table(folder / "intent.parquet")
    n_targets = len(vocabulary.targets)
    week = np.asarray(table[WEEK].to_numpy(), dtype=np.int64)
    split = {k: v for k, v in files.read_json(folder / "split.json").items() if isinstance(v, list)}
    require_purged(split, int(vocabulary.horizons.max()))
    return Examples(
        rows=UserRows.from_arrow(table.drop([WEEK, LABELS])),
        week=week,
        labels=multi_hot(table[LABELS].combine_chunks(), n_targets=n_targets),
        context=TargetContext.load(folder / FILE, n_targets=n_targets),
        vocabulary=vocabulary,
        calendar=Calendar(**files.read_json(folder / "calendar.json")),
        split=split,
        dropped=dropped_features.dropped(folder),
        weight=_weight(table, week, split),
        asked=dropped_features.asked(folder),
    )


def with_titles(examples: Examples, folder: Path) -> Examples:
    """Add the frozen text vectors of the vocabulary's items, which the step `item_vectors` laid beside the rows."""
    if not (folder / item_vectors.FOLDER).is_dir():
        raise DataError(
            f"{folder}: holds no {item_vectors.FOLDER}, and models.intent.titles reads them; run the pipeline of this "
            "spec (one that was compiled for another leaves them out), or set titles: false"
        )
    found = ItemVectors.load(folder / item_vectors.FOLDER, examples.vocabulary.item_ids)
    return replace(examples, titles=found.text.dense)


def require_purged(split: dict[str, list[int]], horizon: int) -> None:
    """Refuse a split of which one part's labels reach into the next part's time; rows to judge by train nothing.

    >>> require_purged({"train": [5, 6], "validate": [10], "test": [14]}, 4)
    >>> require_purged({"train": [], "validate": [10], "test": [14]}, 4)
    """
    for part, following in (("train", "validate"), ("validate", "test")):
        if not split[part]:
            continue
        last, first = max(split[part]), min(split[following])
        if last + horizon > first:
            raise DataError(
                f"rows: labels of {part} week {last} look ahead {horizon} steps, past the first {following} cutoff "
                f"{first}; a model would learn what it is judged on, build the profiles and the training set again"
            )


def _weight(table: pa.Table, week: np.ndarray, split: dict[str, list[int]]) -> np.ndarray | None:
    """Read the rows' weights; rows that judge a model stand for themselves, or the figures would be of other rows."""
    if columns.ROW_WEIGHT not in table.column_names:
        return None
    weight = np.asarray(table[columns.ROW_WEIGHT].to_numpy(), dtype=np.float64)
    judging = ~np.isin(week, split["train"])
    if (weight[judging] != 1).any():
        wrong = int(week[judging & (weight != 1)][0])
        raise DataError(f"rows: week {wrong} judges models and has thinned rows; build the profiles again")
    return weight


def multi_hot(lists: pa.ListArray, *, n_targets: int) -> np.ndarray:
    """Return lists of target ids as uint8 [B, C].

    >>> multi_hot(pa.array([[1], [], [0, 1]]), n_targets=2).tolist()
    [[0, 1], [0, 0], [1, 1]]
    """
    labels = np.zeros((len(lists), n_targets), dtype=np.uint8)
    labels[lists.value_parent_indices().to_numpy(), lists.flatten().to_numpy()] = 1
    return labels
