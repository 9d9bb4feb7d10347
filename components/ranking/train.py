"""Fit the ranker: neighbour tables, training lists, then the network with early stopping on the validation weeks.

Pure: a world and the spec in, a `Trained` out. Test weeks are never looked at. Seeds are fixed, and the network
learns on one thread: equal input gives equal weights. More threads gain little on a net this small (measured: 22 s
instead of 27 s on two cores) and cost tenfold where the cores are shared.

Letters: B lists of a batch, M candidates of the longest, F features.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from components.distributed.ranks import ALONE, Ranks
from components.ranking import audiences, lists, metrics, model, models, places, value_lists
from components.ranking.baseline_net import BaselineNet
from components.ranking.candidates import recall as candidate_recall
from components.ranking.catalogue import WEEK, Catalogue
from components.ranking.examples import World
from components.ranking.lists import Lists
from components.ranking.metrics import K
from components.ranking.models import lambdamart
from components.ranking.models.trees import Trees
from components.ranking.neighbours import Neighbours
from components.ranking.net import ScoringNet
from components.ranking.score import Ranker, latest, top
from components.ranking.spec import Ranking
from components.ranking.torch_fit import one_thread
from components.training import loop, parallel
from components.training.checkpoints import Checkpoints
from components.training.parallel import Wrapped
from components.training.precision import autocast

PATIENCE = 2  # epochs without a better validation NDCG before training stops
WEIGHT_DECAY = 1e-4

Report = Callable[[float, str], None]
STAGE = "full"  # there is one
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor, float]  # features, labels, mask, weight of the loss


@dataclass(frozen=True)
class Epoch:
    """How one pass over the training lists went."""

    loss: float
    validate_ndcg_at_10: float | None  # None: a refit, which learns from the validation weeks too
    seconds: float
    stall_share: float | None = None  # of the seconds of training, spent in waiting for batches; None: no such epoch


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

    @property
    def state(self) -> dict[str, torch.Tensor]:
        """Return the network's weights, by name; {} of a ranker that is none."""
        net = self.ranker.net
        return net.state_dict() if isinstance(net, ScoringNet) else {}


def train(
    world: World,
    spec: Ranking,
    *,
    report: Report = lambda share, note: None,
    ranks: Ranks = ALONE,
    checkpoints: Checkpoints | None = None,
) -> Trained:
    """Fit on the last `train_weeks` training weeks, stop by NDCG@10 on the validation weeks.

    Several ranks share the batches; each makes all lists for itself. With `checkpoints` a training that was killed
    makes its lists anew, goes on where the network was, and comes to the same.
    """
    start = time.monotonic()
    value_lists.require(world.vocabulary, spec.recommend)
    weeks, validate_weeks = world.weeks("train")[-spec.train_weeks :], world.weeks("validate")
    if models.BY_NAME[spec.algorithm].formula:
        return _by_formula(world, spec, weeks[-1], validate_weeks)
    if spec.algorithm == models.TREES:
        lambdamart.library()  # before the lists are made, which takes minutes
    tables = lists.tables(world, weeks)
    n_items = world.vocabulary.items.num_rows
    final = lists.fit_until(world.examples, n_items, until=weeks[-1], learn=world.learn, calendar=world.calendar)
    fitted = time.monotonic()
    fit = lists.of_weeks(
        world,
        weeks,
        tables,
        spec.candidates,
        report=lambda done: report(0.1 + 0.3 * done, "training lists"),
        passed_over=spec.passed_over,
    )
    check = lists.of_weeks(
        world,
        validate_weeks,
        dict.fromkeys(validate_weeks, final),
        spec.candidates,
        report=lambda done: report(0.4 + 0.2 * done, "validation lists"),
    )
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
        ranker=value_lists.fitted(ranker, world, validate_weeks, spec.recommend),
        epochs=epochs,
        best_epoch=best,
        rows={"train": len(fit), "validate": len(check)},
        candidate_recall={"train": fit.recall, "validate": check.recall},
        audience=audiences.of_spec(spec, ranker, world, validate_weeks),
        seconds={
            "neighbours": round(fitted - start, 2),
            "lists": round(encoded - fitted, 2),
            "epochs": round(time.monotonic() - encoded, 2),
        },
    )


def start_of(world: World) -> int | None:
    """Return which feature is the place in the order that training starts from, None: there is no such order."""
    return None if world.start is None else world.features.index(places.feature(world.start))


