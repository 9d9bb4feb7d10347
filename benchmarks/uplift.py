"""Whom does a coupon change? The campaigns of the grocery year, by T- and DR-learner, beside placebos and a truth.

A row is a household at the start of a campaign; it got the campaign or not. The outcome is what it spent in the four
weeks from then on, on the campaign's products (`products`) and on everything (`everything`), in the currency; features
are its twelve weeks before. Coupons were not given at random: the table shows how alike the groups are, and what the
same rows say of a window before the campaign, where the true effect is nothing. A placebo that shows something means
that the effect beside it cannot be believed.

`truth` is a made world in which heavy buyers get it and half of the users are changed by 1: coverage over its seeds.
"""

import argparse
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import script
from benchmarks.script import Document
from components.intent.uplift import effects
from components.intent.uplift.effects import Effect
from components.intent.uplift.learners import learn
from components.intent.uplift.treated import Treated

WINDOW, BEFORE = 28, 84  # days of the outcome, and of what is known
FIRST, LAST = "2017-01-01", "2017-12-31"
OUTCOMES = ("products", "everything")
SHIFTS = (0, 28)  # days before the campaign at which a window begins that is asked about; 0: the campaign's own
TRUTHS = 20
FOLDS, TREES = 3, 80


@dataclass(frozen=True)
class Campaign:
    """One campaign, days since FIRST."""

    number: int
    kind: int  # 0, 1, 2: Type A, B, C
    start: int


