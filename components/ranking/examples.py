"""What the ranker learns from and is judged by: user rows with the items bought in the week after them.

Reads the `rows` artifact and joins the intent model's out-of-time probabilities. Computes no feature. An item that the
spec lets nobody show its user (eligibility.py) is no label: under `repeat: forbid` labels are new items.

Letters: B rows, I items, C targets.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.ranking import eligibility, feature_names, metrics
from components.ranking.eligibility import ANY, Eligibility
from components.ranking.graph import Graph
from components.ranking.relevance import relevance
from components.ranking.spec import FORBID, Ranking, Weight
from feature_repo import columns, dropped_features, files, records
from feature_repo.calendar import Calendar
from feature_repo.edges import Edges
from feature_repo.errors import DataError
from feature_repo.item_vectors import FOLDER, ItemVectors
from feature_repo.rows import Ragged, UserRows
from feature_repo.vocabulary import Vocabulary

WEEK, BOUGHT = columns.WEEK, "bought"


@dataclass(frozen=True)
class Examples:
    """User-weeks in which something was bought; nothing but repeats in some, where the spec forbids these."""

    rows: UserRows
    week: np.ndarray  # [B] int64, the label week: the row knows what happened before it
    bought: Ragged  # item indexes bought in the week
    probabilities: np.ndarray  # [B, C] float32, from an intent model that had not seen the week
    worth: Ragged | None = None  # how much each item bought is wanted, 0..1; None: all alike
    shown: Ragged | None = None  # item indexes shown in the week; None: not logged

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: np.ndarray) -> "Examples":
        """Return the rows in `index`, in its order."""
        return Examples(
            self.rows.take(index),
            self.week[index],
            self.bought.take(index),
            self.probabilities[index],
            None if self.worth is None else self.worth.take(index),
            None if self.shown is None else self.shown.take(index),
        )

    def of_weeks(self, weeks: Collection[int]) -> "Examples":
        """Return the rows of some weeks that have a label, in their order."""
        return self.take(np.flatnonzero(np.isin(self.week, list(weeks)) & self.labelled))

    @property
    def labelled(self) -> np.ndarray:
        """Tell which rows have something to find, bool [B]."""
        return np.asarray(np.diff(self.bought.offsets) > 0)


@dataclass(frozen=True)
class World:
    """All that the `rows` artifact tells the ranker."""

    examples: Examples
    item_state: pa.Table  # week, item_index and columns.ITEM_NUMBERS as known at the start of the week
    vocabulary: Vocabulary
    calendar: Calendar
    split: dict[str, list[int]]  # train, validate, test: label weeks
    dropped: frozenset[str] = frozenset()  # stored numbers that models do without
    eligible: Eligibility = ANY  # what labels, candidates and baselines keep to
    weight: Weight | None = None  # what labels are weighed by
    ties: Edges | None = None  # who acted on whom and when that was known, where items are people
    vectors: ItemVectors | None = None  # of the items' texts and images, where the spec declares them
    start: str | None = None  # the baseline whose order training starts from
    learn: tuple[str, ...] = ()  # candidate sources to fit, by name

    def graph(self, week: int) -> Graph | None:
        """Return who had acted on whom as known at the start of a week; None where items are no people."""
        return None if self.ties is None else Graph.of(*self.ties.before(week), self.vocabulary.index_of_item)

    @property
    def features(self) -> tuple[str, ...]:
        """Name what a model sees of a candidate, in its order."""
        return tuple(
            dropped_features.kept(
                feature_names.features(
                    self.vocabulary.signs,
                    people=self.ties is not None,
                    content=self.vectors is not None,
                    knowledge=columns.KNOWLEDGE in self.vocabulary.items.column_names,
                    start=self.start,
                    learnt=self.learn,
                ),
                self.dropped,
            )
        )

    @property
    def rule(self) -> str:
        """Name by what rule labels are made and judged, '' for all that was bought, alike."""
        weighed = "" if self.weight is None else f"{self.weight.scale} of {self.weight.of}"
        within = f"within {self.ahead} steps" if self.ahead > 1 else ""
        return " ".join(part for part in (self.eligible.rule, weighed, within) if part)

    @property
    def ahead(self) -> int:
        """Return how many steps labels look ahead."""
        return int(self.split.get(columns.LABELS_AHEAD, [1])[0])

    @property
    def present(self) -> set[int]:
        """The label weeks that have rows to train or judge by; others have rows for a refit alone."""
        labelled = np.unique(self.examples.week[self.examples.labelled]).tolist()
        return set(labelled) & {*self.split.get("ranking", labelled)}

    def weeks(self, part: str) -> list[int]:
        """List the label weeks of a part of the split that have rows."""
        found = [week for week in self.split[part] if week in self.present]
        if not found:
            new = ("that was new to them ", " `repeat: allow`,") if self.eligible.repeat == FORBID else ("", "")
            raise DataError(
                f"rows: no user bought a vocabulary item {new[0]}in the {part} weeks {self.split[part]};{new[1]} "
                "lower models.ranking.min_item_sessions or widen data.split"
            )
        return found


def load(rows: Path, intent: Path, spec: Ranking | None = None, *, key: str | None = None) -> World:
    """Read the `rows` artifact and the intent model folder beside it; `spec` says what a user may be shown.

    `key` is the key of the rows' pseudonyms, needed where items are users.
    """
    wanted = [name for name in pq.read_schema(rows / "ranking.parquet").names if name not in columns.RECENT_LISTS]
    if columns.ROW_WEIGHT in wanted:  # every list of a user who bought is kept: thinned ones come from elsewhere
        raise DataError("rows: ranking.parquet has weights, which the ranker does not read; build the profiles again")
    table = pq.read_table(rows / "ranking.parquet", columns=wanted)
    vocabulary = Vocabulary.load(rows / "vocabulary")
    bought = Ragged.from_arrow(table[BOUGHT].combine_chunks(), np.int64)
    week = np.asarray(table[WEEK].to_numpy(), dtype=np.int64)
    strength = None
    if columns.LABEL_STRENGTH in wanted:
        strength = Ragged.from_arrow(table[columns.LABEL_STRENGTH].combine_chunks(), np.float64)
        table = table.drop([columns.LABEL_STRENGTH])
    shown = None
    if columns.LABEL_SHOWN in wanted:
        shown = Ragged.from_arrow(table[columns.LABEL_SHOWN].combine_chunks(), np.int64)
        table = table.drop([columns.LABEL_SHOWN])
    user_rows = records.read(UserRows.from_arrow(table.drop([WEEK, BOUGHT])), vocabulary.signs)
    out_of_time = pq.read_table(intent / "out_of_time.parquet")
    probabilities = join(user_rows.user_id, week, out_of_time, n_targets=len(vocabulary.targets))
    spec = spec or Ranking()
    eligible = eligibility.of(spec, vocabulary.item_ids, key=key)
    if eligible.own and not eligible.own.keys() & set(user_rows.user_id.tolist()):
        raise DataError(
            f"models.ranking.exclude_self: none of the {len(vocabulary.item_ids):,} items has the id of a user with "
            "rows, so items are no users here; leave exclude_self out, or map item_id to a column of user ids"
        )
    split = files.read_json(rows / "split.json")
    require_purged(split)
    worth = _worth(strength, week, spec.weight, train=split["train"]) if spec.weight is not None else None
    worth = strength if vocabulary.signs else worth  # a week's largest share of the weights, 0..1 already
    keep = np.ones(len(bought.values), dtype=bool) if worth is None else worth.values > 0
    if eligible.bars:
        keep &= ~metrics.among(bought, eligible.barred(user_rows), len(vocabulary.item_ids))
    if not keep.all():
        bought, worth = metrics.only(bought, keep), None if worth is None else metrics.only(worth, keep)
    return World(
        examples=Examples(user_rows, week, bought, probabilities, worth, shown),
        item_state=pq.read_table(rows / "item_state.parquet"),
        vocabulary=vocabulary,
        calendar=Calendar(**files.read_json(rows / "calendar.json")),
        split=split,
        dropped=dropped_features.dropped(rows),
        eligible=eligible,
        weight=spec.weight,
        ties=Edges.load(rows) if vocabulary.people else None,
        vectors=vectors_of(rows, spec, vocabulary),
        start=spec.start,
        learn=spec.learn,
    )


def vectors_of(rows: Path, spec: Ranking, vocabulary: Vocabulary) -> ItemVectors | None:
    """Read the vectors of items beside the rows, which are there where the spec declares some."""
    if (rows / FOLDER).is_dir():
        return ItemVectors.load(rows / FOLDER, vocabulary.item_ids)
    if spec.vectors is not None:
        raise DataError(
            "rows: hold no vectors, and the spec declares `vectors`; this pipeline was compiled of a spec without "
            "them: compile and upload it again (`intentflow apply`)"
        )
    return None


def _worth(strength: Ragged | None, week: np.ndarray, weight: Weight, *, train: Collection[int]) -> Ragged:
    """Return how much each label is wanted, on the scale of the training weeks' labels."""
    if strength is None:
        raise DataError(f"rows: ranking.parquet has no {columns.LABEL_STRENGTH}; make the training set again")
    known = strength.values[np.isin(week, list(train))[strength.row_of_value()]]
    return Ragged(relevance(strength.values, known, weight.scale), strength.offsets)


