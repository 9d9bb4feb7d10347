"""How often does an experiment cry wolf, and what does it find? Many experiments on users whose truth is known.

Each arm has 20,000 users who come in random order and buy with probability .05 on average; the planted arm's buy a
tenth more. The analysis looks after every 500 users an arm, and the first verdict counts. Users differ in habit: a few
buy often, most hardly ever, as in a grocery; what is known of each is how often they bought in twelve weeks before.
`explained` is the share of the KPI's variance that this takes out: nothing of it is assumed by the analysis. A user who
comes back within the window is one user. `planned` ends at these users (`experiments.users`). Beside it stands the
usual test that looks once, at the end. Arms that lose users of theirs test the check of the shares.

`bounds` says what no test at all can pass, and how near to it several always-valid ones come, on Brownian motions.

`--real` measures on the grocery year how much of "buys in this category next week" the rows' numbers explain.
"""

import argparse
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from benchmarks import script
from benchmarks.script import Document
from components.registry.experiment_spec import Arm, Experiment, Kpi
from components.verdicts import PASSED, REFUSED
from pipelines.rollout.experiment_analysis import Findings, difference, judge
from pipelines.rollout.outcomes import ArmOutcomes, Outcomes
from pipelines.rollout.sequential import LOOKS, Difference, between_difference, planned_reach

BASE, LIFT, WEEKS = 0.05, 0.1, 12
USERS, EVERY, RUNS = 20_000, 500, 100
TWO_SIDED = 1.959963984540054  # standard errors of a difference that a test at .05 finds by looking once
QUICK = {"users": 4_000, "runs": 6}
DRAWN, QUICKLY_DRAWN = 100_000, 2_000  # Brownian motions
# Share of users with a habit and their rate; the others' makes the mean BASE.
HABITS = {"none": (0.0, 0.0), "weak": (0.1, 0.3), "strong": (0.07, 0.65)}
LOSSES = (0.0, 0.03, 0.1)  # shares of the treatment's users that are lost
RULES = Experiment(
    name="planted",
    arms=(Arm(name="control", release="champion", share=0.5), Arm(name="other", release="challenger", share=0.5)),
    kpi=Kpi(event="purchase"),
    covariates=("sessions_slow",),
)


@dataclass(frozen=True)
class Users:
    """Users of one arm in the order in which they came; [U]."""

    kpi: np.ndarray
    before: np.ndarray  # purchases in the weeks before

    def first(self, users: int, rules: Experiment) -> ArmOutcomes:
        """Return those that came first."""
        known = self.before[:users, None] if rules.covariates else np.zeros((users, 0))
        return ArmOutcomes(users, self.kpi[:users], known, np.arange(users, dtype=float))


def drawn(habit: str, users: int, *, lift: float, rng: np.random.Generator) -> Users:
    """Draw the users of an arm; `lift` is what its release adds to each one's chance, as a share of it."""
    share, rate = HABITS[habit]
    usual = (BASE - share * rate) / (1 - share)
    chance = np.where(rng.random(users) < share, rate, usual)
    kpi = (rng.random(users) < np.minimum(chance * (1 + lift), 1)).astype(float)
    return Users(kpi, rng.binomial(WEEKS, chance).astype(float))


def first_verdict(control: Users, arm: Users, rules: Experiment, *, every: int) -> tuple[Findings, int]:
    """Look again and again; return what the first verdict or the last look said, and the users an arm by then."""
    most = min(len(control.kpi), len(arm.kpi))
    found, users = Findings({}), 0
    for users in range(every, most + 1, every):
        found = judge(
            Outcomes({"control": control.first(users, rules), "other": arm.first(users, rules)}, events=1), rules
        )
        if found.broken or found.word in (PASSED, REFUSED):
            break
    return found, users