class Year:
    """Spending by household and day, as arrays: H households, D days."""

    def __init__(self) -> None:
        import duckdb

        from components.data.completejourney import _folder

        folder = _folder()
        with duckdb.connect() as db:
            for name in ("transactions", "campaigns", "campaign_descriptions", "coupons", "coupon_redemptions"):
                db.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{folder / name}.parquet')")
            day = f"date_diff('day', DATE '{FIRST}', CAST({{}} AS DATE))"
            lines = db.execute(
                f"""SELECT household_id AS h, product_id AS p, {day.format("transaction_timestamp")} AS d,
                    sum(sales_value) AS v, sum(coupon_disc) AS c, count(DISTINCT basket_id) AS b
                    FROM transactions GROUP BY ALL"""
            ).fetchnumpy()
            self.campaigns = [
                Campaign(int(n), "ABC".index(kind[-1]), int(start))
                for n, kind, start in db.execute(
                    f"""SELECT campaign_id, campaign_type, {day.format("start_date")}
                        FROM campaign_descriptions ORDER BY ALL"""
                ).fetchall()
            ]
            got = db.execute("SELECT campaign_id AS c, household_id AS h FROM campaigns").fetchnumpy()
            products = db.execute("SELECT DISTINCT campaign_id AS c, product_id AS p FROM coupons").fetchnumpy()
            redeemed = db.execute(
                f"SELECT household_id AS h, {day.format('redemption_date')} AS d FROM coupon_redemptions"
            ).fetchnumpy()
        self.household, self._h = np.unique(lines["h"], return_inverse=True)
        self._d, self._p, self._v, self._c = (np.asarray(lines[k]) for k in ("d", "p", "v", "c"))
        self._got = {c.number: np.isin(self.household, got["h"][got["c"] == c.number]) for c in self.campaigns}
        self._products = {c.number: products["p"][products["c"] == c.number] for c in self.campaigns}
        self._redeemed = (np.searchsorted(self.household, redeemed["h"]), np.asarray(redeemed["d"]))

    def spent(self, start: int, days: int, only: np.ndarray | None = None) -> np.ndarray:
        """Return what each household spent in days from `start` on, [H]."""
        kept = (self._d >= start) & (self._d < start + days)
        kept = kept if only is None else kept & only
        return np.bincount(self._h[kept], weights=self._v[kept], minlength=len(self.household))

    def visits(self, start: int, days: int) -> np.ndarray:
        """Return on how many days each household bought, [H]."""
        kept = (self._d >= start) & (self._d < start + days)
        pairs = np.unique(self._h[kept] * 1000 + self._d[kept])
        return np.bincount(pairs // 1000, minlength=len(self.household)).astype(float)

    def rows(self, *, outcome: str, shift: int, kinds: tuple[int, ...]) -> Treated:
        """Return the rows of every campaign of some kinds that has the days before and after it."""
        parts: list[tuple[np.ndarray, ...]] = []
        longest = max(SHIFTS) + BEFORE
        for one in self.campaigns:
            if one.kind in kinds and one.start >= longest and one.start + WINDOW <= 365:
                parts.append(self._rows(one, outcome, one.start - shift))
        features, treated, outcome_, user = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return Treated(features, treated, outcome_, user)

    def _rows(self, one: Campaign, outcome: str, at: int) -> tuple[np.ndarray, ...]:
        """Return a campaign's rows as of a day, as Treated has them: nothing of that day or later is known."""
        of_it = np.isin(self._p, self._products[one.number])
        near = [c.number for c in self.campaigns if c.number != one.number and at - 56 <= c.start < at + WINDOW]
        others = sum((self._got[number] for number in near), np.zeros(len(self.household)))
        earlier = sum((self._got[c.number] for c in self.campaigns if c.start < at), np.zeros(len(self.household)))
        known = self._redeemed[1] < at
        redeemed = np.bincount(self._redeemed[0][known], minlength=len(self.household))
        columns: list[Any] = [
            *(self.spent(at - days, days) for days in (28, 84)),
            *(self.spent(at - days, days, of_it) for days in (28, 84)),
            *(self.visits(at - days, days) for days in (7, 28, 84)),
            self.spent(at - 56, 28), self.spent(at - 56, 28, of_it),
            others, earlier, redeemed, np.full(len(self.household), one.kind), np.full(len(self.household), at),
            np.full(len(self.household), len(self._products[one.number])),
        ]  # fmt: skip
        features = np.stack([np.asarray(c, dtype=float) for c in columns], axis=1)
        active = features[:, 6] > 0  # bought in the twelve weeks before
        spent = self.spent(at, WINDOW, of_it if outcome == "products" else None)
        return features[active], self._got[one.number][active], spent[active], np.flatnonzero(active)


def asked(rows: Treated, *, trees: int, seed: int = 0) -> Document:
    """Return what the rows say: the plain difference, both learners, groups, overlap."""
    found = learn(rows, folds=FOLDS, trees=trees, seed=seed)
    kept = found.compared
    return {
        "rows": len(rows.treated),
        "treated": int(rows.treated.sum()),
        "outcome": round(float(rows.outcome[~rows.treated].mean()), 3),
        "naive": _said(effects.naive(rows)),
        "t_learner": round(float(found.by_t[kept].mean()), 3),
        "dr": _said(effects.doubly_robust(rows, found)),
        "groups": [_said(one) for one in effects.groups(rows, found, found.by_dr)],
        "overlap": {k: round(v, 3) for k, v in vars(effects.overlap(rows, found)).items()},
    }


def _said(one: Effect) -> Document:
    return {"value": round(one.value, 3), "low": round(one.low, 3), "high": round(one.high, 3)}


def made(seed: int, rows: int = 3000) -> tuple[Treated, np.ndarray]:
    """Make a world whose truth is known: heavy buyers get it, half of the users are changed by 1."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 5))
    treated = rng.random(rows) < 1 / (1 + np.exp(-x[:, 0] - 0.5 * x[:, 2]))
    truth = (x[:, 1] > 0).astype(float)
    outcome = 2 * x[:, 0] + np.maximum(x[:, 2], 0) + truth * treated + rng.normal(size=rows)
    return Treated(x, treated, outcome, np.arange(rows)), truth


def truths(count: int, *, trees: int) -> Document:
    """Say how often intervals hold the truth, and how far each learner's effects are from it."""
    covered, widths = {"naive": 0, "dr": 0}, []
    errors: dict[str, list[float]] = {"t_learner": [], "dr": []}
    for seed in range(count):
        rows, truth = made(seed)
        found = learn(rows, folds=FOLDS, trees=trees, seed=seed)
        robust = effects.doubly_robust(rows, found)
        for name, one in (("naive", effects.naive(rows)), ("dr", robust)):
            covered[name] += int(one.low <= truth[found.compared].mean() <= one.high)
        widths.append(robust.high - robust.low)
        for name, expected in (("t_learner", found.by_t), ("dr", found.by_dr)):
            errors[name].append(float(np.sqrt(((expected - truth) ** 2).mean())))
    return {
        "worlds": count,
        "covered": covered,
        "width": round(float(np.median(widths)), 3),
        "rmse": {name: round(float(np.median(all_of)), 3) for name, all_of in errors.items()},
    }


def measure(switches: argparse.Namespace) -> Document:
    """Ask all questions."""
    trees = 30 if switches.quick else TREES
    found: Document = {"truth": truths(2 if switches.quick else TRUTHS, trees=trees)}
    if switches.quick:
        return found
    year = Year()
    for name, kinds in (("Type A", (0,)), ("Type B and C", (1, 2))):
        for outcome in OUTCOMES:
            for shift in SHIFTS:
                script.note(f"{name}, {outcome}, {shift} days before")
                label = f"{name}, {outcome}" + (", placebo" if shift else "")
                found[label] = asked(year.rows(outcome=outcome, shift=shift, kinds=kinds), trees=trees)
    return found


def text(document: Document) -> str:
    """Write the tables."""
    made_up = document["truth"]
    head = [
        "campaigns, outcome",
        "rows",
        "got it",
        "without it",
        "plain difference",
        "T-learner",
        "DR",
        "AUC",
        "effective",
    ]
    lines = [
        [name, one["rows"], one["treated"], one["outcome"], _cell(one["naive"]), one["t_learner"], _cell(one["dr"]),
         one["overlap"]["auc"], one["overlap"]["effective"]]
        for name, one in document.items() if isinstance(one, dict) and "dr" in one and "rows" in one
    ]  # fmt: skip
    by = [
        [name, *map(_cell, one["groups"])]
        for name, one in document.items()
        if isinstance(one, dict) and "groups" in one
    ]
    known = (
        f"{made_up['worlds']} made worlds: the truth lies in {made_up['covered']['dr']} intervals of DR (median width "
        f"{made_up['width']}) and in {made_up['covered']['naive']} of the plain difference; error of a user's effect: "
        + ", ".join(f"{name} {rmse}" for name, rmse in made_up["rmse"].items())
    )
    parts = [known]
    if lines:
        parts += [script.table(head, lines), script.table(["quarter by expected effect", "least", "", "", "most"], by)]
    return "\n\n".join(parts)


def _cell(one: Document) -> str:
    return f"{one['value']:+.2f} [{one['low']:+.2f}, {one['high']:+.2f}]"


if __name__ == "__main__":
    script.main(script.parser(__doc__, trained=False), measure, text)
