"""Are the models worth their place? Intent and ranking beside their peers, on the same test rows in one run.

Reads the last finished run's artifacts (no training): `python -m benchmarks.models`. The peers are the baselines,
gradient-boosted trees over the intent model's own encoded numbers, and TIFU-KNN over the baskets. `--seeds N` trains
both models with N more seeds and reports how far the figures spread; that takes minutes a seed.

Letters: B rows, C targets, H targets of the headline, R resamples of users.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks import boosting, script, subject, tifu
from benchmarks.script import Document
from benchmarks.subject import Subject
from components.intent import baselines, metrics
from components.intent import examples as intent_examples
from components.intent.evaluate import evaluate as evaluate_intent
from components.intent.score import IntentScorer
from components.intent.steps import run_train_intent
from components.ranking import examples as ranking_examples
from components.ranking import lists
from components.ranking import metrics as ranks
from components.ranking.baselines import BASELINES
from components.ranking.evaluate import EXPLORE
from components.ranking.evaluate import evaluate as evaluate_ranking
from components.ranking.metrics import K
from components.ranking.score import Ranker
from components.ranking.scored import top
from components.ranking.steps import run_train_ranking
from feature_repo import columns, files
from feature_repo.calendar import Calendar
from feature_repo.rows import Ragged, UserRows

OURS = "intentflow"
TREES, TIFU = "gradient_boosting", "tifu_knn"
PAIRS, QUICK_PAIRS = 1_000_000, 5_000
INTENT = ("macro_auroc", "micro_auroc", "map", "bce", "ece")  # less is better of the last two
RANKING = (f"ndcg_at_{K}", f"recall_at_{K}", f"phr_at_{K}", EXPLORE)


def measure(asked: argparse.Namespace) -> Document:
    """Compare both models with their peers."""
    with subject.subject(asked) as found:
        pairs = min(asked.pairs, QUICK_PAIRS) if asked.quick else asked.pairs
        document = {"recommender": found.name, "intent": intent(found, pairs=pairs), "ranking": ranking(found)}
        return document | ({"seeds": seeds(found, asked.seeds)} if asked.seeds else {})


def intent(found: Subject, *, pairs: int) -> Document:
    """Compare the intent model on its test rows, over the targets of intents with a level."""
    script.note("intent: reading rows and predicting")
    examples = intent_examples.load(found.rows, found.intents)
    scorer = IntentScorer.load(found.release / "intent")
    leveled = np.array([target.value is not None for target in examples.vocabulary.targets])
    head = np.flatnonzero(leveled if leveled.any() else ~leveled)  # [H]
    test, validate = examples.part("test"), examples.part("validate")
    rows, labels = examples.rows.take(test), examples.labels[np.ix_(test, head)]  # [B, H]
    rate, calendar = examples.labels[examples.part("train")].mean(axis=0), examples.calendar
    chosen = baselines.choose(rate, examples.rows.take(validate), examples.labels[validate], calendar=calendar)
    said = {OURS: scorer.predict(rows)[:, head]}
    script.note(f"intent: {pairs} pairs for the trees")
    boosted = boosting.fit(scorer, examples, head, pairs=pairs)
    said[TREES] = boosted.predict(examples, test)
    said |= {n: p[:, head] for n, p in baselines.predictions(rate, rows, chosen, calendar=calendar).items()}
    script.note("intent: resampling users")
    weight = metrics.user_weights(np.unique(examples.users[test], return_inverse=True)[1])  # [B, R]
    drawn = {name: metrics.resampled(labels, p, weight) for name, p in said.items()}
    for values in drawn.values():
        del values["ece"]  # resampling biases it upwards
    models = {name: _intent_figures(labels, p) | _intervals(drawn[name]) for name, p in said.items()}
    return {
        "weeks": [int(w) for w in np.unique(examples.week[test])],
        "rows": len(test),
        "targets": len(head),
        "models": models,
        "ratio": {name: script.ratios(models[OURS], models[name], INTENT) for name in models if name != OURS},
        "gain": {
            name: {m: list(metrics.interval(drawn[OURS][m] - values[m])) for m in values}
            for name, values in drawn.items()
            if name != OURS
        },
        "trees": {
            "pairs": boosted.pairs,
            "of_pairs": len(examples.part("train")) * len(head),
            "iterations": int(boosted.model.n_iter_),
            "fit_s": boosted.seconds,
        },
    }


def _intent_figures(labels: np.ndarray, said: np.ndarray) -> dict[str, Any]:
    micro, _ = metrics.ranking(labels.ravel(), said.ravel(), np.ones((labels.size, 1)))
    found = metrics.summary(labels, said) | {"micro_auroc": round(float(micro[0]), 6)}
    return {name: found[name] for name in INTENT}


def _intervals(drawn: dict[str, np.ndarray]) -> dict[str, Any]:
    return {"intervals": {name: list(metrics.interval(values)) for name, values in drawn.items()}}


def ranking(found: Subject) -> Document:
    """Compare the ranker on the user-weeks with a purchase that its evaluation uses."""
    script.note("ranking: reading rows, predicting intents")
    split = files.read_json(found.rows / "split.json")
    table = pq.read_table(found.rows / "ranking.parquet", filters=[(columns.WEEK, "in", split["test"])])
    user_rows = UserRows.from_arrow(table.drop([ranking_examples.WEEK, ranking_examples.BOUGHT]))
    # Test weeks come after all that the intent model was trained on: its own scores are out of time.
    examples = ranking_examples.Examples(
        user_rows,
        table[ranking_examples.WEEK].to_numpy().astype(np.int64),
        Ragged.from_arrow(table[ranking_examples.BOUGHT].combine_chunks(), np.int64),
        IntentScorer.load(found.release / "intent").predict(user_rows),
    )
    examples = examples.take(np.argsort(examples.week, kind="stable"))
    ranker, state = Ranker.load(found.release / "ranking"), pq.read_table(found.rows / "item_state.parquet")
    baskets = tifu.Baskets.read(found.clean / "events.parquet", ranker.vocabulary.item_ids, event=found.ranking.event)
    weeks = [int(week) for week in np.unique(examples.week)]
    ranked: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in (OURS, TIFU, *BASELINES)}
    for week in weeks:
        script.note(f"ranking: week {week}")
        at_week, peer = ranker.at(state, week=week), _tifu(baskets, ranker, week)
        for chunk in lists.chunks(examples.of_weeks([week])):
            for name, both in _ranked(at_week, peer, chunk).items():
                ranked[name].append(both)
    return _ranking_figures(ranked, examples, n_items=len(ranker.catalogue)) | {"weeks": weeks}


def _tifu(baskets: tifu.Baskets, ranker: Ranker, week: int) -> tifu.Tifu:
    calendar: Calendar = ranker.calendar
    return tifu.Tifu.at(baskets, int(calendar.start(week).timestamp()), n_items=len(ranker.catalogue))


def _ranked(
    ranker: Ranker, peer: tifu.Tifu, chunk: ranking_examples.Examples
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return each model's first K items of all, and of those the row's history does not hold, [B, K] each."""
    scored = ranker.rank(chunk.rows, chunk.probabilities)
    item, new = np.append(scored.found.item, -1), scored.facts["weeks_bought"] == 0
    scores, history = peer.scores(chunk.rows.user_id), chunk.rows.lists["history_items"]
    known = (chunk.rows, ranker.catalogue, ranker.neighbours)
    unseen = scores.copy()
    unseen[history.row_of_value(), history.values] = 0.0
    return {
        OURS: (item[top(scored, K)], item[top(scored, K, allowed=new)]),
        TIFU: (tifu.best(scores, K), tifu.best(unseen, K)),
    } | {name: (baseline(*known, k=K), baseline(*known, k=K, unseen=True)) for name, baseline in BASELINES.items()}


