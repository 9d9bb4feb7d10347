"""Train the intent model in two stages, so that the ranker gets intents that were predicted before they came true.

Stage `early` sees the training weeks before those that the ranker learns from, as far as their labels were known when
the first of these began, and scores the latter out of time.
Stage `full` goes on from there with all training weeks, at the full learning rate again: half of it left the network
measurably behind. Both stop early on the validation weeks. Where `full` began is kept: a refit begins there too
(refit.py).

Letters: R training rows, B rows, C targets, W weeks.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from components.distributed.ranks import ALONE, Ranks
from components.intent import (
    calibrate,
    compress,
    decisions,
    events,
    inputs,
    material,
    pretraining,
    private,
    transfer,
)
from components.intent.boosting import Boosting
from components.intent.decisions import Thresholds
from components.intent.encode import Encoded
from components.intent.encoded_rows import encoded, once, present, unknown
from components.intent.events import EventCodes
from components.intent.examples import Examples
from components.intent.fit import Epoch, Fit, Rows, bce
from components.intent.loss import weights_of_positives
from components.intent.model import IntentNet, pick_device, read_once
from components.intent.networks import TREES
from components.intent.projection import Projection
from components.intent.score import IntentScorer
from components.intent.shape import Shape
from components.intent.spec import EVENTS, IntentModel
from components.training.checkpoints import Checkpoints
from components.training.parallel import data_ranks
from feature_repo import columns
from feature_repo.errors import DataError, SpecError

SINGLE_WEIGHT = 10.0  # in the loss, of a target that is an intent by itself, such as visit: one among a hundred is lost
STANDARD_ROWS = 4096  # training rows, at most, that mean and spread are taken from
Report = Callable[[float, str], None]
Watch = Callable[[str, int, float], None]  # of a stage, its epoch from 1, and the loss on the rows that search reads


@dataclass(frozen=True)
class OutOfTime:
    """Probabilities from a network that had not seen the labels of the rows' weeks."""

    user_id: np.ndarray  # [B] str
    week: np.ndarray  # [B] int64
    probabilities: np.ndarray  # [B, C] float32


@dataclass(frozen=True)
class Beginning:
    """Where the stage `full` begins: the weights of the early network, and the generator that dropout draws from."""

    weights: dict[str, torch.Tensor]
    generator: torch.Tensor

    @classmethod
    def of(cls, fit: Fit | Boosting) -> "Beginning":
        """Take a copy; each stage grows its own trees, from what both see of targets and profile."""
        state = fit.sees if isinstance(fit, Boosting) else fit.net.state_dict()
        weights = {name: value.detach().cpu().clone() for name, value in state.items()}
        return cls(weights, torch.random.get_rng_state())


@dataclass(frozen=True)
class Trained:
    """A fitted model and how it came about."""

    scorer: IntentScorer
    out_of_time: OutOfTime
    beginning: Beginning
    epochs: tuple[Epoch, ...]
    rows: dict[str, int]
    weeks: dict[str, list[int]]  # whose labels each stage and the calibration saw, and those scored out of time by each
    threads: int
    seconds: float
    inputs: dict[str, Any] = field(default_factory=dict)  # what it sees of the profile; empty: all
    thresholds: Thresholds | None = None
    compression: compress.Choice | None = None  # between the network and a smaller one, where the spec asks for that
    privacy: dict[str, Any] = field(default_factory=dict)  # budget, noise and what it costs; empty: none was asked for
    pretrained: dict[str, Any] = field(default_factory=dict)  # on which rows, and how that went; empty: not
    together: float | None = None  # cross-entropy of an ensemble on the validation rows; None: the best epoch's is it

    @property
    def validate_bce(self) -> float:
        """The cross-entropy of what was trained on the validation rows."""
        if self.together is not None:
            return self.together
        return min(epoch.validate_bce for epoch in self.epochs if epoch.validate_bce is not None)


