"""A smaller intent model out of a trained one, and which of both serves: pruned, trained on, weights as int8.

The stage `pruned` is trained on the rows of the stage `full`, stops on the same validation rows, and draws from a
generator of its own, so that a refit comes to it likewise. Both models are then compared on validation users who
stopped neither training (calibrate.folds): the smaller one serves where it surely loses no more than the spec allows.

Letters: R training rows, B rows, C targets.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from components import verdicts
from components.compression import COMPRESSED, FULL, NAMES
from components.intent import metrics, prune, quantize
from components.intent.decisions import headline
from components.intent.examples import Examples
from components.intent.fit import Fit
from components.intent.model import IntentNet
from components.intent.options import Compress
from components.intent.score import IntentScorer
from components.verdicts import PASSED, Judgement, Least, Sample, Word

STAGE = "pruned"
LEAST = Least(rows=40, users=20)
EVERY = "bce_all"  # cross-entropy over all targets, the single ones that no headline figure is over among them
LOWER = ("bce", EVERY)
Report = Callable[[float, str], None]


@dataclass(frozen=True)
class Loss:
    """What compression costs in one metric."""

    full: float | None
    compressed: float | None
    tolerance: float  # share of the full model's figure that may be lost
    judged: Judgement  # of the compressed model's figure less the full one's

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            FULL: self.full,
            COMPRESSED: self.compressed,
            "difference": self.judged.estimate,
            "interval": None if self.judged.interval is None else list(self.judged.interval),
            "tolerance": self.tolerance,
            "verdict": self.judged.word,
        }


@dataclass(frozen=True)
class Choice:
    """Which of both models serves, the other one, and why."""

    asked: Compress
    serves: IntentScorer
    other: IntentScorer
    losses: Mapping[str, Loss]
    rows: int
    users: int

    @property
    def word(self) -> Word:
        """Whether the smaller model passed."""
        return verdicts.together([loss.judged.word for loss in self.losses.values()])

    @property
    def why(self) -> str:
        """Name each metric that held the smaller model back, or what it loses."""
        passed = self.word == PASSED
        return "; ".join(
            _said(name, loss) for name, loss in self.losses.items() if passed or loss.judged.word != PASSED
        )

    def document(self) -> dict[str, Any]:
        """Return what compression.json holds but for what is measured."""
        return {
            "asked": self.asked.model_dump(),
            "taken": COMPRESSED if self.word == PASSED else FULL,
            "verdict": self.word,
            "why": self.why,
            "rows": self.rows,
            "users": self.users,
            "metrics": {name: loss.document() for name, loss in self.losses.items()},
        }


def _said(name: str, loss: Loss) -> str:
    judged = loss.judged
    if judged.why:
        return f"{NAMES[name]} was not judged: {judged.why}"
    between = "" if judged.interval is None else ", interval {:+.4f} to {:+.4f}".format(*judged.interval)
    may = f"{loss.tolerance:.1%} may be lost"
    both = f"{NAMES[name]} {loss.compressed:.4f} against {loss.full:.4f}"
    return f"{both} (difference {judged.estimate:+.4f}{between}; {may})"


def smaller(fit: Fit, index: np.ndarray, *, report: Report, epochs: int | None = None) -> Fit:
    """Return the fit of the smaller network that the spec asks for; `fit` itself stays as it is.

    `epochs` are those of a refit, which nothing stops: the judged model's.
    """
    asked = fit.spec.compress
    assert asked is not None, "nothing asks for a smaller model"
    made = replace(fit, spec=fit.spec.model_copy(update={"epochs": asked.epochs}), epochs=[])
    torch.manual_seed(fit.spec.seed)
    if asked.prune:
        made.net = prune.pruned(fit.net, asked.prune)
        fit.ranks.scatter_seed(fit.spec.seed)
        if epochs is None:
            made.run(STAGE, index, report=report)
        else:
            made.rerun(STAGE, index, epochs=epochs, report=report)
    if asked.quantize == quantize.INT8:
        made.net = rounded(made.net)
    made.net.eval()
    return made


def rounded(net: IntentNet) -> IntentNet:
    """Return the network with its weights as they come back from int8; it is saved so.

    An encoder of texts becomes a graph whose products are of int8 (behaviour/onnx_bert.py).
    """
    shape, state = net.shape, dict(net.state_dict())
    if shape.text is not None:
        told, own = net.weeks.rounded()
        shape = replace(shape, text=told)
        state = {name: values for name, values in state.items() if not name.startswith("weeks.")}
        state |= {f"weeks.{name}": values for name, values in own.items()}
    weights = quantize.rounded({name: values.detach().cpu().numpy() for name, values in state.items()})
    form = IntentNet(replace(shape, stored=quantize.INT8))
    form.load_state_dict({name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in weights.items()})
    return form.to(net.bias.device).train(net.training)


def chosen(full: IntentScorer, small: IntentScorer, examples: Examples, rows: np.ndarray, asked: Compress) -> Choice:
    """Compare both on the validation rows at `rows` and choose the one that serves."""
    head = headline(examples.vocabulary)
    labels, asked_rows = examples.labels[rows], examples.rows.take(rows)
    user = np.unique(examples.users[rows], return_inverse=True)[1]
    theirs, mine = (one.predict(asked_rows) for one in (full, small))
    losses = compared(labels[:, head], theirs[:, head], mine[:, head], user, asked)
    users = int(user.max()) + 1
    if not head.all():
        losses[EVERY] = over_all(labels, theirs, mine, user, asked)
    choice = Choice(asked, full, small, losses, len(rows), users)
    return replace(choice, serves=small, other=full) if choice.word == PASSED else choice


def compared(
    labels: np.ndarray, full: np.ndarray, small: np.ndarray, user: np.ndarray, asked: Compress
) -> dict[str, Loss]:
    """Judge what predictions [B, C] of the smaller model lose, on the same draws of users; `user` numbers them [B]."""
    weight = metrics.user_weights(user)
    summed = [metrics.summary(labels, said) for said in (full, small)]
    drawn = [metrics.resampled(labels, said, weight) for said in (full, small)]
    found = {}
    for name, tolerance in asked.tolerance.model_dump().items():
        theirs, mine = (
            Sample(figures[name], draws[name], len(labels), int(user.max()) + 1)
            for figures, draws in zip(summed, drawn, strict=True)
        )
        found[name] = _loss(name, theirs, mine, tolerance)
    return found


def over_all(labels: np.ndarray, full: np.ndarray, small: np.ndarray, user: np.ndarray, asked: Compress) -> Loss:
    """Judge cross-entropy over all targets likewise: an intent without a level may lose no more than the others."""
    weight = metrics.user_weights(user)  # [B, R]
    each = [metrics.cross_entropy(labels, said) for said in (full, small)]  # [B]
    theirs, mine = (
        Sample(
            round(float(by_row.mean()), 6),
            by_row.astype(np.float32) @ weight / weight.sum(axis=0),
            len(labels),
            int(user.max()) + 1,
        )
        for by_row in each
    )
    return _loss(EVERY, theirs, mine, asked.tolerance.bce)


def _loss(name: str, theirs: Sample, mine: Sample, tolerance: float) -> Loss:
    slack = tolerance * abs(theirs.value or 0.0)
    judged = verdicts.better(mine, theirs, tolerance=slack, lower=name in LOWER, least=LEAST)
    return Loss(theirs.value, mine.value, tolerance, judged)