def _by_formula(world: World, spec: Ranking, last: int, validate_weeks: list[int]) -> Trained:
    """Put a formula in a ranker's place, with sources as known at the last training week."""
    start = time.monotonic()
    ranker = formula_ranker(world, spec, until=last)
    fitted = time.monotonic()
    ndcg, rows, share = validated(ranker, world, validate_weeks)
    return Trained(
        ranker=value_lists.fitted(ranker, world, validate_weeks, spec.recommend),
        epochs=[Epoch(0.0, ndcg, round(time.monotonic() - fitted, 2))],
        best_epoch=0,
        rows={"train": 0, "validate": rows},
        candidate_recall={"validate": share},
        audience=audiences.of_spec(spec, ranker, world, validate_weeks),
        seconds={"neighbours": round(fitted - start, 2)},
    )


def formula_ranker(world: World, spec: Ranking, *, until: int) -> Ranker:
    """Return the ranker of a formula, with neighbours and sources fitted on what was known at a week."""
    neighbours = lists.fit_until(
        world.examples, world.vocabulary.items.num_rows, until=until, learn=world.learn, calendar=world.calendar
    )
    return ranker_of(world, spec, net=BaselineNet(spec.algorithm), neighbours=neighbours)


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


def ranker_of(world: World, spec: Ranking, *, net: ScoringNet | BaselineNet | Trees, neighbours: Neighbours) -> Ranker:
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
    )


def fit_net(
    fit: Lists,
    check: Lists,
    spec: Ranking,
    *,
    start: int | None = None,
    report: Callable[[float], None] = lambda done: None,
    ranks: Ranks = ALONE,
    checkpoints: Checkpoints | None = None,
) -> tuple[ScoringNet, list[Epoch], int]:
    """Train the network; return it at its best epoch, all epochs, and which was best.

    With a `start` (start_of) the first epoch is none: it says how the baseline's own order does.
    """
    net, stopping = _begun(fit, spec, start=start), loop.Stopping(Epoch)
    if not loop.ended(checkpoints, STAGE, net, stopping):
        for passed in _passes(net, fit, spec, stopping, start=start, ranks=ranks, checkpoints=checkpoints):
            ndcg = ranks.decided(ndcg_at_k(net.score(check.features), check) if ranks.first else 0.0)
            stopping.epochs.append(_told(passed, round(ndcg, 5)))
            if stopping.best is None or ndcg > stopping.best:
                stopping.keep(round(ndcg, 5), net.state_dict())
            report(len(stopping.epochs) / (spec.epochs + (start is not None)))
            if len(stopping.epochs) - 1 - stopping.at >= PATIENCE:
                break
        net.load_state_dict(stopping.weights)
        loop.finished(checkpoints, STAGE, net, stopping)
    net.eval()
    return net, stopping.epochs, stopping.at


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


def refit_net(
    fit: Lists,
    spec: Ranking,
    *,
    epochs: int,
    start: int | None = None,
    report: Callable[[float], None] = lambda done: None,
    checkpoints: Checkpoints | None = None,
) -> tuple[ScoringNet, list[Epoch]]:
    """Train the network for the first `epochs` of the spec's, with nothing to stop by; return it after the last."""
    net, stopping = _begun(fit, spec, start=start), loop.Stopping(Epoch)
    for passed in _passes(net, fit, spec, stopping, start=start, checkpoints=checkpoints):
        stopping.epochs.append(_told(passed, None))
        report(len(stopping.epochs) / epochs)
        if len(stopping.epochs) >= epochs:
            break
    net.eval()
    return net, stopping.epochs


def _begun(fit: Lists, spec: Ranking, *, start: int | None) -> ScoringNet:
    """Return the untrained network; with a `start` it ranks as the baseline does."""
    torch.manual_seed(spec.seed)
    net = model.build(spec.architecture, fit.features.shape[1], width=spec.width, dropout=spec.dropout)
    net.standardise(fit.features)
    if start is not None:
        net.start_from(start)
    return net


