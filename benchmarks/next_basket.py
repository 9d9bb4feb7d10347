"""The published protocol of next-basket papers (TAIW, RecSys 2023) on the grocery's raw trips, beside its peers.

Users of five trips or more, items of ten lines or more; the last trip of each user is judged, the one before it
chooses every setting, and earlier ones are learnt from. Recall@10, and NDCG@10 whose ideal is over the whole trip.

`popular`; `personal`: frequency, then popularity; `decay` (by days), `up_cf` and `tifu_knn` have settings of the grids
below; `blend` is the best mix of these three. `tifu_sized` is the platform's ranker of that name on days
(next_basket_sized.py), `tifu_sized_trips` on trips. `basket` is the platform's (components/ranking/basket_fit.py), in
the form that does better on the validation trip; `basket_and_tifu` and `basket_and_sized` are its mixes with `tifu_knn`
and `tifu_sized`. `trees` is the platform's `lambdamart` over all of these scores, learnt from the two trips before the
validation one, as two-stage rankers learn; `trees_refit` is as many trees learnt from that trip as well, as the
platform's refit does. `ci95` are intervals over resampled users. `of_usual` leaves out of the judgement whom the
papers' code calls noise (trips.py). `--keep FOLDER` keeps what peers and `basket` make of each trip, and a run that was
broken off goes on behind it; `cpu_s` are those of this run.

Letters: U users, I items, L lines, N pairs of a user and an item that are scored, F features.
"""

import argparse
import itertools
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import next_basket_ours as ours
from benchmarks import next_basket_sized, script
from benchmarks.kept_fits import kept_arrays, open_folder, trees_lacking
from benchmarks.script import Document
from benchmarks.trips import Past, Trips, at_pairs, best_new, near_mean, up_cf
from components.ranking.basket_fit import FORMS, Told
from components.ranking.metrics import K, intervals
from feature_repo import files
from pipelines.environment import place
from pipelines.graphs.code_digests import package_digest

VALIDATE, TEST = 1, 0  # trips from the end
HALF_LIVES = (20.0, 40.0, 80.0, 160.0)  # days
NEAR = ((7, 0.9, 0.7), (3, 0.9, 0.9), (7, 1.0, 0.9))  # trips a group, decay within one, among them
ALPHAS = (0.1, 0.3, 0.5, 0.7, 0.9)  # share of the own vector
NEIGHBOURS = 300
RECENT, POWERS = (10, 25, 100), (1.0, 5.0)
BROUGHT = 50  # popular items, and new ones that near users have
SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # of a part of a mix
FINE_SHARES = tuple(round(0.1 * n, 1) for n in range(11))  # of one of two parts
TREE_TRIPS, LEARNT_TRIPS = 2, 4  # before the validation trip: what trees learn from; before these, what `basket` does
TREE_ITEMS = 120  # of a user, by `tifu_knn_sized`, that trees order
PEERS = ("decay", "up_cf", "tifu_knn")  # those with settings
PAIR = ("user", "item", "wanted")
Metrics = tuple[np.ndarray, np.ndarray]  # recall and NDCG of each user, [U]
Again = dict[str, tuple[dict[int, np.ndarray], Told]]  # by form: chances by trip from the end, [N]; what it was worth


@dataclass(frozen=True)
class Pairs:
    """What is scored before one trip: each user's history, and what popularity and near users bring."""

    past: Past
    user: np.ndarray  # [N] ascending
    item: np.ndarray  # [N]
    wanted: np.ndarray  # [N] bool
    scores: dict[str, np.ndarray]  # by peer and setting, [N]


def measure(asked: argparse.Namespace) -> Document:
    """Score the validation and the test trip, choose on the one and judge on the other."""
    trips = _made() if asked.quick else read(asked)
    seconds: dict[str, float] = {}
    start = time.process_time()
    if asked.keep is not None:
        open_folder(asked.keep, {"code": package_digest("components/ranking", "benchmarks"), "lines": len(trips.user)})
    check = pairs_of(trips, VALIDATE, keep=asked.keep)
    chosen = {peer: best_of(check, peer) for peer in (*PEERS, *next_basket_sized.NAMES)}
    test = pairs_of(trips, TEST, only=chosen.values(), keep=asked.keep)
    sides = {"popular": test.scores["popular"], "personal": test.scores["personal"]}
    sides |= {peer: test.scores[name] for peer, name in chosen.items()}
    shares = mixed(check, {peer: chosen[peer] for peer in PEERS})
    sides["blend"] = mix(test, chosen, shares)
    notes: dict[str, Any] = {"chosen": chosen | {"blend": shares}, "skipped": {}}
    judge = {VALIDATE: check, TEST: test}
    if why := trees_lacking():
        notes["skipped"] = {"trees": why}
    else:
        judge |= {
            VALIDATE + back: pairs_of(trips, VALIDATE + back, only=chosen.values(), keep=asked.keep)
            for back in range(1, TREE_TRIPS + 1)
        }
    seconds["peers"] = time.process_time() - start
    told: dict[str, list[np.ndarray]] = {name: [scores] for name, scores in sides.items()}
    for seed in range(asked.seeds):
        script.note(f"seed {seed} …")
        again: Again = {} if asked.without_basket else basket(trips, judge, seed=seed, keep=asked.keep, seconds=seconds)
        for name, scores in our_scores(judge, chosen, again, seed=seed, notes=notes, seconds=seconds).items():
            told.setdefault(name, []).append(scores)
    return {
        "users": test.past.n_users,
        "usual_users": int(trips.usual.sum()),
        "items": trips.n_items,
        "lines": len(trips.user),
        "seeds": asked.seeds,
        "candidate_recall": round(float(found_share(test)), 4),
        **notes,
        "cpu_s": {name: round(value, 1) for name, value in seconds.items()},
        "validation": {name: judged(check, [check.scores[of]], trips.usual) for name, of in chosen.items()},
        "sides": {name: judged(test, scores, trips.usual) for name, scores in told.items()},
    }