def _ranking_figures(
    ranked: dict[str, list[tuple[np.ndarray, np.ndarray]]], examples: ranking_examples.Examples, *, n_items: int
) -> Document:
    new = ranks.without(examples.bought, examples.rows.lists["history_items"], n_items)
    users = examples.rows.user_id
    per_row: dict[str, dict[str, np.ndarray]] = {}
    models: dict[str, dict[str, Any]] = {}
    for name, parts in ranked.items():
        whole, fresh = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
        overall, explore = ranks.per_row(whole, examples.bought, n_items), ranks.per_row(fresh, new, n_items)
        counts, found = overall.counts, explore.counts
        values = dict(zip(RANKING, (overall.ndcg, overall.recall, overall.hit), strict=False))
        means = {metric: float(value[counts].mean()) for metric, value in values.items()}
        means[EXPLORE] = float(explore.ndcg[found].mean()) if found.any() else 0.0
        around = ranks.intervals(values, users, counts) | ranks.intervals({EXPLORE: explore.ndcg}, users, found)
        per_row[name] = values | {EXPLORE: explore.ndcg}
        models[name] = {metric: round(value, 5) for metric, value in means.items()} | {"intervals": around}
    gain = {
        name: ranks.intervals({m: per_row[OURS][m] - values[m] for m in RANKING[:3]}, users, counts)
        | ranks.intervals({EXPLORE: per_row[OURS][EXPLORE] - values[EXPLORE]}, users, found)
        for name, values in per_row.items()
        if name != OURS
    }
    ratio = {name: script.ratios(models[OURS], models[name], RANKING) for name in models if name != OURS}
    return {"rows": int(counts.sum()), "explore_rows": int(found.sum()), "models": models, "ratio": ratio, "gain": gain}


