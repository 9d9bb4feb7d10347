"""Fit the ranker: neighbour tables, training lists, then the network with early stopping on the validation weeks.

Pure: a world and the spec in, a `Trained` out. Test weeks are never looked at. Where the spec chooses among several
algorithms (chosen.py), all are fitted to the same lists.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from components.distributed.ranks import ALONE, Ranks
from components.ranking import audiences, chosen, ensemble_train, lists, metrics, models, places, rerank, value_lists
from components.ranking.baseline_net import BaselineNet
from components.ranking.bundle import Bundle, Single, every
from components.ranking.candidates import recall as candidate_recall
from components.ranking.catalogue import WEEK, Catalogue, latest
from components.ranking.choice import Choice
from components.ranking.examples import World
from components.ranking.lists import Lists
from components.ranking.metrics import K
from components.ranking.models import lambdamart
from components.ranking.models.trees import Trees
from components.ranking.neighbours import Neighbours
from components.ranking.net import ScoringNet
from components.ranking.net_fit import Epoch, fit_net, ndcg_at_k, require_hits
from components.ranking.score import Ranker
from components.ranking.scored import top
from components.ranking.short import Short
from components.ranking.spec import Ranking
from components.ranking.torch_fit import one_thread
from components.training.checkpoints import Checkpoints
from feature_repo import columns
from feature_repo.errors import DataError

Report = Callable[[float, str], None]


@dataclass(frozen=True)
class Trained:
    """A fitted ranker and how it came about."""

    ranker: Ranker
    epochs: list[Epoch]
    best_epoch: int  # counted from 0
    rows: dict[str, int]  # user-weeks by part
    candidate_recall: dict[str, float]  # by part
    seconds: dict[str, float] = field(default_factory=dict)
    audience: audiences.Curve | None = None  # where the spec asks for audiences
    members: "dict[str, Trained]" = field(default_factory=dict)  # by algorithm, where there are several
    choice: Choice | None = None
    chosen_on: list[int] = field(default_factory=list)  # the weeks that the choice was learnt on

    @property
    def state(self) -> dict[str, torch.Tensor]:
        """Return the network's weights, by name; {} of a ranker that has none."""
        nets = [net for net in every(self.ranker.net) if isinstance(net, ScoringNet)]
        return nets[0].state_dict() if nets else {}


@dataclass(frozen=True)
class Material:
    """What rankers are fitted to and stopped by, made where one first asks for it. Any seed makes the same."""

    world: World
    spec: Ranking
    weeks: list[int]
    validate_weeks: list[int]
    report: Report = lambda share, note: None
    fitted: lists.Fitted = lists.fitted_until

    @classmethod
    def of(
        cls,
        world: World,
        spec: Ranking,
        *,
        report: Report = lambda share, note: None,
        fitted: lists.Fitted = lists.fitted_until,
    ) -> "Material":
        """Return what a spec asks for: its last training weeks, and those of validation that stop training."""
        stops = world.weeks("validate") if spec.choose is None else chosen.periods(world)[0]
        return cls(world, spec, world.weeks("train")[-spec.train_weeks :], stops, report, fitted)

    def require(self, world: World, spec: Ranking) -> None:
        """Refuse to be what another world or spec is fitted to."""
        asked = Material.of(world, spec)
        compared: dict[str, list[Any]] = {
            "weeks": [(one.weeks, one.validate_weeks) for one in (self, asked)],
            "candidates": [one.spec.candidates for one in (self, asked)],
            "rows": [(one.spec.passed_over, one.spec.short_histories) for one in (self, asked)],
            "features": [one.world.features for one in (self, asked)],
        }
        for name, both in compared.items():
            if both[0] != both[1]:
                raise TypeError(f"train: the material is of another spec, its {name} differ")

    @cached_property
    def neighbours(self) -> Neighbours:
        """Neighbours and sources as known at the last training week."""
        return self.fitted(self.world, self.weeks[-1])

    @cached_property
    def fit(self) -> Lists:
        """The training lists."""
        return lists.of_weeks(
            self.world,
            self.weeks,
            lists.tables(self.world, self.weeks, fitted=self.fitted),
            self.spec.candidates,
            report=lambda done: self.report(0.1 + 0.3 * done, "training lists"),
            passed_over=self.spec.passed_over,
            short=Short.of(self.world, self.spec, self.weeks),
        )

    @cached_property
    def check(self) -> Lists:
        """The validation lists."""
        return lists.of_weeks(
            self.world,
            self.validate_weeks,
            dict.fromkeys(self.validate_weeks, self.neighbours),
            self.spec.candidates,
            report=lambda done: self.report(0.4 + 0.2 * done, "validation lists"),
        )


