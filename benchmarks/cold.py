"""Who and what is new: items that came in the test steps, and users of whom a few events are known.

By the models of the last finished run, which learnt nothing of its test steps; a refit has, and is refused. Items:
those that occurred first in the test steps lie over the release as the job `materialise` puts them there, or are its
own where the spec ranks later items, by what is known of them at each step; of the later ones alone, the ranker's ten
for everyone who had some, beside `category_popular`: those of the categories that most users had lately, the newest
first. `warm` is what that costs lists of everything: NDCG@10 of the items that training knew, with the later ones in
the catalogue over without. Users: the same rows with their last 0, 1, 2 and 5 events alone, folded as a session's are,
beside what is popular and beside all that is known of them; a user of 0 events is answered by popularity, in
`events_0_interest` with the category that they had most declared as an interest: what a user who is asked could say;
`interests` is what that is best worth, on the validation steps. `ratio` is of means, with the 95 % interval over
resampled users; `--every N` takes each n-th user-step.

Letters: R rows.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks import ranking, script, subject
from benchmarks.script import Document
from bentos.recommender.service import folding
from bentos.release import INTENT, RANKING, Release
from components import conditions
from components.intent.score import IntentScorer
from components.ranking import metrics, open_catalogue
from components.ranking.baselines import BASELINES
from components.ranking.catalogue import Catalogue
from components.ranking.examples import World
from components.ranking.metrics import K
from components.ranking.score import Ranker
from feature_repo import columns, session_rows
from feature_repo.documents.changes import ITEM, Newest
from feature_repo.errors import SpecError
from feature_repo.fallback import DECLARED
from feature_repo.live_items import live
from feature_repo.rows import Ragged
from feature_repo.update import Event, Folding, event_of
from pipelines.jobs import later_items

EVENTS = (0, 1, 2, 5)
INTEREST = "events_0_interest"
WORTHS = (1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 1e9)  # of an interest beside popularity; the last: it alone
RESAMPLES = 1000


@dataclass(frozen=True)
class Came:
    """An item that came after training."""

    item: str
    at: int  # epoch seconds of its first event
    says: Mapping[str, Any]


@dataclass(frozen=True)
class Known:
    """What users did, oldest first."""

    table: pa.Table  # user_id, item_id, at and what events hold

    @classmethod
    def read(cls, path: Any, event: str | None) -> "Known":
        """Read clean events of the kind that counts."""
        table = pq.read_table(path)
        if event is not None:
            table = table.filter(pc.equal(table[columns.EVENT], event))
        return cls(table.filter(pc.is_valid(table[columns.ITEM_ID])).sort_by(columns.TIMESTAMP))

    @cached_property
    def at(self) -> np.ndarray:
        """When each happened, epoch seconds."""
        return np.asarray(pc.cast(pc.cast(self.table[columns.TIMESTAMP], pa.timestamp("s")), pa.int64()))

    @cached_property
    def of_user(self) -> dict[str, np.ndarray]:
        """Positions of each user's events."""
        user = np.asarray(self.table[columns.USER_ID].to_pylist(), dtype=object)
        order = np.argsort(user, kind="stable")
        names, starts = np.unique(user[order], return_index=True)
        return dict(zip(names.tolist(), np.split(order, starts[1:]), strict=True))

    def before(self, user: str, instant: int) -> np.ndarray:
        """Return the positions of a user's events before an instant."""
        mine = self.of_user.get(user, np.empty(0, np.int64))
        return np.asarray(mine[self.at[mine] < instant])

    def between(self, user: str, start: int, end: int) -> list[str]:
        """Return the items of a user's events in a span."""
        mine = self.of_user.get(user, np.empty(0, np.int64))
        mine = mine[(self.at[mine] >= start) & (self.at[mine] < end)]
        return [str(item) for item in self.table[columns.ITEM_ID].take(pa.array(mine)).to_pylist()]

    def events(self, positions: Sequence[int], calendar: Any) -> list[Event]:
        """Return events as a profile is folded from them."""
        rows = self.table.take(pa.array(list(positions), pa.int64())).to_pylist()
        return [event_of(row | {columns.TIMESTAMP: int(self.at[p])}, calendar)
                for row, p in zip(rows, positions, strict=True)]  # fmt: skip