def read(asked: argparse.Namespace) -> Trips:
    """Read the spec's source as it is, before any cleaning, as the papers do."""
    from components.data import sources
    from components.data.database import database

    there = place(asked.spec, asked.env)
    with tempfile.TemporaryDirectory() as folder, database(Path(folder)) as db:
        sources.read(db, there.spec.data.source, there.spec_path.absolute().parent, work=Path(folder))
        path = Path(folder) / "events.parquet"
        db.execute(f"COPY (SELECT user_id, item_id, session_id, timestamp FROM source_events) TO '{path}'")
        return Trips.read(path)


def _made() -> Trips:
    """Make 60 users with eight trips a week apart, of four items of their own and one of all."""
    rng = np.random.default_rng(0)
    lines: list[tuple[int, int, int, float]] = []
    for user in range(60):
        own = rng.choice(80, 4, replace=False)
        for trip in range(1, 9):
            items = {*own[rng.random(4) < 0.7].tolist(), *rng.choice(80, 2).tolist()}
            lines += [(user, item, trip, 7.0 * trip + user % 3) for item in sorted(items)]
    table = np.asarray(lines)
    whole = table[:, :3].astype(np.int64)
    return Trips(whole[:, 0], whole[:, 1], whole[:, 2], table[:, 3], 80)


def pairs_of(trips: Trips, back: int, *, only: Iterable[str] | None = None, keep: Path | None = None) -> Pairs:
    """Find the pairs of a trip, and let the peers score them with every setting, or with some, once in a folder."""
    few = None if only is None else sorted(only)
    arrays = kept_arrays(keep, f"peers-{back}-{files.digest(few)}", lambda: _scored(trips, back, few))
    user, item, wanted = (arrays.pop(name) for name in PAIR)
    return Pairs(trips.before(back), user, item, wanted, arrays)


def _scored(trips: Trips, back: int, only: Iterable[str] | None) -> dict[str, np.ndarray]:
    settings = None if only is None else {*only}

    def asked(name: str) -> bool:
        return settings is None or name in settings

    script.note(f"peers, trip {back} from the end …")
    past = trips.before(back)
    counts = past.counts()
    alike = up_cf(past, power=POWERS[-1])
    popular = np.argsort(-past.share, kind="stable")[:BROUGHT]
    keys = [
        counts.nonzero()[0] * trips.n_items + counts.nonzero()[1],
        (np.arange(past.n_users)[:, None] * trips.n_items + popular).ravel(),
        best_new(alike, past.recent(RECENT[-1]), counts, BROUGHT),
    ]
    user, item = np.divmod(np.unique(np.concatenate(keys)), trips.n_items)
    of_all = past.share[item] / past.share.max() * 1e-3
    scores = {"popular": past.share[item], "personal": _at(counts, user, item) + of_all}
    scores |= {f"decay {days:g}": _at(past.decayed(days), user, item) + of_all for days in HALF_LIVES}
    for group, within, among in NEAR:
        names = {alpha: f"tifu_knn {group} {within:g} {among:g} {alpha:g}" for alpha in ALPHAS}
        if any(map(asked, names.values())):
            vectors = past.tifu(group=group, within=within, among=among)
            own, others = _at(vectors, user, item), at_pairs(near_mean(vectors, NEIGHBOURS), vectors, user, item)
            scores |= {names[alpha]: alpha * own + (1 - alpha) * others for alpha in ALPHAS if asked(names[alpha])}
    for power, count in itertools.product(POWERS, RECENT):
        if asked(name := f"up_cf {count} {power:g}"):
            scores[name] = at_pairs(alike if power == POWERS[-1] else up_cf(past, power=power), past.recent(count),
                                    user, item)  # fmt: skip
    for sized, days in itertools.product(next_basket_sized.NAMES, HALF_LIVES):
        if asked(name := f"{sized} {days:g}"):
            scores[name] = next_basket_sized.scores(past, user, item, sized, days)
    wanted = np.isin(user * trips.n_items + item, past.wanted_user * trips.n_items + past.wanted_item)
    return dict(zip(PAIR, (user, item, wanted), strict=True)) | scores


