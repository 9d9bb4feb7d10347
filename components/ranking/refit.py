"""Fit the judged ranker once more, on the newest ripe weeks, the newest complete one included; it then serves.

As many weeks as the judged one learnt from, for as many epochs as validation chose for it. It takes the intents that
the judged intent model predicted out of time: that one's early network scored the last training weeks, and the judged
model itself the weeks after them, neither with labels of those weeks. What serves beside it has learnt from them, and
its own scores of them would tell the ranker what it is to predict. Under `models.intent.calibrate` one thing of the
scores is of later weeks: the map of each intent, a curve that all its pairs share, fitted on a third of the validation
users. It turns no order of pairs around; training.json names its weeks as `calibrated_on`.

Letters: B lists, M candidates over all of them.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from components import conditions
from components.ranking import chosen, ensemble_train, lists, models, net_fit, train
from components.ranking.baseline_net import BaselineNet
from components.ranking.bundle import Bundle, Single
from components.ranking.choice import Choice
from components.ranking.ensemble import MEMBERS, Alone
from components.ranking.examples import World
from components.ranking.lists import Lists
from components.ranking.models import lambdamart
from components.ranking.models.trees import Trees
from components.ranking.net import ScoringNet
from components.ranking.net_fit import Epoch
from components.ranking.score import Ranker
from components.ranking.short import Short
from components.ranking.spec import Ranking
from components.ranking.torch_fit import one_thread
from components.ranking.train import Report
from components.training.checkpoints import Checkpoints
from feature_repo.errors import DataError

LEAST_OF = 0.5  # of the judged model's NDCG on the validation weeks: what a refit reaches on its own lists


@dataclass(frozen=True)
class Refitted:
    """A refitted ranker and how it came about."""

    ranker: Ranker
    epochs: list[Epoch]
    rows: int  # lists
    weeks: list[int]
    ndcg_at_10: float  # on the lists that it learnt from


def weeks_of(world: World, spec: Ranking) -> list[int]:
    """Return the newest ripe weeks that have rows, as many as a ranker learns from."""
    have = set(np.unique(world.examples.week[world.examples.labelled]).tolist())
    return [week for week in conditions.ripe(world.split) if week in have][-spec.train_weeks :]


def described(world: World) -> dict[str, Any]:
    """Return what a ranker is trained under that its rows decide, but for which weeks they are of."""
    return {
        "vocabulary": world.vocabulary.digest,
        "split": {part: list(weeks) for part, weeks in world.split.items() if isinstance(weeks, list)},
        "calendar": list(world.calendar.document().values()),
        "encode": list(world.features),
        "labels": world.rule,
        **({} if world.vectors is None else {"vectors": world.vectors.encoder}),
    }


def refit(
    world: World,
    spec: Ranking,
    *,
    epochs: int,
    judged: Mapping[str, Any] | None = None,
    report: Report = lambda share, note: None,
    checkpoints: Checkpoints | None = None,
) -> Refitted:
    """Fit the ranker to the weeks of `weeks_of`; with `checkpoints` a refit that was killed goes on where it was.

    Where the spec asks for several rankers, `judged` is the judged ranker's training.json: its choice, and the units in
    which members are meant, stay, since what is fitted here has learnt from all weeks that these could be learnt on.
    """
    weeks = weeks_of(world, spec)
    if spec.choose is not None or spec.algorithm == models.ENSEMBLE:
        return _of_several(world, spec, weeks, judged or {}, report=report, checkpoints=checkpoints)
    if models.BY_NAME[spec.algorithm].formula:
        return _of_formula(world, spec, weeks)
    final, fit = lists.fitted_until(world, weeks[-1]), _lists(world, spec, weeks, report)
    with one_thread():
        net, told = _fitted(
            fit,
            spec,
            epochs=epochs,
            start=train.start_of(world),
            report=lambda done: report(0.6 + 0.4 * done, "epochs"),
            checkpoints=checkpoints,
        )
    ranker = train.ranker_of(world, spec, net=net, neighbours=final)
    return Refitted(ranker, told, len(fit), weeks, reached(net, fit))


def _lists(world: World, spec: Ranking, weeks: list[int], report: Report) -> Lists:
    return lists.of_weeks(
        world,
        weeks,
        lists.tables(world, weeks),
        spec.candidates,
        report=lambda done: report(0.1 + 0.5 * done, "lists"),
        passed_over=spec.passed_over,
        short=Short.of(world, spec, weeks),
    )


def _of_several(
    world: World,
    spec: Ranking,
    weeks: list[int],
    judged: Mapping[str, Any],
    *,
    report: Report,
    checkpoints: Checkpoints | None,
) -> Refitted:
    """Fit every ranker that is chosen among or meant, each for its own epochs, none twice; the judged choice stays."""
    start, fit = time.monotonic(), None
    made: dict[str, Alone] = {}

    def fitted(name: str, training: Mapping[str, Any]) -> Alone:
        nonlocal fit
        if name in made:
            return made[name]
        if models.BY_NAME[name].formula:
            return BaselineNet(name)
        fit = fit or _lists(world, spec, weeks, report)
        with one_thread():
            made[name], _ = _fitted(
                fit,
                chosen.alone(spec, name),
                epochs=epochs_of(training),
                start=train.start_of(world),
                report=lambda done: report(0.6 + 0.4 * done, "epochs"),
                checkpoints=checkpoints,
            )
        _require_sane(reached(made[name], fit), training, name)
        return made[name]

    def whole(name: str, training: Mapping[str, Any]) -> Single:
        if name != models.ENSEMBLE:
            return fitted(name, training)
        parts = training[MEMBERS]
        return ensemble_train.refitted({one: fitted(one, parts[one]) for one in spec.members}, spec, parts)

    net: Single | Bundle
    if spec.choose is None:
        net = whole(spec.algorithm, judged)
    else:
        nets = {name: whole(name, judged[chosen.MEMBERS][name]) for name in spec.choose.among}
        net = Bundle(nets, Choice.read(judged[chosen.CHOICE], world.vocabulary.targets))
    final = lists.fitted_until(world, weeks[-1])
    ranker = train.ranker_of(world, spec, net=net, neighbours=final)
    ndcg, rows, _ = train.validated(ranker, world, weeks[-1:])
    told = [Epoch(0.0, None, round(time.monotonic() - start, 2))]
    return Refitted(ranker, told, rows if fit is None else len(fit), weeks, ndcg)


def _of_formula(world: World, spec: Ranking, weeks: list[int]) -> Refitted:
    """Fit what a formula reads anew; it is tried on the newest week."""
    start = time.monotonic()
    final = lists.fitted_until(world, weeks[-1])
    ranker = train.ranker_of(world, spec, net=BaselineNet(spec.algorithm), neighbours=final)
    ndcg, rows, _ = train.validated(ranker, world, weeks[-1:])
    return Refitted(ranker, [Epoch(0.0, None, round(time.monotonic() - start, 2))], rows, weeks, ndcg)


def _fitted(
    fit: Lists,
    spec: Ranking,
    *,
    epochs: int,
    start: int | None,
    report: Callable[[float], None],
    checkpoints: Checkpoints | None,
) -> tuple[ScoringNet | Trees, list[Epoch]]:
    """Fit the network for so many epochs, or so many trees."""
    if spec.algorithm != models.TREES:
        return net_fit.refit_net(fit, spec, epochs=epochs, start=start, report=report, checkpoints=checkpoints)
    began = time.monotonic()
    trees, _ = lambdamart.fit(fit, seed=spec.seed, trees=epochs)
    each = (time.monotonic() - began) / epochs
    return trees, [Epoch(0.0, None, round(each, 2))] * epochs


def reached(net: Alone, fit: Lists) -> float:
    """Return the NDCG@10 of a network on lists; scores that are not finite are refused."""
    if isinstance(net, BaselineNet):
        raise TypeError("refit: a formula scores no features")
    scores = net.score(fit.features)  # [M]
    if not np.isfinite(scores).all():
        raise _insane("its scores are not finite")
    return round(net_fit.ndcg_at_k(scores, fit), 5)


def require_sane(made: Refitted, training: Mapping[str, Any]) -> None:
    """Refuse a refit that ranks what it has learnt from far worse than the judged ranker ranked weeks unseen."""
    _require_sane(made.ndcg_at_10, training, "")


def _require_sane(ndcg_at_10: float, training: Mapping[str, Any], name: str) -> None:
    judged = training["epochs"][training["best_epoch"]]["validate_ndcg_at_10"]
    if not ndcg_at_10 >= LEAST_OF * judged:  # nor NaN
        whose = f"the NDCG@10 of its {name}" if name else "its NDCG@10"
        raise _insane(
            f"{whose} is {ndcg_at_10:.4f} on the weeks that it learnt from, the judged ranker's {judged:.4f} "
            "on the validation weeks"
        )


def epochs_of(training: Mapping[str, Any]) -> int:
    """Return the epochs that the judged ranker was kept after."""
    return int(training["best_epoch"]) + 1


def _insane(why: str) -> DataError:
    return DataError(
        f"refit of the ranker: {why}; the judged model is in the registry and the champion stays; look at the newest "
        f"weeks of the data, or {conditions.OFF}"
    )