def train(
    world: World,
    spec: Ranking,
    *,
    report: Report = lambda share, note: None,
    ranks: Ranks = ALONE,
    checkpoints: Checkpoints | None = None,
    material: Material | None = None,
    made: dict[str, Trained] | None = None,
) -> Trained:
    """Fit on the last `train_weeks` training weeks, stop by NDCG@10 on the validation weeks.

    Several ranks share the batches; each makes all lists for itself. With `checkpoints` a training that was killed
    makes its lists anew, goes on where the network was, and comes to the same. `material` is what a training of the
    same world with another seed was fitted to, so that it is made once; `made` are rankers by name that were fitted to
    it with this seed, none of which is fitted again, and those that are fitted now join them.
    """
    value_lists.require(world.vocabulary, spec.recommend, world.item_state)
    validate_weeks = world.weeks("validate")
    if models.TREES in spec.algorithms:
        lambdamart.library()  # before the lists are made, which takes minutes
    if spec.candidates.limit("graph") and columns.KNOWLEDGE not in world.vocabulary.items.column_names:
        raise DataError(
            "models.ranking.candidates.graph: nothing is known of the items; say `data.knowledge: {edges: <file>}` and "
            "run anew, or leave graph out"
        )
    if spec.diversity is not None:
        rerank.require(Catalogue.of(world.vocabulary, world.item_state), spec.diversity)
    if material is None:
        material = Material.of(world, spec, report=report)
    material.require(world, spec)
    made = {} if made is None else made
    if spec.choose is None:
        trained = _each(material, spec, (spec.algorithm,), ranks, checkpoints, made=made)[spec.algorithm]
        return _finished(trained, world, spec, validate_weeks)
    chooses = chosen.periods(world)[1]
    each = _each(material, spec, spec.choose.among, ranks, checkpoints, made=made)
    nets = {name: one.ranker.net for name, one in each.items()}
    ranker, choice = chosen.learnt(each[spec.algorithm].ranker, nets, world, spec, weeks=chooses)
    trained = replace(each[spec.algorithm], ranker=ranker, members=each, choice=choice, chosen_on=chooses)
    return _finished(trained, world, spec, validate_weeks)


def _finished(trained: Trained, world: World, spec: Ranking, weeks: list[int]) -> Trained:
    """Add what is fitted to the whole ranker's scores of the validation weeks: values' lists, and audiences' curve."""
    return replace(
        trained,
        ranker=value_lists.fitted(trained.ranker, world, weeks, spec.recommend),
        audience=audiences.of_spec(spec, trained.ranker, world, weeks),
    )


def _each(
    material: Material,
    spec: Ranking,
    names: Iterable[str],
    ranks: Ranks,
    checkpoints: Checkpoints | None,
    *,
    made: dict[str, Trained],
) -> dict[str, Trained]:
    """Fit rankers by their names, none twice: `made` are those that are there."""
    for name in names:
        if name in made:
            continue
        if name == models.ENSEMBLE:
            made[name] = _meant(material, spec, _each(material, spec, spec.members, ranks, checkpoints, made=made))
        else:
            made[name] = _fitted(material, chosen.alone(spec, name), ranks, checkpoints)
    return {name: made[name] for name in names}


def _meant(material: Material, spec: Ranking, members: dict[str, Trained]) -> Trained:
    """Mean members; the whole has one epoch, the figures of which are the mean's."""
    start, world, weeks = time.monotonic(), material.world, material.validate_weeks
    most = max(members.values(), key=lambda one: one.rows["train"])
    nets = {name: one.ranker.net for name, one in members.items()}
    ranker = ensemble_train.joined(most.ranker, nets, world, spec, weeks=weeks)
    ndcg, _, _ = validated(ranker, world, weeks)
    took = {f"{part} of {name}": seconds for name, one in members.items() for part, seconds in one.seconds.items()}
    return replace(
        most,
        ranker=ranker,
        epochs=[Epoch(0.0, ndcg, round(time.monotonic() - start, 2))],
        best_epoch=0,
        seconds=took,
        members=members,
    )


