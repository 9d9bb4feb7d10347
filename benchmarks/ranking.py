"""Which ranker is best? Every algorithm that a spec may name, and its peers, on the test rows of one finished run.

All are trained on that run's rows and its intents, which are out of time, and judged on the same user-weeks: `default`
is the spec's own ranker trained anew, the others differ from it by their algorithm alone. `--source NAME` adds the
default with a candidate source more, `--only lambdamart+NAME` another ranker with it; `--seeds N` trains each with N
seeds and gives the means. TIFU-KNN, over whole baskets, and the baselines stand beside them. The document has an entry
a model under its name. `fit_cpu_s` is what fitting took of the processor, neighbours, lists and members included, also
where several sides share these; `ci95` are intervals over resampled users; `less_default` is the paired difference. A
formula has no seed, so it is fitted once. `--keep FOLDER` keeps fits and lists of items, and a run that was broken off
goes on behind them.

Letters: R rows.
"""

import argparse
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import script, subject, tifu
from benchmarks.cells import Cells
from benchmarks.kept_fits import Fits, Materials, about, is_formula, trees_lacking
from benchmarks.script import Document
from components.ranking import examples as ranking_examples
from components.ranking import lists, metrics
from components.ranking.baseline_net import BaselineNet
from components.ranking.baselines import BASELINES
from components.ranking.evaluate import EXPLORE
from components.ranking.examples import Examples, World
from components.ranking.metrics import K
from components.ranking.models import ALGORITHMS, NETWORK, TREES
from components.ranking.score import Ranker
from components.ranking.scored import top
from components.ranking.sources import NAMES
from components.ranking.spec import Ranking
from components.ranking.steps import users_key
from components.ranking.train import Trained, ranker_of, train
from feature_repo import files
from feature_repo.errors import SpecError, nearest

DEFAULT, PEER = "default", "tifu_knn"
OF_ALL = "_of_all_items"  # a baseline with an algorithm's name: it ranks all items, the algorithm its candidates
METRICS = (f"ndcg_at_{K}", f"recall_at_{K}", f"phr_at_{K}", EXPLORE)
LIMIT = 50  # items that a source more may bring
PLAIN = {"algorithm": NETWORK}  # what differs between rankers that were trained to the same lists
Lists = tuple[np.ndarray, np.ndarray]  # the first K items of each row, of all and of new ones, [R, K]


@dataclass
class Side:
    """One ranker's lists, by seed."""

    fit_cpu_s: float = 0.0
    by_seed: list[Lists] = field(default_factory=list)

    @classmethod
    def of(cls, cells: list[Document]) -> "Side":
        """Read what was kept of each seed."""
        pairs = [(np.asarray(cell["whole"]), np.asarray(cell["fresh"])) for cell in cells]
        return cls(float(np.mean([cell["fit_cpu_s"] for cell in cells])), pairs)


def measure(asked: argparse.Namespace) -> Document:
    """Train and judge all sides."""
    with subject.subject(asked) as found:
        spec = capped(found.ranking, asked.train_weeks)
        sides, skipped = _sides(spec, asked.source, asked.only), {}
        world = _world(found, spec)
        if (grown := [name for name, side in sides.items() if TREES in side.algorithms]) and (why := trees_lacking()):
            skipped = dict.fromkeys(grown, why)
        fits = Fits.of(asked.keep and asked.keep / "fits", world)
        cells = Cells(asked.keep and asked.keep / "ranking.jsonl", about(found.name, world, spec))
        materials, made, trained = Materials(fits), dict[str, Side](), dict[str, Made]()
        for name, side in sides.items():
            if name in skipped:
                continue
            seeds = 1 if is_formula(side.algorithm) else asked.seeds
            by_seed = [
                cells.kept(f"{name}, seed {seed}", lambda: _trained(found, side, seed, materials, trained))  # noqa: B023
                for seed in range(seeds)
            ]
            made[name] = Side.of(by_seed)
        peers = cells.kept("peers", lambda: _peers(found, world, fits, spec))
        made |= {f"{name}{OF_ALL}" if name in made else name: Side.of([side]) for name, side in peers.items()}
    judged = _test(world)
    document = _document(made, judged, world.vocabulary.items.num_rows)
    return {
        "recommender": found.name,
        "weeks": [int(week) for week in np.unique(judged.week)],
        "rows": len(judged),
        "seeds": asked.seeds,
        "train_rows": int(np.isin(world.examples.week, world.weeks("train")[-spec.train_weeks :]).sum()),
        "ranked": sorted(document, key=lambda name: -(document[name][METRICS[0]] or 0.0)),  # names, best first
        "skipped": skipped,
    } | document


