"""Fit the judged intent model once more, on every ripe week, the newest complete one included; it then serves.

It begins where the judged model's stage `full` began, with the same generator, and goes on for as many epochs as
validation chose for that one, along the same course of the learning rate: on the training weeks alone it would come to
the judged weights. Validation rows are learnt from, so nothing stops it early, and nothing judges it but `sane`. The
judged model's thresholds, and its calibration where it has one, are carried on: no rows are left to fit others on.

Letters: R rows, B rows, C targets.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from components.intent import compress, encode, encoded_rows, inputs, train
from components.intent.boosting import Boosting
from components.intent.calibration import Calibration
from components.intent.examples import Examples
from components.intent.fit import Epoch, Fit
from components.intent.loss import weights_of_positives
from components.intent.model import IntentNet, pick_device, read_once
from components.intent.score import IntentScorer
from components.intent.shape import Shape
from components.intent.spec import IntentModel
from components.intent.train import Beginning, Report
from components.training.checkpoints import Checkpoints
from feature_repo.errors import DataError

STAGE = "full"
GENERATOR = "generator"
CHECKED = 4096  # rows, at most, that `sane` asks about
NEAR, SHARE = 0.02, 0.25  # of a base rate: how far a mean prediction may be from it, and by which share of it more


@dataclass(frozen=True)
class Refitted:
    """A refitted model and how it came about."""

    scorer: IntentScorer
    epochs: tuple[Epoch, ...]
    rows: int
    weeks: list[int]
    means: dict[str, tuple[float, float]]  # by intent: mean prediction, and base rate of the same rows


def epochs_of(training: dict[str, Any], stage: str = STAGE) -> int:
    """Return the epochs of a stage that the judged model was kept after.

    >>> epochs_of({"epochs": [{"stage": "early", "validate_bce": 0.1}, *({"stage": "full", "validate_bce": b}
    ...     for b in (0.4, 0.2, 0.3))]})
    2
    """
    found = [epoch["validate_bce"] for epoch in training["epochs"] if epoch["stage"] == stage]
    return int(np.argmin(found)) + 1


def described(examples: Examples, shape: Shape) -> dict[str, Any]:
    """Return what a model is trained under that its rows decide, but for which weeks they are of."""
    return {
        "vocabulary": examples.vocabulary.digest,
        "split": {part: list(weeks) for part, weeks in examples.split.items()},
        "calendar": list(examples.calendar.document().values()),
        "encode": {"profile": list(inputs.names_of(examples)), "frequency": list(encode.FREQUENCY), **shape.asked},
    }


def shape(examples: Examples, spec: IntentModel) -> Shape:
    """Return the sizes of a network for these rows."""
    return train.shape(examples, spec, encoded_rows.encoded(examples, np.arange(1)).encoded)


def refit(
    examples: Examples,
    spec: IntentModel,
    beginning: Beginning,
    *,
    weeks: list[int],
    epochs: int,
    calibration: Calibration | None = None,
    smaller_epochs: int | None = None,
    device: str = "auto",
    report: Report = lambda share, note: None,
    checkpoints: Checkpoints | None = None,
) -> Refitted:
    """Fit the model to the rows of `weeks`; `smaller_epochs`: of a judged model that compression made, pruned anew.

    With `checkpoints` a refit that was killed goes on where it was.
    """
    index = np.flatnonzero(np.isin(examples.week, weeks))
    with torch.random.fork_rng(devices=[]):
        rows = encoded_rows.encoded(examples, index)
        report(0.05, "encoded")
        net = IntentNet(shape(examples, spec))
        net.load_state_dict(beginning.weights)
        scorer = IntentScorer(
            net.to(pick_device(device)),
            examples.vocabulary,
            examples.context,
            examples.calendar,
            inputs.names_of(examples),
            events=examples.events,
        )
        torch.random.set_rng_state(beginning.generator)
        positives = weights_of_positives(spec.loss.positives, examples.train_rate)
        rows, nobody = encoded_rows.once(scorer.net, rows), read_once(scorer.net, encoded_rows.unknown(examples))
        fit = Fit(
            scorer.net,
            rows,
            None,
            nobody,
            train.weights(examples),
            spec,
            positives=positives,
            checkpoints=checkpoints,
        )
        fit.rerun(STAGE, np.arange(len(index)), epochs=epochs, report=report)
        if smaller_epochs is not None:
            small = compress.smaller(fit, np.arange(len(index)), report=report, epochs=smaller_epochs)
            small.epochs[:0] = fit.epochs
            fit, scorer = small, train.scorer_of(small, examples)
    return _refitted(scorer.calibrated(calibration), fit, examples, index)


def regrow(
    examples: Examples,
    spec: IntentModel,
    beginning: Beginning,
    *,
    weeks: list[int],
    epochs: int,
    calibration: Calibration | None = None,
    report: Report = lambda share, note: None,
    checkpoints: Checkpoints | None = None,
) -> Refitted:
    """Grow as many trees as validation chose on the rows of `weeks`, by the judged forest's cells and projection."""
    index = np.flatnonzero(np.isin(examples.week, weeks))
    rows = encoded_rows.encoded(examples, index)
    report(0.05, "encoded")
    fit = Boosting.begun(
        shape(examples, spec),
        rows,
        None,
        unknown=encoded_rows.unknown(examples),
        rate=examples.train_rate,
        spec=spec,
        given={name: values.numpy() for name, values in beginning.weights.items()},
        positives=weights_of_positives(spec.loss.positives, examples.train_rate),
        checkpoints=checkpoints,
    )
    fit.rerun(STAGE, np.arange(len(index)), epochs=epochs, report=report)
    return _refitted(train.scorer_of(fit, examples).calibrated(calibration), fit, examples, index)


