"""Boosted trees that learn to order lists (LambdaMART: Burges, 2010), by LightGBM; trees.py serves them.

Training stops by NDCG@10 on the validation weeks, as the network's does. One thread and a fixed seed: equal input gives
equal trees.

Letters: M candidates over all lists, F features.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from components import boosted_trees
from components.ranking.models.trees import Trees

if TYPE_CHECKING:
    from components.ranking.lists import Lists

MOST_TREES, PATIENCE = 300, 20  # trees without a better validation NDCG before training stops
GRADES = 10  # steps between not wanted and wanted most, where labels are weighed
CLOSE = 1e-5  # by how much the served form may differ
COMPARED = 5_000  # candidates
SETTINGS: dict[str, Any] = {
    "objective": "lambdarank",
    "metric": "None",
    "lambdarank_truncation_level": 30,
    "label_gain": list(range(GRADES + 1)),
    "learning_rate": 0.08,
    "num_leaves": 31,
    "min_data_in_leaf": 50,
    **boosted_trees.DETERMINISTIC,
}
Ndcg = Callable[[np.ndarray], float]


def library() -> Any:
    """Return LightGBM, which only this ranker needs, and only to be trained."""
    return boosted_trees.library("models.ranking.algorithm: lambdamart is trained")


def fit(
    of: "Lists", *, seed: int, check: "Lists | None" = None, ndcg: Ndcg | None = None, trees: int = MOST_TREES
) -> tuple[Trees, list[float]]:
    """Fit trees to lists; return them at their best, and what `ndcg` tells of the scores of `check` after each.

    Without `check` all `trees` are kept and none is told of.
    """
    lightgbm = library()
    told: list[float] = []

    def measured(scores: np.ndarray, data: Any) -> tuple[str, float, bool]:
        told.append(round(ndcg(scores), 5) if ndcg is not None else 0.0)
        return "ndcg", told[-1], True

    data = _data(lightgbm, of)
    more: dict[str, Any] = {}
    if check is not None:
        stop = lightgbm.early_stopping(PATIENCE, verbose=False)
        more = {"valid_sets": [_data(lightgbm, check, like=data)], "feval": measured, "callbacks": [stop]}
    made = lightgbm.train(SETTINGS | {"seed": seed}, data, num_boost_round=trees, **more)
    kept = made.best_iteration if check is not None else trees
    found = served(made.model_to_string(num_iteration=kept))
    require_same(found, made.predict(of.features[:COMPARED], num_iteration=kept), of.features[:COMPARED])
    return found, told


def served(text: str) -> Trees:
    r"""Return the trees that LightGBM writes of a model in the form that serves them.

    >>> lines = "Tree=0", "split_feature=1", "threshold=0.5", "left_child=-1", "right_child=-2", "leaf_value=3 4"
    >>> served("\n".join(lines)).score(np.array([[9.0, 0.5], [0.0, 0.6]])).tolist()
    [3.0, 4.0]
    """
    read = boosted_trees.trees_of(text)
    splits = max([len(tree.threshold) for tree in read] + [1])
    leaves = max([len(tree.value) for tree in read] + [1])

    def stacked(name: str, kind: type, width: int, filler: float) -> np.ndarray:
        found: np.ndarray = np.full((len(read), width), filler, dtype=kind)
        for place, tree in enumerate(read):
            values = getattr(tree, name)
            found[place, : len(values)] = values
        return found

    # A tree without a split sends everything to its first leaf.
    return Trees(
        feature=stacked("feature", np.int32, splits, 0),
        threshold=stacked("threshold", np.float64, splits, 0.0),
        left=stacked("left", np.int32, splits, -1),
        right=stacked("right", np.int32, splits, -1),
        value=stacked("value", np.float64, leaves, 0.0),
    )


def require_same(found: Trees, said: np.ndarray, features: np.ndarray) -> None:
    """Refuse trees that score otherwise than LightGBM does."""
    off = float((np.abs(found.score(features) - said) / np.maximum(np.abs(said), 1.0)).max(initial=0.0))
    if not off <= CLOSE:  # nor NaN
        raise RuntimeError(f"lambdamart: its served form is off by {off:g}, more than {CLOSE:g}")


def _data(lightgbm: Any, of: "Lists", *, like: Any = None) -> Any:
    sizes = np.diff(of.offsets)
    return lightgbm.Dataset(of.features, label=_grades(of), group=sizes[sizes > 0], reference=like)


def _grades(of: "Lists") -> np.ndarray:
    """Return how much each candidate is wanted, in whole steps."""
    worth = of.bought.astype(np.float64) if of.worth is None else np.where(of.bought, of.worth, 0.0)
    return np.where(of.bought, np.maximum(np.rint(worth * GRADES), 1), 0).astype(np.int32)