def seeds(found: Subject, n: int) -> Document:
    """Train both models with n more seeds and return the spread of their test figures."""
    examples = intent_examples.load(found.rows, found.intents)
    figures: dict[str, list[float]] = {}
    for seed in range(1, n + 1):
        script.note(f"seed {seed} of {n}")
        with tempfile.TemporaryDirectory() as scratch:
            model, ranker = Path(scratch) / "intent", Path(scratch) / "ranking"
            intents = f"[{','.join(intent.model_dump_json() for intent in found.intents)}]"
            run_train_intent(
                intents,
                _seeded(found.intent, seed),
                ranking_weeks=found.ranking.train_weeks,
                rows=str(found.rows),
                intent=str(model),
            )
            run_train_ranking(_seeded(found.ranking, seed), rows=str(found.rows), intent=str(model), ranker=str(ranker))
            said = evaluate_intent(IntentScorer.load(model), examples).test
            world = ranking_examples.load(found.rows, model)
            ordered = evaluate_ranking(Ranker.load(ranker), world).test
        for part, values, names in (("intent", said, INTENT), ("ranking", ordered, RANKING)):
            for name in names:
                figures.setdefault(f"{part}.{name}", []).append(float(values[name] or 0.0))
    spread = {name: _spread(values) for name, values in figures.items()}
    return {"seeds": list(range(1, n + 1)), "figures": spread}


def _seeded(spec: Any, seed: int) -> str:
    return str(spec.model_copy(update={"seed": seed}).model_dump_json())


def _spread(values: list[float]) -> dict[str, Any]:
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": round(float(np.mean(values)), 5), "deviation": deviation, "values": values}


def text(document: Document) -> str:
    """Write the tables."""
    parts = []
    for part, names in (("intent", INTENT), ("ranking", RANKING)):
        found = document[part]
        weeks = f"weeks {found['weeks'][0]} to {found['weeks'][-1]}"
        parts.append(f"{part}: {found['rows']} rows of {weeks}; [95 %, users resampled]")
        parts.append(script.table([part, *names], [_line(n, v, names) for n, v in found["models"].items()]))
        ratios = [[f"{OURS} / {n}", *(v[m] for m in names)] for n, v in found["ratio"].items()]
        parts.append(script.table(["ratio", *names], ratios))
    trees = document["intent"]["trees"]
    parts.append(f"The trees saw {trees['pairs']:,} of {trees['of_pairs']:,} training pairs, {trees['fit_s']} s.")
    if more := document.get("seeds"):
        lines = [[name, v["mean"], v["deviation"]] for name, v in more["figures"].items()]
        parts.append(script.table([f"{len(more['seeds'])} seeds", "mean", "deviation"], lines))
    return "\n\n".join(parts)


def _line(name: str, values: dict[str, Any], names: tuple[str, ...]) -> list[str]:
    def cell(metric: str) -> str:
        around = values["intervals"].get(metric)
        return f"{values[metric]:.4f}" + (f" [{around[0]:.4f}, {around[1]:.4f}]" if around else "")

    return [name.replace("_", " "), *(cell(metric) for metric in names)]


if __name__ == "__main__":
    switches = script.parser(__doc__, trained=True)
    switches.add_argument("--pairs", type=int, default=PAIRS, help="training pairs that the trees see")
    switches.add_argument("--seeds", type=int, default=0, help="train both models with so many more seeds")
    script.main(switches, measure, text)