def _refitted(scorer: IntentScorer, fit: Fit | Boosting, examples: Examples, index: np.ndarray) -> Refitted:
    means = sane(scorer, examples, index)
    return Refitted(scorer, tuple(fit.epochs), len(index), encoded_rows.present(examples, index), means)


def sane(scorer: IntentScorer, examples: Examples, index: np.ndarray) -> dict[str, tuple[float, float]]:
    """Return the mean prediction and base rate of each intent; refuse one that is not finite or far from its rate."""
    some = index[np.linspace(0, len(index) - 1, min(CHECKED, len(index))).astype(np.int64)]
    said = scorer.predict(examples.rows.take(some))  # [B, C]
    if not np.isfinite(said).all():
        raise _insane("its probabilities are not finite")
    weight, found = examples.weights(some), {}
    intents = np.array([target.intent for target in examples.vocabulary.targets])  # [C]
    for intent in dict.fromkeys(intents.tolist()):
        of = intents == intent
        mean, rate = (
            float(np.average(one[:, of].mean(axis=1), weights=weight)) for one in (said, examples.labels[some])
        )
        if abs(mean - rate) > NEAR + SHARE * rate:
            raise _insane(f"its mean probability of '{intent}' is {mean:.4f}, where {rate:.4f} of its rows fulfil it")
        found[intent] = (round(mean, 6), round(rate, 6))
    return found


def _insane(why: str) -> DataError:
    return DataError(
        f"refit of the intent model: {why}; the judged model is in the registry and the champion stays; look at the "
        "newest weeks of the data, or set promotion.refit: false"
    )


def save_beginning(beginning: Beginning, path: Path) -> None:
    """Write where the stage `full` begins."""
    from safetensors.torch import save_file

    tensors = {name: value.contiguous() for name, value in beginning.weights.items()}
    save_file(tensors | {GENERATOR: beginning.generator.contiguous()}, path)


def load_beginning(path: Path) -> Beginning:
    """Read what `save_beginning` wrote."""
    from safetensors.torch import load_file

    if not path.is_file():
        raise DataError(f"{path}: no such file; the model was trained by an older version, run the pipeline again")
    tensors = load_file(path)
    return Beginning(tensors, tensors.pop(GENERATOR))
