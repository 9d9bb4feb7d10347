"""Boosted trees that learn to order lists (LambdaMART: Burges, 2010), by LightGBM; trees.py serves them.

Training stops by NDCG@10 on the validation weeks, as the network's does. One thread and a fixed seed: equal input gives
equal trees.

Letters: M candidates over all lists, F features.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from components.ranking.models.trees import Trees
from feature_repo.errors import SpecError

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
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
Ndcg = Callable[[np.ndarray], float]


def library() -> Any:
    """Return LightGBM, which only this ranker needs, and only to be trained."""
    try:
        import lightgbm
    except ImportError:
        raise SpecError(
            "models.ranking.algorithm: lambdamart is trained by the package lightgbm, which is not installed; "
            "`pip install 'intentflow[trees]'`, or ask for another algorithm"
        ) from None
    return lightgbm


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
    found = Trees.of_text(made.model_to_string(num_iteration=kept))
    require_same(found, made.predict(of.features[:COMPARED], num_iteration=kept), of.features[:COMPARED])
    return found, told


def require_same(found: Trees, said: np.ndarray, features: np.ndarray) -> None:
    """Refuse trees that score otherwise than LightGBM does."""
    off = float((np.abs(found.score(features) - said) / np.maximum(np.abs(said), 1.0)).max(initial=0.0))
    if off > CLOSE:
        raise RuntimeError(f"lambdamart: its served form is off by {off:g}, more than {CLOSE:g}")


def _data(lightgbm: Any, of: "Lists", *, like: Any = None) -> Any:
    sizes = np.diff(of.offsets)
    return lightgbm.Dataset(of.features, label=_grades(of), group=sizes[sizes > 0], reference=like)


def _grades(of: "Lists") -> np.ndarray:
    """Return how much each candidate is wanted, in whole steps."""
    worth = of.bought.astype(np.float64) if of.worth is None else np.where(of.bought, of.worth, 0.0)
    return np.where(of.bought, np.maximum(np.rint(worth * GRADES), 1), 0).astype(np.int32)