def calibrated(habit: str, rules: Experiment, *, lift: float, runs: int, users: int, seed: int) -> Document:
    """Count verdicts over many experiments."""
    words, when, within, taken, once = [], [], 0, [], 0
    for run in range(runs):
        rng = np.random.default_rng([seed, run])
        control, arm = drawn(habit, users, lift=0.0, rng=rng), drawn(habit, users, lift=lift, rng=rng)
        found, seen = first_verdict(control, arm, rules, every=EVERY if rules.users is None else users // LOOKS)
        one = found.judged["other"]
        words.append(one.word)
        when += [seen] if one.word in (PASSED, REFUSED) else []
        ends = one.interval or (-np.inf, np.inf)
        within += ends[0] <= BASE * lift <= ends[1]
        taken.append(_explained(control, arm, rules))
        whole = difference(*(one.first(users, rules) for one in (control, arm)))
        once += int(abs(whole.estimate) > TWO_SIDED * whole.variance**0.5)
    return {
        "runs": runs,
        "better": words.count(PASSED),
        "worse": words.count(REFUSED),
        "median_users": int(np.median(when)) if when else None,
        "looked_once": once,
        "covered": within,
        "explained": round(float(np.mean(taken)), 3),
    }


def most_powerful(users: int, alpha: float) -> float:
    """Return the chance that the most powerful test of users by their number of purchases finds the planted effect.

    It looks once, at all users, and says `better` wrongly with probability alpha: no test of these users that does so
    no more often, whenever it looks, finds it more often (Neyman and Pearson 1933). Arms of the same rate are its null.
    """
    rates = np.array([BASE, BASE * (1 + LIFT)])
    bought = np.arange(int(users * BASE * 0.6), int(users * BASE * 1.6))
    null = stats.binom.pmf(bought, users, rates.mean())
    control, arm = (stats.binom.pmf(bought, users, rate) for rate in rates)
    gained = bought[None, :] - bought[:, None]  # of the arm less the control; its likelihood ratio grows with it
    wrong, right = np.outer(null, null), np.outer(control, arm)
    order = np.argsort(-gained, axis=None)
    spent = np.cumsum(wrong.ravel()[order])
    return round(float(right.ravel()[order][spent <= alpha].sum()), 4)


def _reach(share: float, drift: float) -> float:
    """Return the default's bound of the score at a share of the users."""
    return share * between_difference(Difference(0.0, 1 / share), effect=drift, alpha=RULES.alpha)[1]


def bounds(users: int, *, drawn: int, seed: int = 4) -> Document:
    """Say what the best test finds, and what tests find that look after every EVERY users, by the score's motion.

    Time is the share of the users; the drift is the planted effect in its standard errors at the end.
    """
    rates = np.array([BASE, BASE * (1 + LIFT)])
    drift = BASE * LIFT / float((rates * (1 - rates)).sum() / users) ** 0.5
    looks = users // EVERY
    t = np.arange(1, looks + 1) / looks
    motion = np.random.default_rng(seed).normal(0, looks**-0.5, size=(drawn, looks)).cumsum(axis=1)
    alpha, needed = RULES.alpha, -np.log(RULES.alpha)
    tuned = np.sqrt(2 * np.log(2 / alpha))  # of two points, which then touch their bound at the end
    width = min(np.linspace(0.01, 2, 200), key=lambda r: (1 + r) * (2 * needed + np.log(1 + 1 / r)))
    sides = {
        "looks once": np.where(t == 1, TWO_SIDED, np.inf),
        "the default": np.array([_reach(one, drift) for one in t]),
        "a normal mixture, tuned to the end": np.sqrt((t + width) * (2 * needed + np.log((t + width) / width))),
        "two points, tuned to the end": (np.log(2 / alpha) + tuned**2 * t / 2) / tuned,
        "planned users": np.where(np.arange(1, looks + 1) % max(1, looks // LOOKS) == 0, planned_reach(alpha), np.inf),
        "the same, for any number of looks": np.full(looks, stats.norm.ppf(1 - alpha / 4)),
    }
    found = {
        name: {
            "cried": round(float((np.abs(motion) >= bound).any(axis=1).mean()), 4),
            "found": round(float((motion + drift * t >= bound).any(axis=1).mean()), 4),
        }
        for name, bound in sides.items()
    }
    most = {"two_sided": most_powerful(users, alpha / 2), "one_sided": most_powerful(users, alpha)}
    return {"drift": round(drift, 4), "most_powerful": most, "tests": found}


def _explained(control: Users, arm: Users, rules: Experiment) -> float:
    """Return the share of the difference's variance that the covariates take out."""
    sides = [one.first(len(one.kpi), rules) for one in (control, arm)]
    bare = [replace(side, covariates=np.zeros((len(side.kpi), 0))) for side in sides]
    return 1 - difference(*sides).variance / difference(*bare).variance


def mismatched(loss: float, *, runs: int, users: int, seed: int) -> Document:
    """Count the experiments that end since users do not fall to the arms as declared."""
    when = []
    for run in range(runs):
        rng = np.random.default_rng([seed, run])
        arms = np.cumsum(rng.random(2 * users) < 0.5)
        lost = np.cumsum(rng.random(2 * users) < loss)
        for seen in range(2 * EVERY, 2 * users + 1, 2 * EVERY):
            treated = int(arms[seen - 1] * (1 - lost[seen - 1] / seen))
            pair = {"control": ArmOutcomes(seen - int(arms[seen - 1])), "other": ArmOutcomes(treated)}
            if judge(Outcomes(pair), RULES).broken:
                when.append(seen // 2)
                break
    return {"runs": runs, "stopped": len(when), "median_users": int(np.median(when)) if when else None}


def real(weeks: int = WEEKS) -> Document:
    """Measure on the grocery year what a user's past explains of a purchase in a category within a week."""
    import duckdb

    from components.data import completejourney

    with duckdb.connect() as db:
        completejourney.read(db)
        rows = db.execute(
            """SELECT e.user_id, i.category,
                date_diff('day', DATE '2016-12-26', CAST(e.timestamp AS DATE)) // 7 AS week,
                count(*) AS lines FROM source_events e JOIN source_items i USING (item_id)
                WHERE i.category IS NOT NULL GROUP BY ALL"""
        ).fetchnumpy()
    user = np.unique(rows["user_id"].astype(str), return_inverse=True)[1]
    category, code = np.unique(rows["category"].astype(str), return_inverse=True)
    week, n = rows["week"].astype(int), user.max() + 1
    bought = np.zeros((len(category), n, week.max() + 1), dtype=np.float32)
    bought[code, user, week] = 1
    visits = bought.max(axis=0)  # [U, W]
    found: Document = {}
    test = range(30, 50)
    for place, name in enumerate(category):
        base = float(bought[place][:, test.start : test.stop].mean())
        if not 0.04 <= base <= 0.06:
            continue
        y = bought[place][:, test.start : test.stop].ravel().astype(float)
        own = (
            np.concatenate([bought[place][:, w - weeks : w].sum(axis=1) for w in test]).reshape(len(test), n).T.ravel()
        )
        visit = np.concatenate([visits[:, w - weeks : w].sum(axis=1) for w in test]).reshape(len(test), n).T.ravel()
        found[name] = {
            "base": round(base, 4),
            "visits": _r2(y, visit[:, None]),
            "own": _r2(y, np.stack([visit, own], 1)),
        }
    return dict(sorted(found.items()))


def _r2(y: np.ndarray, x: np.ndarray) -> float:
    shaped = np.concatenate([x, np.log1p(x), np.ones((len(x), 1))], axis=1)
    left = y - shaped @ np.linalg.lstsq(shaped, y, rcond=None)[0]
    return round(1 - float(left.var() / y.var()), 3)


def measure(asked: argparse.Namespace) -> Document:
    """Run all of it."""
    runs, users = (QUICK["runs"], QUICK["users"]) if asked.quick else (asked.runs, asked.users)
    bare = RULES.model_copy(update={"covariates": ()})
    worlds: dict[str, Any] = {}
    for habit in HABITS:
        ended = {"users": 2 * users}
        every = {"plain": bare, "cuped": RULES}
        every |= {f"{name}, planned": rules.model_copy(update=ended) for name, rules in every.items()}
        for name, rules in every.items():
            if asked.only and f"{habit}, {name}" not in asked.only:
                continue
            script.note(f"{habit}, {name}")
            worlds[f"{habit}, {name}"] = {
                side: calibrated(habit, rules, lift=lift, runs=runs, users=users, seed=seed)
                for side, lift, seed in (("aa", 0.0, 1), ("planted", LIFT, 2))
            }
    losses = {f"{loss:.0%} lost": mismatched(loss, runs=runs, users=users, seed=3) for loss in LOSSES}
    found = {"users": users, "base": BASE, "lift": LIFT, "every": EVERY, "worlds": worlds, "shares": losses}
    found["bounds"] = bounds(users, drawn=QUICKLY_DRAWN if asked.quick else DRAWN)
    return found | ({"real": real()} if asked.real else {})


def text(document: Document) -> str:
    """Write the tables."""
    head = [
        "world",
        "A/A: false alarms",
        f"+{LIFT:.0%}: found",
        "called worse",
        "looked once",
        "users an arm, median",
        "explained",
    ]
    lines = [
        [name, one["aa"]["better"] + one["aa"]["worse"], one["planted"]["better"], one["planted"]["worse"],
         one["planted"]["looked_once"], one["planted"]["median_users"], one["planted"]["explained"]]
        for name, one in document["worlds"].items()
    ]  # fmt: skip
    shares = [[name, one["stopped"], one["median_users"]] for name, one in document["shares"].items()]
    parts = [script.table(head, lines), script.table(["users of an arm", "stopped", "users an arm, median"], shares)]
    limits = document["bounds"]["most_powerful"]
    best = f"{limits['two_sided']:.3f} at .025 a side, {limits['one_sided']:.3f} at .05 for one"
    parts.append(f"The most powerful test finds {best}.")
    tests = [[name, one["cried"], one["found"]] for name, one in document["bounds"]["tests"].items()]
    parts.append(script.table(["test", "cries at no effect", "finds the planted one"], tests))
    if real_rows := document.get("real"):
        rows = [[name, one["base"], one["visits"], one["own"]] for name, one in real_rows.items()]
        parts.append(script.table(["category, next week", "base rate", "explained by visits", "and own weeks"], rows))
    return "\n\n".join(parts)


if __name__ == "__main__":
    switches = script.parser(__doc__, trained=False)
    switches.add_argument("--runs", type=int, default=RUNS, help="experiments of each kind")
    switches.add_argument("--users", type=int, default=USERS, help="of each arm")
    switches.add_argument("--only", action="append", help="one of the worlds, such as 'weak, cuped'; may be repeated")
    switches.add_argument("--real", action="store_true", help="measure the grocery year, too")
    script.main(switches, measure, text)
