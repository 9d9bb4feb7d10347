"""What a forecast must beat on the same rows, fitted on training rows alone.

Amounts: `mean` is the training mean of everyone, `own_mean` the user's own decayed mean, `gbdt` a histogram gradient
boosting on the head's own inputs, its trees counted on validation rows. A baseline of a head with quantiles says the
same quantiles: of training labels, of training labels' distance from the own mean, and of one boosting a quantile.

Values: `majority` is how often each class came in training rows, `last_value` that the user's last one comes again as
often as it did in training, `markov` how often each class followed each last one.

Letters: R rows, N inputs, K classes, Q quantiles.
"""

from collections.abc import Callable

import numpy as np

from components.intent.forecasts.kinds.multiclass import Multiclass
from components.intent.forecasts.kinds.regression import Regression
from components.intent.forecasts.train import Sample

TREES = {"max_iter": 100, "learning_rate": 0.1, "max_leaf_nodes": 31, "min_samples_leaf": 40}
MOST_ROWS = 60_000  # training rows of the boosting, evenly spaced ones beyond that
MOST_INPUTS = 400  # of the boosting, those that vary most where there are more
PRIOR = 20.0  # rows by which the overall shares count in a chain's


def of_amounts(
    head: Regression, train: Sample, validate: Sample, test: Sample, *, own: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return by name what each baseline says of the test rows, [R, A]; `own` is the own mean by part."""
    usual = np.tile(np.asarray(head.usual), (len(test), 1))
    residual = train.y - own["train"]
    if head.quantiles:
        off = np.quantile(residual, head.quantiles)  # [Q]
        personal = own["test"][:, None] + off
    else:
        personal = own["test"][:, None]
    found = {"mean": usual, "own_mean": personal, "gbdt": _boosted(head, train, validate, test)}
    return {name: np.maximum(said, 0) if head.lowest >= 0 else said for name, said in found.items()}


def _boosted(head: Regression, train: Sample, validate: Sample, test: Sample) -> np.ndarray:
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    some = train.take(np.linspace(0, len(train) - 1, min(MOST_ROWS, len(train))).astype(np.int64))
    columns = np.sort(np.argsort(-some.x.std(axis=0), kind="stable")[:MOST_INPUTS])
    losses: list[tuple[str, float | None]] = [("quantile", level) for level in head.quantiles]
    losses = losses or [("squared_error", None)]
    said = []
    with threadpool_limits(1):  # sums in one order, so that every machine grows the same trees
        for loss, level in losses:
            model = HistGradientBoostingRegressor(
                loss=loss, quantile=level, random_state=0, early_stopping=False, **TREES
            )
            model.fit(some.x[:, columns], some.y, sample_weight=some.weight)
            cost = _cost(level)
            stages = [float(cost(validate.y - p).mean()) for p in model.staged_predict(validate.x[:, columns])]
            best = int(np.argmin(stages))
            for number, p in enumerate(model.staged_predict(test.x[:, columns])):
                if number == best:
                    said.append(p)
                    break
    return np.sort(np.stack(said, axis=1), axis=1)


def _cost(level: float | None) -> Callable[[np.ndarray], np.ndarray]:
    if level is None:
        return np.square
    return lambda off: np.maximum(level * off, (level - 1) * off)


def of_values(head: Multiclass, train: Sample, test: Sample, *, last: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return by name each baseline's probabilities of the test rows, [R, K]; `last` is the last class by part."""
    K, usual = head.outputs, np.asarray(head.usual)
    y, weight = train.y.astype(np.int64), train.weight
    stays = float(np.average(y == last["train"], weights=weight))
    again = np.tile(usual * (1 - stays), (len(test), 1))
    again[np.arange(len(test)), last["test"]] += stays
    counts = np.zeros((K, K))
    np.add.at(counts, (last["train"], y), weight)
    chain = (counts + PRIOR * usual) / (counts.sum(axis=1, keepdims=True) + PRIOR)
    return {
        "majority": np.tile(usual, (len(test), 1)),
        "last_value": again / again.sum(axis=1, keepdims=True),
        "markov": chain[last["test"]],
    }