def _fitted(material: Material, spec: Ranking, ranks: Ranks, checkpoints: Checkpoints | None) -> Trained:
    """Fit the one ranker that a spec asks for."""
    world, report, start = material.world, material.report, time.monotonic()
    final = material.neighbours
    fitted = time.monotonic()
    if models.BY_NAME[spec.algorithm].formula:
        ranker = ranker_of(world, spec, net=BaselineNet(spec.algorithm), neighbours=final)
        return _by_formula(ranker, material, neighbours_s=fitted - start)
    fit, check = material.fit, material.check
    require_hits(fit, "training")
    require_hits(check, "validation")
    encoded = time.monotonic()
    with one_thread():
        net: ScoringNet | Trees
        if spec.algorithm == models.TREES:
            net, epochs, best = fit_trees(fit, check, spec, report=lambda done: report(0.6 + 0.4 * done, "epochs"))
        else:
            net, epochs, best = fit_net(
                fit,
                check,
                spec,
                start=start_of(world),
                report=lambda done: report(0.6 + 0.4 * done, "epochs"),
                ranks=ranks,
                checkpoints=checkpoints,
            )
    ranker = ranker_of(world, spec, net=net, neighbours=final)
    return Trained(
        ranker=ranker,
        epochs=epochs,
        best_epoch=best,
        rows={"train": len(fit), "validate": len(check)},
        candidate_recall={"train": fit.recall, "validate": check.recall},
        seconds={
            "neighbours": round(fitted - start, 2),
            "lists": round(encoded - fitted, 2),
            "epochs": round(time.monotonic() - encoded, 2),
        },
    )


def start_of(world: World) -> int | None:
    """Return which feature is the place in the order that training starts from, None: there is no such order."""
    return None if world.start is None else world.features.index(places.feature(world.start))


def _by_formula(ranker: Ranker, material: Material, *, neighbours_s: float) -> Trained:
    """Put a formula in a ranker's place, with sources as known at the last training week."""
    start = time.monotonic()
    ndcg, rows, share = validated(ranker, material.world, material.validate_weeks)
    return Trained(
        ranker=ranker,
        epochs=[Epoch(0.0, ndcg, round(time.monotonic() - start, 2))],
        best_epoch=0,
        rows={"train": 0, "validate": rows},
        candidate_recall={"validate": share},
        seconds={"neighbours": round(neighbours_s, 2)},
    )


def validated(ranker: Ranker, world: World, weeks: list[int]) -> tuple[float, int, float]:
    """Return a ranker's NDCG@10 on weeks, how many rows they have, and the share of what was wanted that it found."""
    parts, shares, rows = [], [], 0
    for week in weeks:
        at_week = ranker.at(world.item_state, week=week, graph=world.graph(week))
        for chunk in lists.chunks(world.examples.of_weeks([week])):
            scored = at_week.rank(chunk.rows, chunk.probabilities)
            items = np.append(scored.found.item, -1)[top(scored, K)]
            parts.append(metrics.per_row(items, chunk.bought, len(ranker.catalogue), worth=chunk.worth).ndcg)
            shares.append(candidate_recall(scored.found, chunk.bought, len(ranker.catalogue)) * len(chunk))
            rows += len(chunk)
    return round(float(np.concatenate(parts).mean()), 5), rows, sum(shares) / rows


def ranker_of(world: World, spec: Ranking, *, net: Single | Bundle, neighbours: Neighbours) -> Ranker:
    """Put a ranker together, with items as known after the last week."""
    state = latest(world.item_state)
    return Ranker(
        net=net,
        vocabulary=world.vocabulary,
        item_state=state,
        catalogue=Catalogue.of(world.vocabulary, state),
        neighbours=neighbours,
        calendar=world.calendar,
        spec=spec.candidates,
        features=() if isinstance(net, BaselineNet) else world.features,
        graph=world.graph(int(state[WEEK][0].as_py()) if state.num_rows else 0),
        eligible=world.eligible,
        vectors=world.vectors,
        diversity=spec.diversity,
    )


def fit_trees(
    fit: Lists,
    check: Lists,
    spec: Ranking,
    *,
    report: Callable[[float], None] = lambda done: None,
) -> tuple[Trees, list[Epoch], int]:
    """Fit boosted trees; return them at their best, and an epoch a tree. Every rank fits the same."""
    start = time.monotonic()
    trees, told = lambdamart.fit(fit, seed=spec.seed, check=check, ndcg=lambda scores: ndcg_at_k(scores, check))
    each = (time.monotonic() - start) / max(len(told), 1)
    report(1.0)
    return trees, [Epoch(0.0, ndcg, round(each, 2)) for ndcg in told], len(trees.value) - 1