def train(
    examples: Examples,
    spec: IntentModel,
    *,
    ranking_weeks: int,
    device: str = "auto",
    report: Report = lambda share, note: None,
    ranks: Ranks = ALONE,
    watch: Watch | None = None,
    checkpoints: Checkpoints | None = None,
    unlabelled: Examples | None = None,
) -> Trained:
    """Fit the model that `spec` asks for; the last `ranking_weeks` training weeks are scored out of time.

    One model by itself: `ensemble_train.train` fits several, or one by this. Several ranks fit one model together and
    return the same, each with its own `seconds`. `watch` is a search's, which may end training by an exception; its
    examples have no test weeks. With `checkpoints` a training that was killed goes on where it was, and comes to the
    same. Where the spec pretrains, the training rows of `unlabelled` are read for that, without their labels; left
    out: those of `examples`.
    """
    start, whole = time.monotonic(), examples
    examples = material.prepared(examples, spec)
    parts = {name: examples.part(name) for name in ("train", "validate", "test") if examples.split[name] or not watch}
    uses = folds(examples, spec)
    apart = bool(uses)
    held_weeks = sorted(examples.split["train"])[-ranking_weeks:]
    held = np.isin(examples.week[parts["train"]], held_weeks)  # [R]
    later = np.concatenate([parts[name] for name in ("validate", "test") if name in parts])
    # Labels that no score out of time may meet: of rows whose whole horizon had passed when the first of them was made.
    passed = examples.week[parts["train"]] + int(examples.vocabulary.horizons.max()) <= held_weeks[0]  # [R]
    known = parts["train"][passed] if passed.any() else parts["train"]
    examples, selection = inputs.selected(examples, known)
    if spec.reads == EVENTS and examples.material is None:  # text is written of them, and needs no codes
        if spec.titles and examples.titles is None:
            raise DataError("models.intent.titles: no text vectors are at hand; use titles: false")
        titles = examples.titles if spec.titles else None
        examples = replace(examples, events=events.fit(examples.rows.take(parts["train"]), titles), titles=titles)
    pretrained: dict[str, Any] = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        rows, validate = encoded(examples, parts["train"]), encoded(examples, uses.get("stop", parts["validate"]))
        seen = encoded(examples, uses["search"]) if watch is not None else validate
        report(0.05, "encoded")
        examples, projection, reduction = inputs.reduced(examples, rows.encoded.profile, rows.weight)
        if spec.architecture == TREES:
            seeded = _seed(examples, spec, rows, validate, projection=projection, ranks=ranks)
            fit: Fit | Boosting = replace(seeded, checkpoints=checkpoints)
        else:
            net = _untrained(examples, spec, rows, device, projection)
            rows, validate, nobody = once(net, rows), once(net, validate), read_once(net, unknown(examples))
            positives = weights_of_positives(spec.loss.positives, examples.train_rate)
            if spec.pretrain is not None:
                taught = (examples, rows.encoded) if unlabelled is None else _steps(unlabelled)
                pretrained = _pretrained(net, *taught, spec, before=held_weeks[0], report=report)
            fit = Fit(net, rows, validate, nobody, weights(examples), spec, ranks, positives, checkpoints=checkpoints)
            if watch is not None:
                fit.watch = _watched(watch, seen)
            if spec.privacy is not None:
                stages = ("early", "full") if passed.any() else ("full",)
                fit = private.of(fit, spec.privacy, examples.users[parts["train"]], stages=stages)
        data_ranks(spec.trainer.parallel, ranks).scatter_seed(spec.seed)
        if passed.any():  # else the ranker gets what an untrained network says: the personal decayed rates
            early, at = np.flatnonzero(passed), _between(report, 0.05, 0.5)
            fit.run("early", early, report=at)
        early_scorer = scorer_of(fit, examples)
        if passed.any():  # what the ranker learns from is of the kind that it will be given
            early_scorer = mapped(early_scorer, examples, uses, spec)
        held_scores = early_scorer.predict(examples.rows.take(parts["train"][held]))
        beginning = Beginning.of(fit)
        full, at = np.arange(len(held)), _between(report, 0.5, 0.9)
        fit.run("full", full, report=at)
        scorer, compression = mapped(scorer_of(fit, examples), examples, uses, spec), None
        if isinstance(fit, Fit) and spec.compress is not None:
            small = compress.smaller(fit, full, report=_between(report, 0.9, 0.95))
            fit.epochs += small.epochs
            other = mapped(scorer_of(small, examples), examples, uses, spec)
            compression = compress.chosen(scorer, other, examples, uses["compare"], spec.compress)
            scorer = compression.serves
    scored = np.concatenate([parts["train"][held], later])
    later_scores = scorer.predict(examples.rows.take(later))
    probabilities = np.concatenate([held_scores, later_scores])
    decides = np.isin(later, uses["decide"]) if apart else np.isin(later, parts["validate"])
    thresholds = decisions.choose(
        examples.labels[later[decides]], later_scores[decides], examples.vocabulary, apart=apart
    )
    return Trained(
        scorer=scorer,
        out_of_time=OutOfTime(examples.rows.user_id[scored], examples.week[scored], probabilities),
        beginning=beginning,
        epochs=tuple(fit.epochs),
        rows={"train": len(held), "validate": len(parts["validate"]), "out_of_time": len(scored)}
        | ({} if rows.weight is None else {"train_stand_for": round(float(rows.weight.sum()))}),
        weeks={
            "early": present(examples, parts["train"][passed]),
            "full": present(examples, parts["train"]),
            "scored_by_early": present(examples, parts["train"][held]),
            "scored_by_full": present(examples, later),
        }
        | ({"calibrated_on": present(examples, uses["calibrate"])} if spec.calibrate != "none" else {}),
        threads=torch.get_num_threads(),
        seconds=round(time.monotonic() - start, 1),
        inputs=selection | reduction,
        thresholds=thresholds,
        compression=compression,
        pretrained=pretrained,
        privacy=private.told(
            fit, lambda plain: train(whole, plain, ranking_weeks=ranking_weeks, device=device).scorer.net
        ),
    )