def measure(asked: argparse.Namespace) -> Document:
    """Judge new items and new users."""
    with subject.subject(asked) as found:
        if found.ranking.exclude_self:
            raise SpecError("--spec: items are people here, and those are measured by the job that brings them")
        if (found.release / RANKING / conditions.FILE).is_file():
            raise SpecError(
                "--spec: the last run's release is a refit, which has learnt from its test steps; say refit: false"
            )
        world = ranking._world(found, found.ranking)
        ranker = replace(Ranker.served(found.release / RANKING), eligible=world.eligible)
        world = replace(world, examples=world.examples.take(np.arange(0, len(world.examples), asked.every)))
        known = Known.read(found.clean / "events.parquet", found.ranking.event)
        release = Release.load(found.release)
        scorer, fold = IntentScorer.served(found.release / INTENT), folding(release, ranker.vocabulary)
        return {
            "recommender": found.name,
            "weeks": [int(week) for week in world.weeks("test")],
            "every": asked.every,
            "interests": interests(ranker, world) if asked.part in ("both", "interests") else {},
            "items": items(ranker, world, known, came(ranker, world, found.clean, ranked=found.ranking.later_items))
            if asked.part in ("both", "items")
            else {},
            "users": users(ranker, world, known, scorer, fold) if asked.part in ("both", "users") else {},
        }


def came(ranker: Ranker, world: World, clean: Any, *, ranked: bool) -> list[Came]:
    """Return the items that came in the test steps, oldest first, each with what the source says of it.

    They are unknown to the release, or, where the spec ranks later items, those whose first_seen lies in those steps.
    """
    since = int(world.calendar.start(world.weeks("test")[0]).timestamp())
    if ranked:
        seen = pc.cast(pc.cast(ranker.vocabulary.items[columns.FIRST_SEEN], pa.timestamp("s"), safe=False), pa.int64())
        both = zip(ranker.vocabulary.item_ids, seen.to_pylist(), strict=True)
        own = [Came(item, first, {}) for item, first in both if first is not None]
        return sorted((one for one in own if one.at >= since), key=lambda one: (one.at, one.item))
    firsts = later_items.firsts(clean)
    found = later_items.later([ranker.vocabulary], pq.read_table(clean / "items.parquet"), firsts)
    every = [Came(item, int(firsts[item].timestamp()), says) for item, says in found if item in firsts]
    return sorted((one for one in every if one.at >= since), key=lambda one: (one.at, one.item))


def over(ranker: Ranker, new: Sequence[Came]) -> Ranker:
    """Lay items that came later over a ranker."""
    documents = [Newest(ITEM, one.item, 1, (1, n), dict(one.says)) for n, one in enumerate(new)]
    return open_catalogue.over(ranker, live(ranker.vocabulary, documents))


def category_popular(catalogue: Catalogue, later: np.ndarray) -> np.ndarray:
    """Order later items by how many users had something of their category lately, the newest first among equals.

    `later` are their positions in the order in which they came. Their category is the whole path, or else the first
    target. Only the other items' users count.
    """
    share = catalogue.state[columns.SHARES[1]].copy()
    share[later] = 0.0
    first = catalogue.targets[:, 0]
    by_kind = np.bincount(catalogue.kind + 1, share, minlength=int(catalogue.kind.max()) + 2)
    by_target = np.bincount(first, share, minlength=catalogue.n_targets + 1)
    kind, target = catalogue.kind[later], first[later]
    of_target = np.where(target < catalogue.n_targets, by_target[target], 0.0)
    liked = np.where(by_kind[kind + 1] * (kind >= 0) > 0, by_kind[kind + 1], of_target)
    return np.asarray(later[np.lexsort((-np.arange(len(later)), -liked))])


