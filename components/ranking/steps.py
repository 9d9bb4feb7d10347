"""The ranking steps in their frame: spec slice and artifact folders in, artifact folders out.

`component` calls these from Kubeflow; the pure parts are in train.py and evaluate.py. Where the environment names a
trainer, the training step hands the work to a TrainJob, whose processes come back here by `torchrun -m
components.ranking`.
"""

import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from components import curves as pages
from components import measure, resamples
from components.distributed import ranks, trainjob
from components.ranking import batch, examples, train
from components.ranking.card import write
from components.ranking.evaluate import Evaluation, evaluate
from components.ranking.score import Ranker
from components.ranking.served import served
from components.ranking.spec import Ranking
from components.step import step
from feature_repo import fallback, files
from feature_repo.privacy.pseudonyms import ring

TRAINING = "training.json"


def run_train_ranking(ranking: str, *, rows: str, intent: str, ranker: str, curves: str = "") -> None:
    """Fit the ranker that the slice `models.ranking` (JSON) asks for and write its model folder.

    `curves` is the page of loss and NDCG to write, '' in the processes of a TrainJob.
    """
    with step("train_ranking") as progress:
        spec = Ranking.model_validate_json(ranking)
        if (settings := trainjob.asked("train_ranking")) is not None:
            folders = {"rows": Path(rows), "intent": Path(intent)}
            task = trainjob.Task("components.ranking", {"ranking": ranking}, folders, output="ranker")
            progress.count(**trainjob.run(task, settings, Path(ranker), at=progress.at))
            _draw(Path(ranker), curves)
            return
        with ranks.joined() as group:
            world = examples.load(Path(rows), Path(intent), spec, key=users_key(spec))
            trained = train.train(world, spec, report=progress.at, ranks=group)
            progress.count(**group.agreed(trained.ranker.net.state_dict()))
            if group.first:
                _save(trained, spec, rows=Path(rows), destination=Path(ranker))
                _draw(Path(ranker), curves)
        best = trained.epochs[trained.best_epoch]
        progress.count(rows_in=trained.rows["train"] + trained.rows["validate"])
        progress.count(**trained.rows, validate_ndcg_at_10=best.validate_ndcg_at_10, epochs=len(trained.epochs))


def users_key(spec: Ranking) -> str | None:
    """Return the key of pseudonyms, which only items that are users need."""
    return ring(os.environ)[0] if spec.exclude_self else None


def _save(trained: train.Trained, spec: Ranking, *, rows: Path, destination: Path) -> None:
    """Write the `ranker` artifact."""
    with files.written_folder(destination) as folder:
        trained.ranker.save(folder)
        files.copied(rows, folder, [fallback.FILE])  # the release serves it where no model can answer
        files.write_json(folder / TRAINING, _training(trained, spec))


def _draw(ranker: Path, page: str) -> None:
    """Write the page of loss and validation NDCG."""
    if not page:
        return
    training = files.read_json(ranker / TRAINING)
    epochs, kept = training["epochs"], training["best_epoch"]
    loss = {"training weeks": [epoch["loss"] for epoch in epochs]}
    ndcg = {"validation weeks": [epoch["validate_ndcg_at_10"] for epoch in epochs]}
    charts = [
        pages.Chart("Listwise loss", lower_is_better=True, series=loss, chosen=kept),
        pages.Chart("NDCG@10", lower_is_better=False, series=ndcg, chosen=kept),
    ]
    pages.write(Path(page), "Training of the ranker", charts)


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
        spec = Ranking.model_validate_json(ranking)
        world = examples.load(Path(rows), Path(intent), spec, key=users_key(spec))
        found, text = judge(Path(ranker), world, Path(evaluation), rows=Path(rows), report=progress.at)
        with files.written(Path(card)) as page:
            page.write_text(text)
        for name, value in found.test.items():
            log_metric(f"ranking.{name}", value)
        progress.count(rows_in=int(found.test["rows"]), ndcg_at_10=found.test["ndcg_at_10"])
    return found


def judge(
    folder: Path, world: examples.World, evaluation: Path, *, rows: Path, report: Callable[[float, str], None]
) -> tuple[Evaluation, str]:
    """Judge a model folder on the test weeks and write the evaluation's folder; return what was found, and the card."""
    loaded, memory = measure.growth(lambda: Ranker.load(folder))
    found = evaluate(loaded, world, report=report)
    text = write(found, files.read_json(folder / TRAINING), files.read_json(folder / "config.json"))
    with files.written_folder(evaluation) as out:
        files.write_json(out / "metrics.json", found.metrics())
        resamples.write(out, found.resamples, rows_digest=found.rows_digest)
        files.write_json(out / "served.json", served(loaded, world, memory=memory))
        (out / "card.md").write_text(text)
        files.copied(rows, out, fallback.CARDS)
    return found, text


def _training(trained: train.Trained, spec: Ranking) -> dict[str, object]:
    return {
        "epochs": [asdict(epoch) for epoch in trained.epochs],
        "best_epoch": trained.best_epoch,
        "rows": trained.rows,
        "candidate_recall": {part: round(share, 5) for part, share in trained.candidate_recall.items()},
        "seconds": trained.seconds,
        "spec": spec.model_dump(),
    }


def run_recommend(*, rows: str, intents: str, release: str, k: int, recommendations: str) -> dict[str, int]:
    """Recommend items to all users of a `rows` folder with a release's ranker."""
    with step("recommend") as progress:
        with files.written_folder(Path(recommendations)) as folder:
            counts = batch.write(
                Path(rows), Path(intents), Path(release), folder, k=k, at=progress.at, environment=os.environ
            )
        progress.count(rows_in=counts["users"], rows_out=counts["items"], **counts)
        progress.tell(**counts)
    return counts