def _passes(
    net: ScoringNet,
    fit: Lists,
    spec: Ranking,
    stopping: loop.Stopping,
    *,
    start: int | None,
    ranks: Ranks = ALONE,
    checkpoints: Checkpoints | None = None,
) -> Iterator[loop.Pass]:
    """Go over the lists epoch by epoch; with a `start` the network comes first as it begins, before any epoch."""
    if start is not None:
        yield loop.Pass(_untrained(net, fit, spec), time.monotonic(), None)
    ranks.scatter_seed(spec.seed)
    held = parallel.wrapped(net, spec.trainer, ranks)
    optimizer = held.optimizer(learning_rate=spec.learning_rate, weight_decay=WEIGHT_DECAY)
    steps = spec.epochs * -(-len(fit) // spec.batch_size)
    yield from loop.Loop(
        held,
        optimizer,
        torch.optim.lr_scheduler.OneCycleLR(optimizer, spec.learning_rate, total_steps=steps),
        np.random.default_rng(spec.seed),
        batches=lambda rng: _batches(fit, rng.permutation(len(fit)), spec.batch_size, ranks=ranks),
        step=lambda batch: _step(held, net, batch, optimizer, spec),
        epochs=spec.epochs,
        stage=STAGE,
        checkpoints=checkpoints,
        stopping=stopping,
        mean=ranks.mean,
    ).passes()


def _told(passed: loop.Pass, ndcg: float | None) -> Epoch:
    return Epoch(round(passed.loss, 5), ndcg, round(time.monotonic() - passed.began, 2), passed.stall_share)


@torch.inference_mode()
def _untrained(net: ScoringNet, fit: Lists, spec: Ranking) -> float:
    """Return the mean loss of the network as it is."""
    net.eval()
    batches = _batches(fit, np.arange(len(fit)), spec.batch_size, ranks=ALONE)
    losses = [net.loss(net(features), labels, mask).item() for features, labels, mask, _share in batches]
    return float(np.mean(losses)) if losses else 0.0


def ndcg_at_k(scores: np.ndarray, of: Lists) -> float:
    """Return the mean NDCG@10 of scored lists; the ideal counts bought items that are no candidates too.

    A bought item gains as much as it is wanted, where the spec weighs labels.
    """
    row = np.repeat(np.arange(len(of)), np.diff(of.offsets))
    order = np.lexsort((-scores, row))
    rank = np.arange(len(row)) - of.offsets[row]
    gain = 1.0 / np.log2(np.arange(2, K + 2))
    hit = of.bought[order] & (rank < K)
    gained = gain[rank[hit]] if of.worth is None else gain[rank[hit]] * of.worth[order][hit]
    dcg = np.bincount(row[hit], gained, minlength=len(of))
    ideal = np.concatenate([[1.0], np.cumsum(gain)])[np.minimum(of.wanted, K)] if of.ideal is None else of.ideal
    return float((dcg / ideal)[of.wanted > 0].mean())


def _step(held: Wrapped, net: ScoringNet, batch: Batch, optimizer: torch.optim.Optimizer, spec: Ranking) -> float:
    """Step by the gradient of a batch, which goes through the network in as many parts as the spec says."""
    features, labels, mask, weight = batch
    optimizer.zero_grad()
    total, cut = 0.0, loop.parts(len(features), spec.trainer.accumulate)
    for number, (mine, share) in enumerate(cut, 1):
        some = (features, labels, mask) if len(cut) == 1 else (features[mine], labels[mine], mask[mine])
        with held.last(number == len(cut)):
            with autocast(held.device, spec.trainer.precision):
                scores = held.called(some[0])  # [B, M]
            loss = net.loss(scores.float(), *some[1:]) * (weight * share)
            loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    optimizer.step()
    return total


def _batches(of: Lists, order: np.ndarray, size: int, *, ranks: Ranks) -> Iterator[Batch]:
    """Yield padded batches: features [B, M, F], labels [B, M], mask [B, M] and the loss's weight.

    Lists without a hit teach nothing.
    """
    hits = np.add.reduceat(of.bought, of.offsets[:-1]) > 0
    order = order[hits[order]]
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        mine, share = ranks.shard(len(rows))
        rows = rows[mine]
        lengths = of.offsets[rows + 1] - of.offsets[rows]
        mask = np.arange(lengths.max()) < lengths[:, None]  # [B, M]
        where = np.where(mask, of.offsets[rows][:, None] + np.arange(lengths.max()), 0)
        labels = (of.bought[where] & mask).astype(np.float32)
        labels = labels if of.worth is None else labels * of.worth[where]
        yield torch.from_numpy(of.features[where]), torch.from_numpy(labels), torch.from_numpy(mask), share