def capped(spec: Ranking, train_weeks: int | None) -> Ranking:
    """Return a spec that learns from so many training steps at most."""
    if train_weeks is None:
        return spec
    if train_weeks < 2:
        raise SpecError(f"--train-weeks: {train_weeks} is too few to learn from; say 2 or more")
    return spec.model_copy(update={"train_weeks": min(spec.train_weeks, train_weeks)})


@dataclass
class Made:
    """What was trained with one seed on the same lists: an ensemble means members that are there already."""

    rankers: dict[str, Trained] = field(default_factory=dict)
    cpu_s: dict[str, float] = field(default_factory=dict)

    def cost(self, spec: Ranking, taken: float) -> float:
        """Return what fitting a ranker takes, `taken` just now and what its members took before."""
        before = sum(self.cpu_s.get(name, 0.0) for name in spec.algorithms if name != spec.algorithm)
        self.cpu_s.setdefault(spec.algorithm, taken)
        return taken + before


def _trained(found: subject.Subject, spec: Ranking, seed: int, materials: Materials, made: dict[str, Made]) -> Document:
    """Train one side with one seed and let it rank the test rows."""
    script.note(f"{spec.algorithm}, seed {seed} …")
    seeded = spec.model_copy(update={"seed": spec.seed + seed})
    world = _world(found, seeded)
    material, shared = materials.of(world, seeded)
    of = {"spec": seeded.model_copy(update=PLAIN).model_dump(mode="json"), "features": list(world.features)}
    like = made.setdefault(files.digest(of), Made())
    start = time.process_time()
    ranker = train(world, seeded, material=material, made=like.rankers).ranker
    taken = like.cost(seeded, time.process_time() - start)
    return _written(_of_ranker(ranker, world), shared + taken)


def _written(of: Lists, fit_cpu_s: float) -> Document:
    return {"whole": of[0].tolist(), "fresh": of[1].tolist(), "fit_cpu_s": fit_cpu_s}


def _world(found: subject.Subject, spec: Ranking) -> World:
    """Read the run's rows as training does, with the key of pseudonyms where items are users."""
    return ranking_examples.load(found.rows, found.trained_intent, spec, key=users_key(spec, found.variables))


def _sides(spec: Ranking, sources: list[str], only: list[str]) -> dict[str, Ranking]:
    """Name the specs that are trained: the spec's own, with each other algorithm, its own with each source more.

    `only` names what is trained, where not all is; differences are then from the first of them. It may name any trained
    algorithm with a source more, such as ensemble+sized.
    """
    others = {one.name: spec.model_copy(update={"algorithm": one.name})
              for one in ALGORITHMS if one.name != spec.algorithm}  # fmt: skip
    for name in sources:
        if name not in NAMES:
            raise SpecError(f"--source: '{name}' is no candidate source; have {', '.join(sorted(NAMES))}")
    plain = {DEFAULT: spec} | others
    usual = {f"{DEFAULT}+{name}": _with(spec, name) for name in sources}
    every = plain | usual
    every |= {
        f"{side}+{name}": _with(one, name)
        for name in sources
        for side, one in others.items()
        if not is_formula(one.algorithm)
    }
    for name in only:
        if name not in every:
            raise SpecError(f"--only: '{name}' is no side; have {', '.join(every)}{nearest(name, list(every))}")
    return {name: every[name] for name in only or plain | usual}


def _with(spec: Ranking, source: str) -> Ranking:
    """Return a spec with a source more."""
    return spec.model_copy(update={"candidates": spec.candidates.model_copy(update={source: LIMIT})})


def _test(world: World) -> Examples:
    """Return the test rows in the order in which lists are made."""
    test = world.examples.of_weeks(world.weeks("test"))
    return test.take(np.argsort(test.week, kind="stable"))


def _of_ranker(ranker: Ranker, world: World) -> Lists:
    ranker, parts = replace(ranker, eligible=world.eligible), []
    for week in world.weeks("test"):
        at_week = ranker.at(world.item_state, week=week, graph=world.graph(week))
        for chunk in lists.chunks(world.examples.of_weeks([week])):
            scored = at_week.rank(chunk.rows, chunk.probabilities)
            item, new = np.append(scored.found.item, -1), scored.facts["weeks_bought"] == 0
            parts.append((item[top(scored, K)], item[top(scored, K, allowed=new)]))
    return _joined(parts)


