"""Grow the trees of the architecture `gbdt` over the numbers that the networks see, in two stages, by LightGBM.

The trees (Ke et al., 2017) are turned into arrays that forest.py reads, and both are compared on training pairs before
anything is saved. Each stage draws pairs of a user-week and a target, grows until the validation rows say stop, and
keeps the trees up to the best one. A stage that ended is a checkpoint; one that was killed begins anew.

Letters: R rows, C targets, n pairs, X columns of a pair, W weeks.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from scipy.special import expit

from components.boosted_trees import DETERMINISTIC, Tree, library, trees_of
from components.intent.encode import Encoded
from components.intent.fit import UNKNOWN_SHARE, Epoch, Rows
from components.intent.forest import CATEGORIES, MOST_CELLS, Forest, cells, columns_of
from components.intent.projection import Projection
from components.intent.shape import Shape
from components.intent.spec import IntentModel
from components.served_form import CLOSE
from components.training.checkpoints import Checkpoints, State
from feature_repo.errors import DataError

PROJECTED = ("mean", "scale", "matrix")
SEEN = ("cell", *(f"profile_{name}" for name in PROJECTED))  # of a forest: how pairs are laid out before trees see them
METRIC, LEARNS, STOPS = "binary_logloss", "learns", "stops"
REPORT_TREES = 10
PATIENCE = 10  # trees in a row that may bring nothing
CHECKED = 2000  # pairs that the library and the arrays are both asked about
VALIDATE_SHARE = 4  # a validation row's pairs are drawn up to a share of the training pairs: one in so many


@dataclass(frozen=True)
class Pairs:
    """User-weeks with a target each."""

    x: np.ndarray  # [n, X] float32, columns as forest.columns_of lays them out
    label: np.ndarray  # [n] int64
    weight: np.ndarray  # [n] float64, of mean 1


@dataclass
class Boosting:
    """A forest being grown, stage after stage."""

    shape: Shape
    rows: Rows
    validate: Rows | None  # None: a refit
    unknown: Encoded  # an unknown user at the start of each week, [W] rows
    spec: IntentModel
    forest: Forest
    positives: np.ndarray | None = None  # [C] float32, what pairs that came true count; None: as all others
    epochs: list[Epoch] = field(default_factory=list)  # one a tree
    checkpoints: Checkpoints | None = None

    @classmethod
    def begun(
        cls,
        shape: Shape,
        rows: Rows,
        validate: Rows | None,
        *,
        unknown: Encoded,
        rate: np.ndarray,
        spec: IntentModel,
        projection: Projection | None = None,
        given: dict[str, np.ndarray] | None = None,
        positives: np.ndarray | None = None,
        checkpoints: Checkpoints | None = None,
    ) -> "Boosting":
        """Begin without a tree; `given` are a judged forest's cells and projection, for a refit."""
        start = {"cell": cells(rate)} if given is None else given
        if projection is not None:
            start |= {f"profile_{name}": getattr(projection, name).astype(np.float32) for name in PROJECTED}
        bare = Forest(shape, start | nodes_of([]))
        return cls(shape, rows, validate, unknown, spec, bare, positives, checkpoints=checkpoints)

    @property
    def sees(self) -> dict[str, torch.Tensor]:
        """How pairs are laid out before trees see them: cells of targets, and the profile's projection."""
        have = self.forest.weights
        return {name: torch.from_numpy(have[name]) for name in SEEN if name in have}

    def run(self, stage: str, index: np.ndarray, *, report: Callable[[float, str], None]) -> None:
        """Grow trees on the rows in `index` until the validation rows say stop; keep those up to the best."""
        assert self.validate is not None, "without validation rows nothing says when to stop"
        if self._ended(stage):
            return
        start, rng, rounds = time.monotonic(), np.random.default_rng(self.spec.seed), self.spec.trees.rounds
        learns = self._drawn(self.rows, index, rng, pairs=self.spec.trees.pairs, learns=True)
        every = np.arange(len(self.validate.week))
        check = self._drawn(
            self.validate, every, rng, pairs=max(self.spec.trees.pairs // VALIDATE_SHARE, 1), learns=False
        )
        _require_both(learns.label, check.label)
        model, losses = grow(learns, self.spec, rounds=rounds, check=check, told=_told(report, stage, rounds))
        each = round((time.monotonic() - start) / len(losses), 3)
        told = [(round(a, 6), round(b, 6)) for a, b in losses]
        best = int(np.argmin([found for _, found in told])) + 1  # of what is written down, as a refit reads it
        self._take(model, best, learns.x)
        self._finished(stage, [Epoch(stage, a, b, each) for a, b in told])

    def rerun(self, stage: str, index: np.ndarray, *, epochs: int, report: Callable[[float, str], None]) -> None:
        """Grow so many trees on the rows in `index`."""
        if self._ended(stage):
            return
        start, rng = time.monotonic(), np.random.default_rng(self.spec.seed)
        learns = self._drawn(self.rows, index, rng, pairs=self.spec.trees.pairs, learns=True)
        _require_both(learns.label)
        model, losses = grow(learns, self.spec, rounds=epochs, told=_told(report, stage, epochs))
        seconds = round(time.monotonic() - start, 2)
        self._take(model, epochs, learns.x)
        self._finished(stage, [Epoch(stage, round(losses[-1][0], 6), None, seconds)])

    def _ended(self, stage: str) -> bool:
        """Take a stage that ended before from its checkpoint; False where there is none."""
        found = None if self.checkpoints is None else self.checkpoints.load(stage)
        if self.checkpoints is None or found is None:
            return False
        self.checkpoints.tell(stage, found)
        self.epochs += [Epoch(**epoch) for epoch in found.numbers["epochs"]]
        self.forest = Forest(self.shape, {name: values.numpy() for name, values in found.tensors.items()})
        return True

    def _finished(self, stage: str, epochs: list[Epoch]) -> None:
        """Write the forest that a stage came to."""
        self.epochs += epochs
        if self.checkpoints is None:
            return
        tensors = {name: torch.from_numpy(np.ascontiguousarray(v)) for name, v in self.forest.weights.items()}
        told = [asdict(epoch) for epoch in epochs]
        self.checkpoints.save(stage, State(tensors, {"position": len(epochs), "done": True, "epochs": told}))

    def _drawn(self, rows: Rows, index: np.ndarray, rng: np.random.Generator, *, pairs: int, learns: bool) -> Pairs:
        """Draw pairs of the rows in `index` and targets.

        All targets weigh alike: trees tell them apart by category, so that an intent of one target is not lost.
        """
        C = self.shape.targets
        whole = len(index) * C
        drawn = np.sort(rng.choice(whole, min(pairs, whole), replace=False))
        place, target = np.divmod(drawn, C)
        hide = UNKNOWN_SHARE if learns else 0.0
        row, hidden = index[place], (rng.random(len(index)) < hide)[place]
        x = np.empty((len(row), CATEGORIES + self.shape.frequency + self.shape.user_inputs), dtype=np.float32)
        for mask, encoded, at in ((~hidden, rows.encoded, row), (hidden, self.unknown, rows.week[row])):
            if mask.any():
                some = at[mask], target[mask]
                x[mask] = columns_of(encoded, *some, weights=self.forest.weights, segments=self.shape.segments)
        weight = np.ones(len(row)) if rows.weight is None else rows.weight[row].astype(np.float64)
        y = rows.labels[row, target].astype(np.int64)
        if learns and self.positives is not None:
            weight = np.where(y > 0, weight * self.positives[target], weight)
        return Pairs(x, y, weight / weight.mean())

    def _take(self, model: Any, trees: int, x: np.ndarray) -> None:
        """Keep the first trees of a grown booster as arrays, which must answer as it does."""
        kept = {name: values for name, values in self.forest.weights.items() if name in SEEN}
        found = Forest(self.shape, kept | nodes_of(trees_of(model.model_to_string(num_iteration=trees))))
        some = x[np.linspace(0, len(x) - 1, min(CHECKED, len(x))).astype(np.int64)]
        off = float(np.abs(expit(found.logits(some)) - model.predict(some, num_iteration=trees)).max())
        if not off <= CLOSE:  # nor NaN
            raise RuntimeError(f"gbdt: the arrays of the trees are off by {off:g} from LightGBM's own answer")
        self.forest = found


def grow(
    learns: Pairs, spec: IntentModel, *, rounds: int, check: Pairs | None = None, told: Callable[[int], None]
) -> tuple[Any, list[tuple[float, float]]]:
    """Return LightGBM's trees, and the cross-entropy of `learns` and of `check` after each tree; `told` hears of each.

    It stops where `check` gains nothing for `PATIENCE` trees; without `check` it grows all, and its loss is no number.
    """
    lightgbm = library("models.intent.architecture: gbdt is trained")
    data = lightgbm.Dataset(
        learns.x, learns.label, weight=learns.weight, categorical_feature=list(range(CATEGORIES)), free_raw_data=True
    )
    sets, history = {LEARNS: data}, dict[str, dict[str, list[float]]]()
    callbacks = [lightgbm.record_evaluation(history), lambda env: told(env.iteration + 1)]
    if check is not None:
        sets[STOPS] = lightgbm.Dataset(check.x, check.label, weight=check.weight, reference=data)
        callbacks.append(lightgbm.early_stopping(PATIENCE, verbose=False))
    model = lightgbm.train(
        settings(spec),
        data,
        num_boost_round=rounds,
        valid_sets=list(sets.values()),
        valid_names=list(sets),
        callbacks=callbacks,
    )
    losses = history[LEARNS][METRIC]
    return model, list(zip(losses, history.get(STOPS, {METRIC: [np.nan] * len(losses)})[METRIC], strict=True))


def settings(spec: IntentModel) -> dict[str, Any]:
    """Return what LightGBM is asked for, by its own names."""
    asked = spec.trees
    return {
        "objective": "binary",
        "metric": METRIC,
        "learning_rate": asked.learning_rate,
        "num_leaves": asked.leaves,
        "max_depth": asked.depth,
        "min_data_in_leaf": asked.least,
        "min_data_per_group": min(asked.least, 100),  # of a category: never more than of a leaf
        "feature_fraction": asked.columns,
        "lambda_l2": asked.l2,
        "path_smooth": asked.smoothing,
        "cat_smooth": asked.category_smoothing,
        "seed": spec.seed,
        **DETERMINISTIC,
    }


def _told(report: Callable[[float, str], None], stage: str, rounds: int) -> Callable[[int], None]:
    """Report every so many trees."""
    report(0.0, f"{stage}, up to {rounds} trees")

    def told(tree: int) -> None:
        if tree % REPORT_TREES == 0:
            report(tree / rounds, f"{stage}, tree {tree} of up to {rounds}")

    return told


def _require_both(*labels: np.ndarray) -> None:
    """Refuse labels that are all alike: trees would split nothing."""
    for y in labels:
        if y.min() == y.max():
            raise DataError(
                f"models.intent.architecture: gbdt needs pairs of both kinds, and all {len(y):,} drawn "
                f"{'came true' if y.max() else 'came to nothing'}; give the source more events, or mend intents"
            )


def nodes_of(trees: Sequence[Tree]) -> dict[str, np.ndarray]:
    """Return trees as arrays over all nodes, as a forest reads them: of each tree its splits, then its leaves.

    A leaf has no node to its left. `goes_left` holds a row for each split by category, and a column for each value.
    """
    if not trees:
        return {"roots": np.empty(0, np.int32), "baseline": np.zeros(())}
    splits, leaves = ([len(getattr(tree, name)) for tree in trees] for name in ("threshold", "value"))
    roots = np.concatenate([[0], np.cumsum(np.add(splits, leaves))])[:-1].astype(np.int32)

    def joined(name: str, kind: type, leaf: float) -> np.ndarray:
        parts: list[np.ndarray] = []
        for tree in trees:
            parts += [getattr(tree, name).astype(kind), np.full(len(tree.value), leaf, kind)]
        return np.concatenate(parts)

    def children(name: str) -> np.ndarray:
        parts: list[np.ndarray] = []
        for tree, root, inner in zip(trees, roots, splits, strict=True):
            child = getattr(tree, name)
            parts += [root + np.where(child >= 0, child, inner - 1 - child), np.full(len(tree.value), -1)]
        return np.concatenate(parts).astype(np.int32)

    by_category = [(root + at, goes) for tree, root in zip(trees, roots, strict=True)
                   for at, goes in sorted(tree.categories.items())]  # fmt: skip
    split = np.full(sum(splits) + sum(leaves), -1, dtype=np.int32)
    goes_left = np.zeros((len(by_category), MOST_CELLS + 1), dtype=bool)  # [K, 256] by value; one unknown goes right
    for k, (node, values) in enumerate(by_category):
        split[node] = k
        goes_left[k, values] = True
    value = [part for tree, inner in zip(trees, splits, strict=True) for part in (np.zeros(inner), tree.value)]
    return {
        "roots": roots,
        "baseline": np.zeros(()),  # LightGBM's first tree holds it
        "column": joined("feature", np.int32, 0),
        "threshold": joined("threshold", np.float64, 0.0),
        "left": children("left"),
        "right": children("right"),
        "missing_left": joined("none_left", bool, False),
        "value": np.concatenate(value),
        "split": split,
        "goes_left": goes_left,
    }