@dataclass(frozen=True)
class Opened:
    """The items of one step: what training knew, and those that came until its end."""

    ranker: Ranker  # over all of them
    before: Ranker  # as training left it
    later: np.ndarray  # [N] positions of those that came, oldest first
    hidden: frozenset[int]  # positions of items of which `before` is to show none

    @classmethod
    def at(cls, ranker: Ranker, new: Sequence[Came], until: int) -> "Opened":
        """Open a ranker, as of a step, to those of `new` items that came before an instant.

        Where the spec ranks later items (`later_items`), the ranker has them all, and is closed to those instead.
        """
        place = ranker.vocabulary.index_of_item
        here = [one for one in new if one.item in place]
        if here:
            later = np.asarray([place[one.item] for one in here if one.at < until], dtype=np.int64)
            return cls(ranker, ranker, later, frozenset(place[one.item] for one in here))
        there = [one for one in new if one.at < until]
        grown = over(ranker, there)
        positions = np.arange(len(ranker.catalogue), len(ranker.catalogue) + len(there))
        return cls(grown, ranker, positions, frozenset())

    def alone(self) -> frozenset[int]:
        """Return the positions of all items but those that came."""
        return frozenset(range(len(self.ranker.catalogue))) - frozenset(self.later.tolist())

    def not_yet(self) -> frozenset[int]:
        """Return the positions of items that come after the step."""
        return self.hidden - frozenset(self.later.tolist())


def items(ranker: Ranker, world: World, known: Known, new: Sequence[Came]) -> Document:
    """Judge lists of later items alone, and what they cost lists of everything."""
    ours, theirs, wanted, users_of, warm_users = [], [], [], [], []
    plain, open_, bought = [], [], []
    for week in world.weeks("test"):
        script.note(f"new items, week {week} …")
        span = [int(world.calendar.start(w).timestamp()) for w in (week, week + 1)]
        if not any(one.at < span[1] for one in new):
            continue
        opened = Opened.at(ranker.at(world.item_state, week=week), new, span[1])
        place, came_here = opened.ranker.vocabulary.index_of_item, {*opened.later.tolist()}
        beside = category_popular(opened.ranker.catalogue, opened.later)[:K]
        alone, not_yet = opened.alone(), opened.not_yet()
        rows = world.examples.of_weeks([week])
        for b in range(len(rows)):
            one, chances = rows.rows.take(np.array([b])), rows.probabilities[b]
            user = str(one.user_id[0])
            plain.append(_listed(opened.before, one, chances, exclude=opened.hidden))
            open_.append(_listed(opened.ranker, one, chances, exclude=not_yet))
            mine = rows.bought.row(b)
            bought.append(mine[~np.isin(mine, opened.later)])
            warm_users.append(user)
            found = {place[item] for item in known.between(user, *span) if place.get(item, -1) in came_here}
            if found:
                ours.append(_listed(opened.ranker, one, chances, exclude=alone))
                theirs.append(_padded(beside))
                wanted.append(np.asarray(sorted(found)))
                users_of.append(user)
    told: Document = {"came": len(new), "rows": len(wanted)}
    if wanted:
        size, want = len(ranker.catalogue) + len(new), _ragged(wanted)
        model, popular = (metrics.per_row(np.stack(lists), want, size).recall for lists in (ours, theirs))
        told["recall_at_10"] = {"model": _mean(model), "category_popular": _mean(popular)}
        told |= {"ratio": ratio(model, popular, users_of)}
    if bought:
        size, want = len(ranker.catalogue) + len(new), _ragged(bought)
        before, after = (metrics.per_row(np.stack(lists), want, size).ndcg for lists in (plain, open_))
        counts = np.array([len(one) > 0 for one in bought])
        told["warm"] = {
            "rows": int(counts.sum()),
            "ndcg_at_10": {"without": _mean(before[counts]), "with": _mean(after[counts])},
            "ratio": ratio(after[counts], before[counts], np.asarray(warm_users)[counts].tolist()),
        }
    return told