def _joined(parts: list[Lists]) -> Lists:
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _peers(found: subject.Subject, world: World, fits: Fits, spec: Ranking) -> Document:
    """Let TIFU-KNN and the baselines rank the same rows."""
    until = world.weeks("train")[-1]
    ranker = ranker_of(world, spec, net=BaselineNet("popular"), neighbours=fits.until(replace(world, learn=()), until))
    baskets = tifu.Baskets.read(found.clean / "events.parquet", ranker.vocabulary.item_ids, event=spec.event)
    parts: dict[str, list[Lists]] = {name: [] for name in (PEER, *BASELINES)}
    fitted = 0.0
    for week in world.weeks("test"):
        script.note(f"peers, week {week} …")
        at_week, start = ranker.at(world.item_state, week=week), time.process_time()
        before = int(world.calendar.start(week).timestamp())
        peer = tifu.Tifu.at(baskets, before, n_items=len(ranker.catalogue))
        fitted += time.process_time() - start
        for chunk in lists.chunks(world.examples.of_weeks([week])):
            barred = world.eligible.barred(chunk.rows)
            scores, history = peer.scores(chunk.rows.user_id), chunk.rows.lists["history_items"]
            scores[barred.row_of_value(), barred.values] = 0.0
            unseen = scores.copy()
            unseen[history.row_of_value(), history.values] = 0.0
            parts[PEER].append((tifu.best(scores, K), tifu.best(unseen, K)))
            known = (chunk.rows, at_week.catalogue, at_week.neighbours)
            for name, baseline in BASELINES.items():
                whole, fresh = (baseline(*known, k=K, unseen=new, barred=barred) for new in (False, True))
                parts[name].append((whole, fresh))
    return {name: _written(_joined(part), fitted if name == PEER else 0.0) for name, part in parts.items()}


def _document(sides: dict[str, Side], examples: Examples, n_items: int) -> dict[str, Any]:
    """Judge all lists; a side's value of a row is the mean over its seeds."""
    users = examples.rows.user_id
    values, counts = {}, {}
    for name, side in sides.items():
        values[name], counts[name] = _values(side, examples, n_items)
    document: dict[str, Any] = {}
    first = next(iter(sides))  # the default, unless --only leaves it out
    for name, side in sides.items():
        found: dict[str, Any] = {}
        around: dict[str, list[float]] = {}
        less: dict[str, list[float]] = {}
        for metric, value in values[name].items():
            where = counts[name][metric]
            found[metric] = round(float(value[where].mean()), 5) if where.any() else None
            apart = value - values[first][metric]
            drawn = metrics.intervals({"value": value, "apart": apart}, users, where)
            around[metric], less[metric] = drawn.get("value", []), drawn.get("apart", [])
        document[name] = found | {"fit_cpu_s": round(side.fit_cpu_s, 2), "ci95": around}
        if name != first:
            document[name][f"less_{first}"] = less
    return document


def _values(side: Side, examples: Examples, n_items: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    had = metrics.among(examples.bought, examples.rows.lists["history_items"], n_items)
    new, worth = metrics.only(examples.bought, ~had), examples.worth
    fresh_worth = None if worth is None else metrics.only(worth, ~had)
    seeds: dict[str, list[np.ndarray]] = {metric: [] for metric in METRICS}
    for whole, fresh in side.by_seed:
        overall = metrics.per_row(whole, examples.bought, n_items, worth=worth)
        explore = metrics.per_row(fresh, new, n_items, worth=fresh_worth)
        for metric, value in zip(METRICS, (overall.ndcg, overall.recall, overall.hit, explore.ndcg), strict=True):
            seeds[metric].append(value)
    counts = dict.fromkeys(METRICS, overall.counts) | {EXPLORE: explore.counts}
    return {metric: np.mean(value, axis=0) for metric, value in seeds.items()}, counts


def text(document: Document) -> str:
    """Write the table, best first."""
    models = [(name, document[name]) for name in document["ranked"]]
    lines = [[name, *(_cell(one, metric) for metric in METRICS), one["fit_cpu_s"]] for name, one in models]
    head = (
        f"{document['recommender']}: {document['rows']:,} user-steps of the test steps "
        f"{', '.join(map(str, document['weeks']))}, {document['seeds']} seeds"
    )
    left = [f"{name}: {why}" for name, why in document["skipped"].items()]
    return "\n\n".join([head, script.table(["", *METRICS, "fit CPU-s"], lines), *left])


def _cell(one: dict[str, Any], metric: str) -> str:
    if one[metric] is None or not one["ci95"][metric]:
        return "no target"
    low, high = one["ci95"][metric]
    return f"{one[metric]:.4f} [{low:.4f}, {high:.4f}]"


if __name__ == "__main__":
    switches = script.parser(__doc__, trained=True)
    switches.add_argument("--source", action="append", default=[], help="a candidate source to add; may be repeated")
    switches.add_argument(
        "--only", action="append", default=[], help="a side to train, instead of all; may be repeated"
    )
    switches.add_argument("--seeds", type=int, default=1, help="rankers a side")
    switches.add_argument("--train-weeks", type=int, help="training steps at most; default: the spec's")
    switches.add_argument("--keep", type=Path, help="folder that keeps what was fitted and ranked")
    script.main(switches, measure, text)