def folds(examples: Examples, spec: IntentModel) -> dict[str, np.ndarray]:
    """Return the validation rows by what they are for, of different users each; nothing where all are for all."""
    names = calibrate.uses_of(
        calibrates=spec.calibrate != "none", searches=spec.search is not None, compresses=spec.compress is not None
    )
    uses = calibrate.folds(examples.users, examples.part("validate"), names) if names else {}
    require_folds(uses)
    return uses


def _pretrained(
    net: IntentNet, examples: Examples, steps: Encoded, spec: IntentModel, *, before: int, report: Report
) -> dict[str, Any]:
    """Pretrain the encoder on training rows whose steps lie before the first that is scored out of time.

    `steps` are the encoded training rows of `examples`, and `before` is that first step.
    """
    assert spec.pretrain is not None, "nothing to do"
    carried = transfer.begin(net, examples.vocabulary, source) if (source := spec.pretrain.source) else {}
    if not spec.pretrain.epochs:
        return carried
    train_rows = examples.part("train")
    seen = np.flatnonzero(examples.week[train_rows] <= before)
    parts = steps.sequence[seen], steps.active[seen], examples.users[train_rows[seen]]
    found = pretraining.run(net, *parts, spec, report=lambda share, note: report(0.05, note))
    return carried | found | {"weeks": present(examples, train_rows[seen])}


def _steps(examples: Examples) -> tuple[Examples, Encoded]:
    return examples, encoded(examples, examples.part("train")).encoded


def require_folds(uses: Mapping[str, np.ndarray]) -> None:
    """Refuse validation rows of so few users that a third of them, or a fourth, is nobody."""
    empty = [name for name, rows in uses.items() if not len(rows)]
    if empty:
        part = {3: "third", 4: "fourth", 5: "fifth"}.get(len(uses), "part")
        cures = {"calibrate": "use calibrate: none", "search": "drop search", "compare": "drop compress"}
        asked = {key.replace("compare", "compress"): cure for key, cure in cures.items() if key in uses}
        raise DataError(
            f"models.intent.{next(iter(asked))}: the validation rows have no {part} of users to {empty[0]} with; give "
            f"the source more users, or {' and '.join(asked.values())}"
        )


def _watched(watch: Watch, rows: Rows) -> Callable[[str, int, IntentNet], None]:
    """Tell a search the loss on its own rows, epoch by epoch."""
    return lambda stage, epoch, net: watch(stage, epoch, bce(net, rows))