def users(ranker: Ranker, world: World, known: Known, scorer: IntentScorer, fold: Folding) -> Document:
    """Judge lists for users of whom the last events alone are known, beside popularity and all that is known."""
    names = [f"events_{n}" for n in EVENTS[1:]] + ["all"]
    lists: dict[str, list[np.ndarray]] = {name: [] for name in (*names, "popular", INTEREST)}
    bought, users_of = [], []
    for week in world.weeks("test"):
        script.note(f"new users, week {week} …")
        at_week, start = ranker.at(world.item_state, week=week), int(world.calendar.start(week).timestamp())
        rows = world.examples.of_weeks([week])
        for b in range(len(rows)):
            one, user = rows.rows.take(np.array([b])), str(rows.rows.user_id[b])
            past = known.before(user, start)
            if len(past) < EVENTS[-1]:
                continue
            barred = world.eligible.barred(one)
            popular = BASELINES["popular"](one, at_week.catalogue, at_week.neighbours, k=K, unseen=False, barred=barred)
            lists["popular"].append(popular[0])
            lists[INTEREST].append(by_interest(at_week.catalogue, one, barred.values))
            lists["all"].append(_listed(at_week, one, rows.probabilities[b]))
            for n in EVENTS[1:]:
                few = session_rows.of(fold, user, known.events(past[-n:].tolist(), world.calendar), now=start).rows
                hidden = frozenset(barred.values.tolist())  # none may show what the whole row bars
                lists[f"events_{n}"].append(_listed(at_week, few, scorer.predict(few)[0], exclude=hidden))
            bought.append(rows.bought.row(b))
            users_of.append(user)
    if not bought:
        return {"rows": 0}
    want, size = _ragged(bought), len(ranker.catalogue)
    judged = {name: metrics.per_row(np.stack(found), want, size) for name, found in lists.items()}
    judged["events_0"] = judged.pop("popular")
    return {"rows": len(bought)} | {
        name: {
            "ndcg_at_10": _mean(one.ndcg),
            "recall_at_10": _mean(one.recall),
            "ndcg_over_popular": ratio(one.ndcg, judged["events_0"].ndcg, users_of),
        }
        for name, one in sorted(judged.items())
    }


def interests(ranker: Ranker, world: World) -> Document:
    """Judge, on validation steps, how many times as popular an item of an interest is to count: NDCG@10 by that."""
    lists: dict[float, list[np.ndarray]] = {worth: [] for worth in WORTHS}
    bought = []
    for week in world.weeks("validate"):
        catalogue, rows = ranker.at(world.item_state, week=week).catalogue, world.examples.of_weeks([week])
        barred = world.eligible.barred(rows.rows)
        for b in range(len(rows)):
            one = rows.rows.take(np.array([b]))
            for worth, found in lists.items():
                found.append(by_interest(catalogue, one, barred.row(b), worth=worth))
            bought.append(rows.bought.row(b))
    if not bought:
        return {"rows": 0}
    want, size = _ragged(bought), len(ranker.catalogue)
    judged = {str(worth): _mean(metrics.per_row(np.stack(found), want, size).ndcg) for worth, found in lists.items()}
    return {"rows": len(bought), "served": DECLARED, "ndcg_at_10": judged}