def require_out_of_time(
    scored: Mapping[str, Collection[int]] | None, weeks: Collection[int], *, horizon: int = 1
) -> None:
    """Refuse intents of `weeks` that come from a network which had learnt from the same week or a later one.

    `scored` is what the intent model's training.json says: the weeks that each stage learnt from, and those it scored.
    Labels look ahead `horizon` steps, so that much must have passed since the last week that was learnt from.

    >>> scored = {"early": [1], "scored_by_early": [2], "full": [1, 2], "scored_by_full": [3]}
    >>> require_out_of_time(scored, [2, 3])
    """
    if scored is None:
        raise DataError("intent: training.json names no weeks; train the intent model again")
    for week in sorted(weeks):
        stage = next((one for one in ("early", "full") if week in scored[f"scored_by_{one}"]), None)
        if stage is None:
            raise DataError(f"intent: out_of_time.parquet has no scores of week {week}; train the intent model again")
        if (last := max(scored[stage], default=week - horizon)) + horizon > week:
            raise DataError(
                f"intent: the scores of week {week} come from a network that had learnt from week {last}"
                + (f", whose labels look ahead {horizon} steps" if horizon > 1 else "")
                + "; a ranker "
                "learns from intents that were predicted before they came true, train the intent model again"
            )


def join(user_id: np.ndarray, week: np.ndarray, out_of_time: pa.Table, *, n_targets: int) -> np.ndarray:
    """Find each row's out-of-time probabilities by user and week, float32 [B, C]."""
    wanted = pa.table({columns.USER_ID: user_id.astype(str), WEEK: week, "position": np.arange(len(week))})
    have = pa.table(
        {
            columns.USER_ID: out_of_time[columns.USER_ID].cast(pa.string()),
            WEEK: out_of_time[WEEK].cast(pa.int64()),
            "found": np.arange(out_of_time.num_rows),
        }
    )
    joined = wanted.join(have, [columns.USER_ID, WEEK], join_type="inner").sort_by("position")
    if joined.num_rows != len(week):
        raise DataError(
            f"intent: out_of_time.parquet has probabilities for {joined.num_rows} of {len(week)} ranking rows; "
            "train the intent model on the same rows"
        )
    lists = out_of_time["probabilities"].combine_chunks()
    flat = np.asarray(lists.flatten().to_numpy(zero_copy_only=False), dtype=np.float32)
    if len(flat) != out_of_time.num_rows * n_targets:
        raise DataError(
            f"intent: out_of_time.parquet has {len(flat) / max(out_of_time.num_rows, 1):g} probabilities a row, "
            f"the vocabulary {n_targets} targets; train the intent model on the same rows"
        )
    found: np.ndarray = flat.reshape(-1, n_targets)[joined["found"].to_numpy()]
    return found


def require_purged(split: Mapping[str, Sequence[int]]) -> None:
    """Refuse parts where labels of one, which look several steps ahead, lie in the next.

    >>> require_purged({"train": [5, 6], "validate": [9], "test": [12], columns.LABELS_AHEAD: [3]})
    """
    ahead = next(iter(split.get(columns.LABELS_AHEAD, [1])))
    for part, following in (("train", "validate"), ("validate", "test")):
        if ahead > 1 and split[part] and split[following] and max(split[part]) + ahead > min(split[following]):
            raise DataError(
                f"rows: labels of the {part} step {max(split[part])} look {ahead} steps ahead, into the {following} "
                f"steps from {min(split[following])} on; build the rows again"
            )
