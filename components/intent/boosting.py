"""Grow the trees of the architecture `gbdt`: histogram trees over the numbers that the networks see, in two stages.

The trees are scikit-learn's, which follow LightGBM (Ke et al., 2017); they are turned into arrays that forest.py reads,
and both are compared on training pairs before anything is saved. Each stage draws pairs of a user-week and a target,
grows until the validation rows say stop, and keeps the trees up to the best one.

Letters: R rows, C targets, n pairs, X columns of a pair, W weeks.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy.special import expit

from components.intent.encode import Encoded
from components.intent.fit import UNKNOWN_SHARE, Epoch, Rows
from components.intent.forest import CATEGORIES, MOST_CELLS, Forest, cells, columns_of
from components.intent.projection import Projection
from components.intent.shape import Shape
from components.intent.spec import IntentModel
from components.served_form import CLOSE
from feature_repo.errors import DataError

PROJECTED = ("mean", "scale", "matrix")
PATIENCE = 10  # trees in a row that may bring nothing
CHECKED = 2000  # pairs that the library and the arrays are both asked about
VALIDATE_SHARE = 4  # a validation row's pairs are drawn up to a share of the training pairs: one in so many


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
    ) -> "Boosting":
        """Begin without a tree; `given` are a judged forest's cells and projection, for a refit."""
        start = {"cell": cells(rate)} if given is None else given
        if projection is not None:
            start |= {f"profile_{name}": getattr(projection, name).astype(np.float32) for name in PROJECTED}
        return cls(shape, rows, validate, unknown, spec, Forest(shape, start | _nodes([])), positives)

    @property
    def sees(self) -> dict[str, torch.Tensor]:
        """How pairs are laid out before trees see them: cells of targets, and the profile's projection."""
        names = ("cell", *(f"profile_{name}" for name in PROJECTED))
        have = self.forest.weights
        return {name: torch.from_numpy(have[name]) for name in names if name in have}

    def run(self, stage: str, index: np.ndarray, *, report: Callable[[float, str], None]) -> None:
        """Grow trees on the rows in `index` until the validation rows say stop; keep those up to the best."""
        assert self.validate is not None, "without validation rows nothing says when to stop"
        report(0.0, f"{stage}, up to {self.spec.trees.rounds} trees")
        start, rng = time.monotonic(), np.random.default_rng(self.spec.seed)
        x, y, weight = self._drawn(self.rows, index, rng, pairs=self.spec.trees.pairs, learns=True)
        every = np.arange(len(self.validate.week))
        check = self._drawn(
            self.validate, every, rng, pairs=max(self.spec.trees.pairs // VALIDATE_SHARE, 1), learns=False
        )
        _require_both(y, check[1])
        model = self._booster(self.spec.trees.rounds, stops=True)
        model.fit(x, y, sample_weight=weight, X_val=check[0], y_val=check[1], sample_weight_val=check[2])
        losses = [(-float(a), -float(b)) for a, b in zip(model.train_score_, model.validation_score_, strict=True)][1:]
        each = round((time.monotonic() - start) / len(losses), 3)
        told = [(round(a, 6), round(b, 6)) for a, b in losses]
        best = int(np.argmin([found for _, found in told])) + 1  # of what is written down, as a refit reads it
        self.epochs += [Epoch(stage, a, b, each) for a, b in told]
        self._take(model, best, x)

    def rerun(self, stage: str, index: np.ndarray, *, epochs: int, report: Callable[[float, str], None]) -> None:
        """Grow so many trees on the rows in `index`."""
        report(0.0, f"{stage}, {epochs} trees")
        start, rng = time.monotonic(), np.random.default_rng(self.spec.seed)
        x, y, weight = self._drawn(self.rows, index, rng, pairs=self.spec.trees.pairs, learns=True)
        _require_both(y)
        model = self._booster(epochs, stops=False).fit(x, y, sample_weight=weight)
        seconds = round(time.monotonic() - start, 2)
        self.epochs.append(Epoch(stage, round(_loss(y, model.predict_proba(x)[:, 1], weight), 6), None, seconds))
        self._take(model, epochs, x)

    def _booster(self, rounds: int, *, stops: bool) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier

        asked = self.spec.trees
        return HistGradientBoostingClassifier(
            learning_rate=asked.learning_rate,
            max_iter=rounds,
            max_leaf_nodes=asked.leaves,
            max_depth=asked.depth,
            min_samples_leaf=asked.least,
            l2_regularization=1.0,
            categorical_features=list(range(CATEGORIES)),
            early_stopping=stops,
            n_iter_no_change=PATIENCE,
            scoring="loss",
            random_state=self.spec.seed,
        )

    def _drawn(
        self, rows: Rows, index: np.ndarray, rng: np.random.Generator, *, pairs: int, learns: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw pairs of the rows in `index` and targets: columns [n, X], labels [n], weights [n], of mean 1.

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
        return x, y, weight / weight.mean()

    def _take(self, model: Any, trees: int, x: np.ndarray) -> None:
        """Keep the first trees of a fitted booster as arrays, which must answer as it does."""
        kept = dict(self.forest.weights)
        found = [grown[0] for grown in model._predictors]
        known = model._preprocessor.named_transformers_["encoder"].categories_  # what each category's code stands for
        baseline = np.asarray(model._baseline_prediction, dtype=np.float64).reshape(())
        whole = Forest(self.shape, kept | _nodes(found, known) | {"baseline": baseline})
        some = x[np.linspace(0, len(x) - 1, min(CHECKED, len(x))).astype(np.int64)]
        off = float(np.abs(expit(whole.logits(some)) - model.predict_proba(some)[:, 1]).max())
        if off > CLOSE:
            raise RuntimeError(f"gbdt: the arrays of the trees are off by {off:g} from scikit-learn's own answer")
        self.forest = Forest(self.shape, kept | _nodes(found[:trees], known) | {"baseline": baseline})


def _require_both(*labels: np.ndarray) -> None:
    """Refuse labels that are all alike: trees would split nothing."""
    for y in labels:
        if y.min() == y.max():
            raise DataError(
                f"models.intent.architecture: gbdt needs pairs of both kinds, and all {len(y):,} drawn "
                f"{'came true' if y.max() else 'came to nothing'}; give the source more events, or mend intents"
            )


def _loss(label: np.ndarray, probability: np.ndarray, weight: np.ndarray) -> float:
    p = np.clip(probability, 1e-7, 1 - 1e-7)
    return float(-np.average(np.log(np.where(label > 0, p, 1 - p)), weights=weight))


def _nodes(trees: Sequence[Any], known: Sequence[np.ndarray] = ()) -> dict[str, np.ndarray]:
    """Return scikit-learn's trees as arrays over all nodes; a leaf has no node to its left.

    `known` are the values of each category's column that were seen, in the order of the library's codes.
    """
    if not trees:
        return {"roots": np.empty(0, np.int32), "baseline": np.zeros(())}
    sizes = [len(tree.nodes) for tree in trees]
    roots = np.concatenate([[0], np.cumsum(sizes)])[:-1].astype(np.int32)
    nodes = np.concatenate([tree.nodes for tree in trees])
    start, leaf = np.repeat(roots, sizes), nodes["is_leaf"] > 0
    bitsets = np.concatenate([tree.raw_left_cat_bitsets.reshape(-1, 8) for tree in trees])  # [K, 8] uint32
    first = np.repeat(np.concatenate([[0], np.cumsum([len(tree.raw_left_cat_bitsets) for tree in trees])])[:-1], sizes)
    by_category = np.flatnonzero((nodes["is_categorical"] > 0) & ~leaf)  # [K]
    split = np.full(len(nodes), -1, dtype=np.int32)
    split[by_category] = np.arange(len(by_category))
    goes_left = np.empty((len(by_category), MOST_CELLS + 1), dtype=bool)  # [K, 256] by value
    goes_left[:] = (nodes["missing_go_to_left"][by_category] > 0)[:, None]  # of a value that training never saw
    for k, node in enumerate(by_category):
        values = known[nodes["feature_idx"][node]].astype(np.int64)
        code = np.arange(len(values))
        words = bitsets[first[node] + nodes["bitset_idx"][node]][code >> 5]
        goes_left[k, values] = (words >> (code & 31).astype(np.uint32)) & 1
    return {
        "roots": roots,
        "column": np.where(leaf, 0, nodes["feature_idx"]).astype(np.int32),
        "threshold": nodes["num_threshold"].astype(np.float64),
        "left": np.where(leaf, -1, start + nodes["left"]).astype(np.int32),
        "right": np.where(leaf, -1, start + nodes["right"]).astype(np.int32),
        "missing_left": (nodes["missing_go_to_left"] > 0) & ~leaf,  # of a number that is none
        "value": nodes["value"].astype(np.float64),
        "split": split,
        "goes_left": goes_left,
    }
