"""The ranking steps in their frame: spec slice and artifact folders in, artifact folders out.

`component` calls these from Kubeflow; the pure parts are in train.py and evaluate.py.
"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from components import measure
from components.ranking import examples, train
from components.ranking.card import write
from components.ranking.evaluate import Evaluation, evaluate
from components.ranking.score import Ranker
from components.ranking.served import served
from components.ranking.spec import Ranking
from components.step import step
from feature_repo import artifacts, fallback

TRAINING = "training.json"


def run_train_ranking(ranking: str, *, rows: str, intent: str, ranker: str) -> train.Trained:
    """Fit the ranker that the slice `models.ranking` (JSON) asks for and write its model folder."""
    with step("train_ranking") as progress:
        spec = Ranking.model_validate_json(ranking)
        trained = train.train(examples.load(Path(rows), Path(intent)), spec, report=progress.at)
        with artifacts.written_folder(Path(ranker)) as folder:
            trained.ranker.save(folder)
            artifacts.copied(Path(rows), folder, [fallback.FILE])  # the release serves it where no model can answer
            artifacts.write_json(folder / TRAINING, _training(trained, spec))
        best = trained.epochs[trained.best_epoch]
        progress.count(**trained.rows, validate_ndcg_at_10=best.validate_ndcg_at_10, epochs=len(trained.epochs))
    return trained


def run_evaluate_ranking(
    ranking: str,
    *,
    rows: str,
    intent: str,
    ranker: str,
    evaluation: str,
    card: str,
    log_metric: Callable[[str, float], None],
) -> Evaluation:
    """Judge a model folder on the test weeks; write metrics.json and the model card."""
    with step("evaluate_ranking") as progress:
        Ranking.model_validate_json(ranking)
        folder = Path(ranker)
        loaded, memory = measure.growth(lambda: Ranker.load(folder))
        world = examples.load(Path(rows), Path(intent))
        found = evaluate(loaded, world, report=progress.at)
        text = write(found, artifacts.read_json(folder / TRAINING), artifacts.read_json(folder / "config.json"))
        with artifacts.written_folder(Path(evaluation)) as out:
            artifacts.write_json(out / "metrics.json", asdict(found))
            artifacts.write_json(out / "served.json", served(loaded, world, memory=memory))
            (out / "card.md").write_text(text)
            artifacts.copied(Path(rows), out, fallback.CARDS)
        with artifacts.written(Path(card)) as page:
            page.write_text(text)
        for name, value in found.test.items():
            log_metric(name, value)
        progress.count(rows=found.test["rows"], ndcg_at_10=found.test["ndcg_at_10"])
    return found


def _training(trained: train.Trained, spec: Ranking) -> dict[str, object]:
    return {
        "epochs": [asdict(epoch) for epoch in trained.epochs],
        "best_epoch": trained.best_epoch,
        "rows": trained.rows,
        "candidate_recall": {part: round(share, 5) for part, share in trained.candidate_recall.items()},
        "seconds": trained.seconds,
        "spec": spec.model_dump(),
    }
