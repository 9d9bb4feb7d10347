"""Train the members of an ensemble one after another, each as if it were alone, and choose how much each counts.

Each member goes through both stages on the same rows; the weights are chosen on the validation rows by what the members
of stage `full` say of them, and hold for what the early ones say of the ranker's weeks, too: one number a member is all
that scores out of time know of later labels. Thresholds are those of the mean. A refit refits each member, and takes
over the judged weights.

Several processes train each network together, and the first one grows the forest, for which the others wait. A member
has checkpoints of its own, so one that was finished is not trained again.

Letters: B rows, C targets.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from components.distributed.ranks import ALONE, Ranks
from components.intent import decisions, ensemble, metrics, refit
from components.intent import train as training
from components.intent.ensemble import Ensemble
from components.intent.examples import Examples
from components.intent.fit import Epoch
from components.intent.model import IntentNet
from components.intent.networks import ENSEMBLE, TREES
from components.intent.refit import GENERATOR, Refitted
from components.intent.score import IntentScorer
from components.intent.spec import IntentModel
from components.intent.train import Beginning, OutOfTime, Report, Trained
from components.training.checkpoints import Checkpoints


def train(
    examples: Examples,
    spec: IntentModel,
    *,
    ranking_weeks: int,
    device: str = "auto",
    report: Report = lambda share, note: None,
    ranks: Ranks = ALONE,
    checkpoints: Checkpoints | None = None,
) -> Trained:
    """Fit what `spec` asks for: one model, or several as one. What is asked of either is in `train.train`."""
    told: dict[str, Any] = {"ranking_weeks": ranking_weeks, "device": device}
    if spec.architecture != ENSEMBLE:
        return training.train(examples, spec, **told, report=report, ranks=ranks, checkpoints=checkpoints)
    start, made = time.monotonic(), dict[str, Trained]()
    for at, name in enumerate(spec.members):
        member = partial(
            training.train, examples, spec.of_member(name), **told, report=_part(report, at, spec.members, name)
        )
        if name == TREES:
            made[name] = ranks.of_first(partial(member, checkpoints=_of_member(checkpoints, name, ALONE)))
        else:
            made[name] = member(ranks=ranks, checkpoints=_of_member(checkpoints, name, ranks))
    validate, test = examples.part("validate"), examples.part("test")
    first = made[spec.members[0]]
    scored = len(first.out_of_time.week) - len(validate) - len(test)  # rows of the ranker's weeks come before these
    said = {name: one.out_of_time.probabilities for name, one in made.items()}  # [B, C] each
    judging = slice(scored, scored + len(validate))
    weights = ensemble.chosen(
        examples.labels[validate], {name: one[judging] for name, one in said.items()}, examples.weights(validate)
    )
    mean = ensemble.mean(said, weights)
    losses = metrics.cross_entropy(examples.labels[validate], mean[judging])  # [B]
    return replace(
        first,
        scorer=joined({name: one.scorer for name, one in made.items()}, weights),
        out_of_time=OutOfTime(first.out_of_time.user_id, first.out_of_time.week, mean),
        beginning=_beginning({name: one.beginning for name, one in made.items()}),
        epochs=tuple(epoch for name, one in made.items() for epoch in _named(one.epochs, name)),
        seconds=round(time.monotonic() - start, 1),
        thresholds=decisions.choose(examples.labels[validate], mean[judging], examples.vocabulary, apart=False),
        together=round(float(np.average(losses, weights=examples.weights(validate))), 6),
    )


def refitted(
    examples: Examples,
    spec: IntentModel,
    beginning: Beginning,
    *,
    weights: Mapping[str, float],
    weeks: list[int],
    epochs: Mapping[str, int],
    report: Report,
    checkpoints: Checkpoints | None = None,
) -> Refitted:
    """Refit all members on the rows of `weeks`, each for its own epochs; the judged weights stay."""
    made: dict[str, Refitted] = {}
    for at, name in enumerate(spec.members):
        again = refit.regrow if name == TREES else refit.refit
        made[name] = again(
            examples,
            spec.of_member(name),
            _beginning_of(beginning, name),
            weeks=weeks,
            epochs=epochs[name],
            report=_part(report, at, spec.members, name),
            checkpoints=_of_member(checkpoints, name, ALONE),
        )
    scorer = joined({name: one.scorer for name, one in made.items()}, weights)
    index = np.flatnonzero(np.isin(examples.week, weeks))
    first = made[spec.members[0]]
    return Refitted(
        scorer,
        tuple(epoch for name, one in made.items() for epoch in _named(one.epochs, name)),
        first.rows,
        first.weeks,
        refit.sane(scorer, examples, index),
    )


def stage_of(name: str, stage: str = refit.STAGE) -> str:
    """Name a member's stage, as its epochs have it.

    >>> stage_of("gbdt")
    'full.gbdt'
    """
    return f"{stage}.{name}"


def epochs_of(found: Mapping[str, Any], members: Sequence[str]) -> dict[str, int]:
    """Return the epochs of stage `full` that each judged member was kept after."""
    return {name: refit.epochs_of(dict(found), stage_of(name)) for name in members}


def joined(scorers: Mapping[str, IntentScorer], weights: Mapping[str, float]) -> IntentScorer:
    """Return the members' models as one that answers."""
    first = next(iter(scorers.values()))
    shape = replace(first.shape, architecture=ENSEMBLE)
    members = {name: one.model for name, one in scorers.items()}
    return IntentScorer(
        Ensemble(shape, members, dict(weights)), first.vocabulary, first.context, first.calendar, first.profile
    )


def networks_of(scorer: IntentScorer) -> dict[str, torch.Tensor]:
    """Return the weights of what several processes train together: of a network, or of an ensemble's networks."""
    if scorer.shape.architecture != ENSEMBLE:
        return dict(scorer.net.state_dict())
    nets = {name: one.state_dict() for name, one in scorer.members.items() if isinstance(one, IntentNet)}
    return {f"{name}/{part}": value for name, state in nets.items() for part, value in state.items()}


def _of_member(whole: Checkpoints | None, name: str, ranks: Ranks) -> Checkpoints | None:
    """Return the checkpoints of a member that those ranks train."""
    if whole is None:
        return None
    return replace(whole, folder=whole.folder / name, key={**whole.key, "member": name}, ranks=ranks)


def _named(epochs: Sequence[Epoch], name: str) -> list[Epoch]:
    return [replace(epoch, stage=stage_of(name, epoch.stage)) for epoch in epochs]


def _beginning(parts: Mapping[str, Beginning]) -> Beginning:
    """Put where the members begin into one, each tensor under its member's name."""
    weights = {f"{name}/{part}": value for name, one in parts.items() for part, value in one.weights.items()}
    generators = {f"{name}/{GENERATOR}": one.generator for name, one in parts.items()}
    return Beginning(weights | generators, torch.random.get_rng_state())


def _beginning_of(whole: Beginning, name: str) -> Beginning:
    own = {part.removeprefix(f"{name}/"): value for part, value in whole.weights.items() if part.startswith(f"{name}/")}
    return Beginning(own, own.pop(GENERATOR))


def _part(report: Report, at: int, members: Sequence[str], name: str) -> Report:
    """Report a member's share of its own work as one of all."""
    return lambda share, note: report((at + min(share, 1.0)) / len(members), f"{name}: {note}")