def _at(matrix: Any, user: np.ndarray, item: np.ndarray) -> np.ndarray:
    return np.asarray(matrix[user, item], dtype=np.float64).ravel()


def per_user(of: Pairs, scores: np.ndarray) -> Metrics:
    """Return recall@10 and NDCG@10 of each user; ties by item."""
    order = np.lexsort((of.item, -scores, of.user))
    rank = np.arange(len(order)) - np.searchsorted(of.user, of.user)  # users are ascending, so also in this order
    hits = of.wanted[order] & (rank < K)
    user = of.user[order][hits]
    number = np.bincount(of.past.wanted_user, minlength=of.past.n_users)
    ideal = np.cumsum(1 / np.log2(np.arange(2, number.max() + 2)))[number - 1]
    found = np.bincount(user, minlength=of.past.n_users)
    gained = np.bincount(user, 1 / np.log2(rank[hits] + 2), minlength=of.past.n_users)
    return found / number, gained / ideal


def best_of(check: Pairs, peer: str) -> str:
    """Return the setting of a peer that has the highest NDCG@10 on the validation trip."""
    names = [name for name in check.scores if name.startswith(f"{peer} ")]
    return max(names, key=lambda name: per_user(check, check.scores[name])[1].mean())


def _unit(of: Pairs, scores: np.ndarray) -> np.ndarray:
    """Divide scores by each user's largest."""
    largest = np.zeros(of.past.n_users)
    np.maximum.at(largest, of.user, scores)
    return np.asarray(scores / np.maximum(largest, 1e-12)[of.user])


def mix(of: Pairs, chosen: Mapping[str, str], shares: Mapping[str, float]) -> np.ndarray:
    parts = [share * _unit(of, of.scores[chosen[peer]]) for peer, share in shares.items()]
    return np.asarray(np.sum(parts, axis=0))


def mixed(check: Pairs, chosen: Mapping[str, str]) -> dict[str, float]:
    """Return the shares of the peers of the mix that has the highest NDCG@10 on the validation trip."""
    grid = [(a, b, 1 - a - b) for a in SHARES for b in SHARES if a + b <= 1 + 1e-9]
    units = [_unit(check, check.scores[name]) for name in chosen.values()]
    worth = [per_user(check, np.asarray(one) @ np.stack(units))[1].mean() for one in grid]
    return {peer: round(share, 2) for peer, share in zip(chosen, grid[int(np.argmax(worth))], strict=True)}


def mixed_with(check: Pairs, one: np.ndarray, other: np.ndarray) -> float:
    """Return the share of the one of two scores in the mix that has the highest NDCG@10 on the validation trip."""
    return max(FINE_SHARES, key=lambda share: per_user(check, share * one + (1 - share) * other)[1].mean())


def basket(
    trips: Trips, judge: Mapping[int, Pairs], *, seed: int, keep: Path | None, seconds: dict[str, float]
) -> Again:
    """Fit both forms of `basket` on earlier trips; return of each the chances of all pairs, by trip, and its worth."""
    start, first = time.process_time(), VALIDATE + TREE_TRIPS + 1

    def made() -> dict[str, np.ndarray]:
        earlier = [trips.before(back) for back in range(first, first + LEARNT_TRIPS)]
        forms = ours.fit_forms(earlier, judge[VALIDATE].past, trips.n_items, seed=seed)
        found = {f"{form} told": np.asarray(told) for form, (_, told) in forms.items()}
        return found | {
            f"{form} {back}": ours.chances(net, of.past, of.user, of.item)
            for form, (net, _) in forms.items()
            for back, of in judge.items()
        }

    arrays = kept_arrays(keep, f"basket-{seed}-{len(judge)}", made)
    seconds[f"basket {seed}"] = time.process_time() - start
    return {form: ({back: arrays[f"{form} {back}"] for back in judge}, tuple(arrays[f"{form} told"].tolist()))
            for form in FORMS}  # fmt: skip


