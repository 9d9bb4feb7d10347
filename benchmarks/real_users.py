"""Users who buy as the households of the grocery year do: fitted, judged, and let loose on a door over HTTP.

A choice model (choice_model.py) is fitted on real baskets of the weeks before and judged on later ones. With `--loop
FOLDER` a shop is trained on the same households' real baskets and serves; users ask it over HTTP, take along what the
model says, and report it to /events (users_loop.py). First greedily, then with an explorer that enters by its guard
rails, then with the policy that was learnt from the door's log, which is all that whoever learns reads; last the gate
judges lists at random. FOLDER keeps what is done, so that the script goes on where it was ended; `--stage` ends it
after one.

What a shown item changes nobody can tell from receipts. Here an item is taken along as it is at a visit without a list,
and only where it is shown: lists are worth what they show of what a household wants, and no more.
"""

import argparse
import datetime as dt
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import choice_model, script, users_loop
from benchmarks.choice_model import Baskets, Judged
from benchmarks.script import Document
from benchmarks.simulated_users import SimulatedUsers
from feature_repo.errors import SpecError

HOUSEHOLDS, ITEMS = 150, 60
LEARNT_FROM, JUDGED_FROM = 20, 42  # weeks of the year
FIRST = dt.date(2017, 1, 1)
K = 5


@dataclass(frozen=True)
class Fitted:
    """Households with what they want now, and what is known of the model."""

    households: list[str]
    items: list[str]
    categories: list[str]
    chances: np.ndarray  # [U, I] at the next visit
    judged: Judged
    weights: dict[str, float]  # of standardised features
    lines: list[dict[str, Any]]  # of the baskets, as a shop has them

    def users(self) -> SimulatedUsers:
        """Return them as clients of a door."""
        row = {household: n for n, household in enumerate(self.households)}
        column = {item: n for n, item in enumerate(self.items)}
        return SimulatedUsers(
            self.households, self.items, lambda user, item: float(self.chances[row[user], column[item]]), k=K
        )


def year() -> tuple[Baskets, list[str], list[str], list[str], list[dict[str, Any]]]:
    """Read the visits of some regular households with the items that most of them take: ids, categories and lines."""
    import duckdb

    from components.data.completejourney import _folder

    folder = _folder()
    with duckdb.connect() as db:
        lines = db.execute(
            f"""WITH t AS (
                SELECT CAST(household_id AS VARCHAR) AS h, CAST(product_id AS VARCHAR) AS p, basket_id AS b,
                    transaction_timestamp AS moment, quantity AS q, sales_value AS v, product_category AS c
                FROM read_parquet('{folder / "transactions.parquet"}') AS lines
                JOIN read_parquet('{folder / "products.parquet"}') AS products USING (product_id)),
            visits AS (SELECT h, count(DISTINCT b) AS n FROM t GROUP BY h HAVING n BETWEEN 50 AND 250),
            chosen AS (SELECT h FROM visits ORDER BY hash(h) LIMIT {HOUSEHOLDS}),
            wanted AS (SELECT p FROM t SEMI JOIN chosen USING (h) WHERE c IS NOT NULL
                GROUP BY p ORDER BY count(DISTINCT h || b) DESC, p LIMIT {ITEMS})
            SELECT h, p, b, min(moment) AS moment, sum(q) AS q, sum(v) AS v, any_value(c) AS c
            FROM t SEMI JOIN chosen USING (h) SEMI JOIN wanted USING (p) GROUP BY h, p, b ORDER BY moment, b, p"""
        ).fetchnumpy()
    return _laid_out(lines)


