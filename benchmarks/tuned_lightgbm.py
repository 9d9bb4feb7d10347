"""LightGBM over the numbers that an intent model reads, tuned on validation rows: the peer of `benchmarks.tuned`.

Letters: B rows, C targets, H targets of the headline, X numbers of a pair.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import boosting, script
from benchmarks.cells import Cells
from benchmarks.intent import Judge
from benchmarks.script import Document
from components.intent import metrics
from components.intent.examples import Examples
from components.intent.score import IntentScorer

LIGHTGBM = "lightgbm"
PAIRS_OF_A_ROW = 25  # of a sample, at least
ROUNDS, PATIENCE = 1500, 15  # trees at most; trees without a better validation loss
OWN = {"num_leaves": 31, "learning_rate": 0.1, "min_data_in_leaf": 20, "feature_fraction": 1.0, "lambda_l2": 0.001,
       "cat_smooth": 10.0, "path_smooth": 0.001}  # fmt: skip  # LightGBM's own, or next to them where these are 0


@dataclass(frozen=True)
class Rows:
    """What is predicted, and who judges."""

    examples: Examples
    validate: np.ndarray  # positions
    judge: Judge
    scorer: IntentScorer  # encodes

    @property
    def targets(self) -> np.ndarray:
        """Positions of all targets, [C]; the trees are taught all of them in one model."""
        return np.arange(len(self.judge.head))

    @property
    def head(self) -> np.ndarray:
        """Positions of the targets of the headline, [H]."""
        return np.flatnonzero(self.judge.head)

    @property
    def singles(self) -> np.ndarray:
        """Positions of targets that are an intent by themselves."""
        return np.flatnonzero([target.value is None for target in self.examples.vocabulary.targets])

    @property
    def asked(self) -> np.ndarray:
        """Positions of all rows that are predicted: validation rows, then test rows."""
        return np.concatenate([self.validate, self.judge.test])

    def parts(self, said: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Part predictions of all rows into those of validation and of test rows."""
        return said[: len(self.validate)], said[len(self.validate) :]

    @property
    def labels(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels of validation and of test rows, [B, C] each."""
        return self.parts(self.examples.labels[self.asked])


def tuned(rows: Rows, cells: Cells, *, trials: int, pairs: int) -> tuple[dict[str, Any], list[Document]]:
    """Return the best settings of LightGBM, and what was tried."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=6))
    study.enqueue_trial(OWN)
    tried: list[Document] = []
    rng = np.random.default_rng(0)
    drawn: list[Any] = []  # made when the first trial needs it

    def one(settings: dict[str, Any]) -> Document:
        if not drawn:
            drawn.append(_sample(rows, "train", pairs, rng))
            drawn.append(_sample(rows, "validate", pairs // 2, rng))
            drawn.append(_encoded(rows, rows.validate))
        start = time.process_time()
        model = _fit(drawn[0], drawn[1], settings, seed=0)
        said = _predicted(model, drawn[2], len(rows.targets))
        value = metrics.summary(rows.labels[0][:, rows.head], said[:, rows.head])["map"]
        return {"map": value, "trees": model.best_iteration, "cpu_s": round(time.process_time() - start, 1)}

    for number in range(trials):
        trial = study.ask()
        settings = _space(trial)
        script.note(f"trial {number} …")
        found = cells.kept(f"trial {number}", lambda: {"settings": settings} | one(settings))  # noqa: B023
        study.tell(trial, found["map"])
        tried.append(found)
    best = max(tried, key=lambda found: float(found["map"]))
    return dict(best["settings"]), tried


def _space(trial: Any) -> dict[str, Any]:
    return {
        "num_leaves": trial.suggest_int("num_leaves", 8, 255, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 0.03, 0.2, log=True),
        "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 20, 2000, log=True),
        "feature_fraction": trial.suggest_float("feature_fraction", 0.4, 1.0),
        "lambda_l2": trial.suggest_float("lambda_l2", 0.001, 100.0, log=True),
        "cat_smooth": trial.suggest_float("cat_smooth", 1.0, 200.0, log=True),
        "path_smooth": trial.suggest_float("path_smooth", 0.001, 100.0, log=True),
    }


def _sample(rows: Rows, part: str, pairs: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, Any]:
    index = rows.examples.part(part)
    if len(index) > (some := max(pairs // PAIRS_OF_A_ROW, 1)):  # only rows that are drawn are encoded
        index = np.sort(rng.choice(index, some, replace=False))
    return boosting.sampled(rows.scorer, rows.examples, index, rows.targets, pairs=pairs, rng=rng)


def _encoded(rows: Rows, index: np.ndarray) -> np.ndarray:
    """Return the numbers of all pairs of some rows, float32 [B * C, X]."""
    C, parts = len(rows.targets), []
    for start in range(0, len(index), boosting.ROWS):
        some = index[start : start + boosting.ROWS]
        place, target = np.repeat(np.arange(len(some)), C), np.tile(rows.targets, len(some))
        parts.append(boosting.numbers(rows.scorer, rows.examples, some, place, target))
    return np.concatenate(parts)


def _fit(learns: Any, stops: Any, settings: Mapping[str, Any], *, seed: int) -> Any:
    import lightgbm

    (x, y, weight), (x_stop, y_stop, weight_stop) = learns, stops
    last = x.shape[1]
    asked = {"objective": "binary", "verbosity": -1, "num_threads": 1, "deterministic": True, "seed": seed, **settings}
    data = lightgbm.Dataset(x, y, weight=weight, categorical_feature=[last - 2, last - 1], free_raw_data=True)
    checks = lightgbm.Dataset(x_stop, y_stop, weight=weight_stop, reference=data)
    return lightgbm.train(
        asked, data, ROUNDS, valid_sets=[checks], callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)]
    )


def _predicted(model: Any, x: np.ndarray, targets: int) -> np.ndarray:
    return np.asarray(model.predict(x, num_threads=1), dtype=np.float32).reshape(-1, targets)


def grown(rows: Rows, settings: Mapping[str, Any], pairs: int, seed: int) -> np.ndarray:
    """Grow the tuned trees on all pairs, and return what they say of all rows, [B, C]."""
    script.note(f"{LIGHTGBM}, seed {seed} …")
    rng = np.random.default_rng(seed)
    learns = _sample(rows, "train", pairs, rng)
    stops = _sample(rows, "validate", len(rows.validate) * len(rows.targets) // 2, rng)
    model = _fit(learns, stops, settings, seed=seed)
    script.note(f"{model.best_iteration} trees")
    parts = [rows.asked[start : start + boosting.ROWS] for start in range(0, len(rows.asked), boosting.ROWS)]
    return np.concatenate([_predicted(model, _encoded(rows, part), len(rows.targets)) for part in parts])