def mapped(scorer: IntentScorer, examples: Examples, uses: Mapping[str, np.ndarray], spec: IntentModel) -> IntentScorer:
    """Calibrate a model on the rows that are for it, where the spec asks for that."""
    if spec.calibrate == "none":
        return scorer
    rows = uses["calibrate"]
    said = scorer.predict(examples.rows.take(rows))
    return scorer.calibrated(calibrate.fit(spec.calibrate, examples.labels[rows], said, examples.vocabulary))


def scorer_of(fit: Fit | Boosting, examples: Examples) -> IntentScorer:
    """Return what is being fitted, as it answers now."""
    model = fit.forest if isinstance(fit, Boosting) else fit.net
    names, codes = inputs.names_of(examples), examples.events
    return IntentScorer(model, examples.vocabulary, examples.context, examples.calendar, names, events=codes)


def _untrained(
    examples: Examples, spec: IntentModel, rows: Rows, device: str, projection: Projection | None = None
) -> IntentNet:
    some, weight = _some(rows)
    net = IntentNet(shape(examples, spec, some), **({} if examples.material is None else examples.material.first()))
    net.standardise(some.frequency, some.profile, weight=weight)
    if some.text is not None:
        net.weeks.standardise(some.text, weight=weight)
    if examples.titles is not None:
        net.events.freeze(examples.titles)
    if projection is not None:
        net.project(projection)
    return net.to(pick_device(device))


def _seed(
    examples: Examples, spec: IntentModel, rows: Rows, validate: Rows, *, projection: Projection | None, ranks: Ranks
) -> Boosting:
    if ranks.world > 1:
        raise SpecError(
            f"models.intent.architecture: {TREES} is grown by one process, and {ranks.world} were started; take "
            "train_intent out of the environment's trainers, or use a network"
        )
    return Boosting.begun(
        shape(examples, spec, rows.encoded),
        rows,
        validate,
        unknown=unknown(examples),
        rate=examples.train_rate,
        spec=spec,
        projection=projection,
        positives=weights_of_positives(spec.loss.positives, examples.train_rate),
    )


def _some(rows: Rows) -> tuple[Encoded, np.ndarray | None]:
    """Take the training rows that mean and spread are taken from, and their weights."""
    taken = np.linspace(0, len(rows.week) - 1, min(STANDARD_ROWS, len(rows.week))).astype(np.int64)
    return rows.encoded.take(taken), None if rows.weight is None else rows.weight[taken]


def shape(examples: Examples, spec: IntentModel, some: Encoded) -> Shape:
    """Return the network's sizes: the spec's, and those of the rows as they are encoded."""
    return Shape(
        spec.architecture,
        width=spec.width,
        layers=spec.layers,
        dropout=spec.dropout,
        targets=some.frequency.shape[1],
        weeks=some.sequence.shape[1],
        frequency=some.frequency.shape[2],
        profile=some.profile.shape[1],
        segments=int(examples.rows.numbers[columns.SEGMENT].max()) + 1,
        components=examples.components,
        text=None if examples.material is None else examples.material.shape(spec.text),
        **_of_events(examples.events, some),
    )


def _of_events(codes: EventCodes | None, some: Encoded) -> dict[str, Any]:
    """Return the sizes of a network of events."""
    if codes is None or some.event_numbers is None:
        return {}
    _, length, numbers = some.event_numbers.shape
    sizes = {"events": length, "kinds": len(codes.kinds), "bands": len(codes.bands) + 1, "event_numbers": numbers}
    return sizes | {"items": codes.items, "texts": codes.texts}


def weights(examples: Examples) -> np.ndarray:
    """Return the targets' weights in the loss, mean 1, float32 [C]."""
    weight = np.array([SINGLE_WEIGHT if t.value is None else 1.0 for t in examples.vocabulary.targets], np.float32)
    return np.asarray(weight / weight.mean())


def _between(report: Report, low: float, high: float) -> Report:
    """Map a share of a part of the work to the share of all of it."""
    return lambda share, note: report(low + (high - low) * min(share, 1.0), note)