def _laid_out(lines: dict[str, np.ndarray]) -> tuple[Baskets, list[str], list[str], list[str], list[dict[str, Any]]]:
    households, household = np.unique(lines["h"].astype(str), return_inverse=True)
    items, item = np.unique(lines["p"].astype(str), return_inverse=True)
    visits, first, visit = np.unique(lines["b"], return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")  # by time, as the lines are
    place = np.argsort(order, kind="stable")[visit]
    taken = np.zeros((len(visits), len(items)), dtype=bool)
    taken[place, item] = True
    day = (lines["moment"].astype("datetime64[D]") - np.datetime64(FIRST)).astype(np.int64)
    names, code = np.unique(
        [str(lines["c"][np.flatnonzero(item == n)[0]]) for n in range(len(items))], return_inverse=True
    )
    rows = [
        {"customer": h, "sku": p, "action": "purchase", "bought_at": f"{at}+00:00", "basket": int(b),
         "pieces": float(q), "paid": float(v)}
        for h, p, b, at, q, v in zip(lines["h"], lines["p"], lines["b"], lines["moment"].astype("datetime64[s]"),
                                     lines["q"], lines["v"], strict=True)
    ]  # fmt: skip
    baskets = Baskets(household[first[order]], day[first[order]] // 7 + 1, taken, code)
    return baskets, households.tolist(), items.tolist(), [str(names[c]) for c in code], rows


def fitted(
    baskets: Baskets, households: list[str], items: list[str], categories: list[str], lines: list[Any]
) -> Fitted:
    """Fit on the earlier weeks, judge on the later ones; what households want is what is known at the end."""
    learnt = baskets.week < JUDGED_FROM
    share = (baskets.taken[learnt].sum(axis=0) + 1) / (learnt.sum() + 1)
    pairs, place, now = choice_model.features(baskets, share=share, since=LEARNT_FROM)
    early = learnt[place]
    model = choice_model.fit(pairs[early], baskets.taken[place[early]])
    judged = choice_model.judge(model, pairs[~early], baskets.taken[place[~early]])
    weights = dict(zip(choice_model.NAMES, (round(float(w), 3) for w in model.weight), strict=True))
    return Fitted(households, items, categories, model.chances(now), judged, weights, lines)


def made(seed: int = 0) -> Fitted:
    """Fit on a made shop: each household takes three items at half of its visits, all others at one in twenty."""
    rng, users, n = np.random.default_rng(seed), 20, 12
    wants = np.stack([rng.permutation(np.arange(n) < 3) for _ in range(users)])
    household, week = np.tile(np.arange(users), 50), np.repeat(np.arange(1, 51), users)
    taken = rng.random((len(week), n)) < np.where(wants[household], 0.5, 0.05)
    baskets = Baskets(household, week, taken, np.arange(n) // 3)
    ids, items = [f"h{one}" for one in range(users)], [f"p{one}" for one in range(n)]
    return fitted(baskets, ids, items, [str(one // 3) for one in range(n)], [])


def measure(asked: argparse.Namespace) -> Document:
    """Fit, and go through the loop where a folder is given."""
    of = made() if asked.quick else fitted(*year())
    best = np.sort(of.chances, axis=1)[:, ::-1][:, :K].mean()
    found: Document = {
        "households": len(of.households),
        "items": len(of.items),
        "judged": {name: round(value, 4) for name, value in asdict(of.judged).items()},
        "weights": of.weights,
        "best_list": round(float(best), 4),  # how likely an item of it is taken
        "any_list": round(float(of.chances.mean()), 4),
    }
    if asked.loop is not None:
        if asked.quick:
            raise SpecError("--loop: its shop is trained on the baskets of the real year; leave --quick out")
        found["loop"] = users_loop.Loop(asked.loop, of).go_on(asked.stage)
    return found


def text(document: Document) -> str:
    """Write the tables."""
    judged = document["judged"]
    head = ["", "log loss", "AUC"]
    lines = [["the fitted model", judged["log_loss"], judged["auc"]],
             ["the household's own rate", judged["own_rate_log_loss"], judged["own_rate_auc"]]]  # fmt: skip
    parts = [
        f"{document['households']} households, {document['items']} items, {judged['visits']} later visits; an item is "
        f"taken along at {judged['taken']:.1%}; farthest tenth off by {100 * judged['farthest']:.2f} points. Best {K}: "
        f"{document['best_list']:.3f} an item, lists at random {document['any_list']:.3f}.",
        script.table(head, lines),
    ]
    if "loop" in document:
        parts.append(users_loop.text(document["loop"]))
    return "\n\n".join(parts)


if __name__ == "__main__":
    parser = script.parser(__doc__, trained=False)
    parser.add_argument("--loop", type=Path, help="folder of a shop that users meet over HTTP; ten minutes")
    parser.add_argument(
        "--stage",
        choices=users_loop.STAGES,
        default=users_loop.STAGES[-1],
        help="the last stage of the loop that is done",
    )
    script.main(parser, measure, text)