def our_scores(
    judge: Mapping[int, Pairs],
    chosen: Mapping[str, str],
    again: Again,
    *,
    seed: int,
    notes: dict[str, Any],
    seconds: dict[str, float],
) -> dict[str, np.ndarray]:
    """Score the test trip by `basket`, where it was fitted, by its mixes, and by trees over all scores."""
    check, test = judge[VALIDATE], judge[TEST]
    found = {f"basket_{form}": by_trip[TEST] + 1e-4 * test.scores["popular"] for form, (by_trip, _) in again.items()}
    if again:
        notes.setdefault("forms", []).append({form: told[0] for form, (_, told) in again.items()})
        best = max(again, key=lambda form: again[form][1])
        found["basket"] = found[f"basket_{best}"]
        for side, peer in (("basket_and_tifu", "tifu_knn"), ("basket_and_sized", next_basket_sized.DAYS)):
            both = {back: [_unit(of, again[best][0][back]), _unit(of, of.scores[chosen[peer]])]
                    for back, of in ((VALIDATE, check), (TEST, test))}  # fmt: skip
            share = mixed_with(check, *both[VALIDATE])
            notes.setdefault(side, []).append(share)
            found[side] = share * both[TEST][0] + (1 - share) * both[TEST][1]
    if notes["skipped"]:
        return found
    start = time.process_time()
    few = {back: best_few(of, of.scores[chosen[next_basket_sized.NEAREST]]) for back, of in judge.items()}
    cut = {back: ours.features(of, chosen, {form: again[form][0][back] for form in again})[few[back]]
           for back, of in judge.items()}  # fmt: skip
    parts = {back: replace(of, user=of.user[few[back]], item=of.item[few[back]], wanted=of.wanted[few[back]])
             for back, of in judge.items()}  # fmt: skip
    columns = {id(part): cut[back] for back, part in parts.items()}
    learn = [parts[VALIDATE + back] for back in range(1, TREE_TRIPS + 1)]
    trees, told = ours.fit_trees(learn, parts[VALIDATE], columns, seed=seed)
    best_at = int(np.argmax(told)) + 1
    notes.setdefault("trees", []).append(best_at)
    again_fit, _ = ours.fit_trees(learn, parts[VALIDATE], columns, seed=seed, trees=best_at)
    for name, made in (("trees", trees), ("trees_refit", again_fit)):
        found[name] = np.full(len(test.user), -np.inf)
        found[name][few[TEST]] = made.score(cut[TEST])
    seconds[f"trees {seed}"] = time.process_time() - start
    return found


def best_few(of: Pairs, scores: np.ndarray, most: int = TREE_ITEMS) -> np.ndarray:
    """Return the positions of each user's `most` best pairs, ascending; ties by item."""
    order = np.lexsort((of.item, -scores, of.user))
    rank = np.arange(len(order)) - np.searchsorted(of.user, of.user)
    return np.sort(order[rank < most])


def found_share(of: Pairs) -> float:
    number = np.bincount(of.past.wanted_user, minlength=of.past.n_users)
    return float((np.bincount(of.user[of.wanted], minlength=of.past.n_users) / number).mean())


def judged(test: Pairs, seeds: list[np.ndarray], usual: np.ndarray) -> dict[str, Any]:
    """Return the means over users and seeds, with intervals; `of_usual` are those of the users [U] told."""
    each = [per_user(test, scores) for scores in seeds]
    values = {name: np.mean([one[n] for one in each], axis=0) for n, name in enumerate(("recall_at_10", "ndcg_at_10"))}
    users = np.arange(test.past.n_users).astype(str)
    around = intervals(values, users, np.ones(len(users), dtype=bool))
    usually = {name: round(float(value[usual].mean()), 5) for name, value in values.items()}
    means = {name: round(float(value.mean()), 5) for name, value in values.items()}
    return means | {"ci95": around, "of_usual": usually}


def text(document: Document) -> str:
    """Write the table, best first."""
    sides = sorted(document["sides"].items(), key=lambda side: -side[1]["ndcg_at_10"])
    lines = [[name, *(f"{one[m]:.4f} [{one['ci95'][m][0]:.4f}, {one['ci95'][m][1]:.4f}]"
                      for m in ("recall_at_10", "ndcg_at_10")),
              " / ".join(f"{value:.4f}" for value in one["of_usual"].values())] for name, one in sides]  # fmt: skip
    head = f"{document['users']:,} users, {document['items']:,} items, {document['seeds']} seeds; last trips"
    left = [f"{name}: {why}" for name, why in document["skipped"].items()]
    columns = ["", "recall@10", "NDCG@10", f"of {document['usual_users']:,} usual users"]
    return "\n\n".join([head, script.table(columns, lines), *left])


if __name__ == "__main__":
    switches = script.parser(__doc__, trained=True)
    switches.add_argument("--without-basket", action="store_true", help="leave out `basket`, most of the time it takes")
    switches.add_argument("--seeds", type=int, default=1, help="fits of basket and trees")
    switches.add_argument("--keep", type=Path, help="folder that keeps what peers and basket make of each trip")
    script.main(switches, measure, text)