def by_interest(catalogue: Catalogue, row: Any, barred: np.ndarray, *, worth: float = DECLARED) -> np.ndarray:
    """List popular items, those of the target that a row's history has most of as the door lists an interest, [K]."""
    had, slow = row.lists["history_items"].values, row.lists["history_slow"].values
    liked = np.bincount(catalogue.targets[had].ravel(), np.repeat(slow, catalogue.targets.shape[1]),
                        minlength=catalogue.n_targets + 1)[:-1]  # fmt: skip
    of_it = (catalogue.targets == int(np.argmax(liked))).any(axis=1) if liked.any() else np.zeros(len(catalogue), bool)
    share = catalogue.state[columns.SHARES[1]] * np.where(of_it, worth, 1.0)
    share[barred] = -1.0
    order = np.lexsort((np.arange(len(share)), -share))
    return _padded(order[share[order] >= 0][:K])


def _listed(ranker: Ranker, row: Any, chances: np.ndarray, exclude: frozenset[int] = frozenset()) -> np.ndarray:
    found = ranker.recommend(row, np.asarray(chances, dtype=np.float32), k=K, exclude=exclude)
    return _padded(np.asarray([one.item_index for one in found], dtype=np.int64))


def _padded(items: np.ndarray) -> np.ndarray:
    return np.pad(items, (0, K - len(items)), constant_values=-1)


def _ragged(lists: Sequence[np.ndarray]) -> Ragged:
    return Ragged(np.concatenate(lists), np.cumsum([0, *map(len, lists)]).astype(np.int64))


def _mean(values: np.ndarray) -> float:
    return round(float(values.mean()), 5)


def ratio(ours: np.ndarray, theirs: np.ndarray, users_of: Sequence[str], *, seed: int = 0) -> Document:
    """Divide means [R], with the 95 % interval over resampled users; None where there is nothing to divide by.

    >>> ratio(np.array([2.0, 4.0]), np.array([1.0, 2.0]), ["a", "b"])
    {'of_means': 2.0, 'ci95': [2.0, 2.0]}
    """
    if not theirs.sum():
        return {"of_means": None, "ci95": None}
    user = metrics.user_numbers(np.asarray(users_of))
    n = int(user.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    over_, under = (drawn @ np.bincount(user, values, minlength=n) for values in (ours, theirs))
    some = over_[under > 0] / under[under > 0]
    low, high = np.quantile(some, (0.025, 0.975))
    return {
        "of_means": round(float(ours.mean() / theirs.mean()), 4),
        "ci95": [round(float(low), 4), round(float(high), 4)],
    }


def text(document: Document) -> str:
    """Write a table of items and one of users."""
    new, some = document["items"], document["users"]
    parts = [f"{document['recommender']}, test steps {', '.join(map(str, document['weeks']))}"]
    if new:
        parts.append(f"{new['came']} items came in the test steps; {new['rows']} user-steps had some")
    if new.get("rows"):
        lines = [[name, value] for name, value in new["recall_at_10"].items()]
        parts.append(script.table(["of later items alone", "recall@10"], [*lines, ["ratio", str(new["ratio"])]]))
    if document["interests"]:
        told = document["interests"]
        lines = [[worth, ndcg] for worth, ndcg in told.get("ndcg_at_10", {}).items()]
        parts.append(script.table([f"an interest counts, {told['rows']} rows", "NDCG@10"], lines))
    if "warm" in new:
        parts.append(f"warm NDCG@10: {new['warm']}")
    lines = [[name, one["ndcg_at_10"], one["recall_at_10"], str(one["ndcg_over_popular"])]
             for name, one in some.items() if isinstance(one, dict)]  # fmt: skip
    if some:
        parts.append(script.table([f"users, {some['rows']} rows", "NDCG@10", "recall@10", "over popular"], lines))
    return "\n\n".join(parts)


if __name__ == "__main__":
    switches = script.parser(__doc__, trained=True)
    switches.add_argument("--every", type=int, default=1, help="take each n-th user-step")
    switches.add_argument(
        "--part", choices=("both", "items", "users", "interests"), default="both", help="what is measured"
    )
    script.main(switches, measure, text)
