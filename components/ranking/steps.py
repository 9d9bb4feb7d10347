"""The ranking steps in their frame: spec slice and artifact folders in, artifact folders out.

`component` calls these from Kubeflow; the pure parts are in train.py and evaluate.py. Where the environment names a
trainer, the training step hands the work to a TrainJob, whose processes come back here by `torchrun -m
components.ranking`.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from components import conditions, measure, resamples, twins
from components import curves as pages
from components.distributed import ranks, trainjob
from components.ranking import audiences, batch, chosen, examples, source_report, train, value_lists
from components.ranking import refit as refits
from components.ranking.card import write
from components.ranking.ensemble import MEMBERS, Ensemble
from components.ranking.evaluate import Evaluation, evaluate
from components.ranking.score import Ranker
from components.ranking.served import served
from components.ranking.spec import Ranking
from components.ranking.twin import Twin, require_known
from components.step import step
from components.training import checkpoints, stalls
from feature_repo import fallback, files
from feature_repo.privacy.pseudonyms import ring
from feature_repo.release_folder import ReleaseFolder
from feature_repo.vocabulary import Vocabulary

TRAINING = "training.json"
OUT_OF_TIME = "out_of_time.parquet"  # of the intent model's folder: what the ranker learns from


def run_train_ranking(ranking: str, *, rows: str, intent: str, ranker: str, code: str = "", curves: str = "") -> None:
    """Fit the ranker that the slice `models.ranking` (JSON) asks for and write its model folder.

    `curves` is the page of loss and NDCG to write, '' in the processes of a TrainJob.
    """
    with step("train_ranking") as progress:
        spec = Ranking.model_validate_json(ranking)
        if (settings := trainjob.asked("train_ranking")) is not None:
            folders = {"rows": Path(rows), "intent": Path(intent)}
            task = trainjob.Task("components.ranking", {"ranking": ranking, "code": code}, folders, output="ranker")
            progress.count(**trainjob.run(task, settings, Path(ranker), at=progress.at))
            _draw(Path(ranker), curves)
            return
        with ranks.joined() as group:
            world = examples.load(Path(rows), Path(intent), spec, key=users_key(spec))
            asked = _conditions(ranking, code)
            kept = _checkpoints("train_ranking", world, spec, asked, rows, intent, Path(ranker), group=group)
            trained = train.train(world, spec, report=progress.at, ranks=group, checkpoints=kept)
            progress.count(**group.agreed(trained.state))
            if group.first:
                under = asked | refits.described(world)
                _save(trained, spec, rows=Path(rows), destination=Path(ranker), under=under)
                _draw(Path(ranker), curves)
            if kept is not None:
                kept.clear()
            progress.count(**stalls.told(epoch.stall_share for epoch in trained.epochs))
        best = trained.epochs[trained.best_epoch]
        progress.count(rows_in=trained.rows["train"] + trained.rows["validate"])
        progress.count(**trained.rows, validate_ndcg_at_10=best.validate_ndcg_at_10, epochs=len(trained.epochs))


def users_key(spec: Ranking, environment: Mapping[str, str] | None = None) -> str | None:
    """Return the key of pseudonyms, which only items that are users need; of the process unless told otherwise."""
    return (
        ring(os.environ if environment is None else environment)[0] if spec.exclude_self and not spec.people else None
    )


def _checkpoints(
    name: str,
    world: examples.World,
    spec: Ranking,
    under: Mapping[str, Any],
    rows: str,
    intent: str,
    destination: Path,
    *,
    group: ranks.Ranks = ranks.ALONE,
) -> checkpoints.Checkpoints | None:
    """Return the checkpoints of a step that trains; None where the spec asks for none."""
    if spec.trainer.checkpoint is None:
        return None
    settings = checkpoints.decisive(under["spec models.ranking"])
    about = dict(under) | {"spec models.ranking": settings, "vocabulary": world.vocabulary.digest}
    data = {"data": Path(rows), "intents": Path(intent) / OUT_OF_TIME}
    return checkpoints.of_step(
        name, spec.trainer.checkpoint, destination, about=about, data=data, package="ranking", ranks=group
    )


def _conditions(ranking: str, code: str) -> dict[str, Any]:
    """Name what a run says of how the ranker is trained; the rest is told by the rows."""
    return {"spec models.ranking": json.loads(ranking), "code": code}


def run_refit_ranking(
    ranking: str, *, code: str, refit: bool, rows: str, intent: str, ranker: str, refitted: str
) -> None:
    """Fit the judged ranker once more, on the newest ripe weeks; prove that nothing else differs.

    Where the spec asks for no refit the folder says so, and holds nothing else.
    """
    with step("refit_ranking") as progress:
        if not refit:
            conditions.unasked(Path(refitted))
            progress.count(**{conditions.ASKED: False})
            return
        judged, spec = Path(ranker), Ranking.model_validate_json(ranking)
        world = examples.load(Path(rows), Path(intent), spec, key=users_key(spec))
        training = files.read_json(judged / TRAINING)
        asked = _conditions(ranking, code)
        under = asked | refits.described(world)
        proven = conditions.require_same(training, conditions.digests(**under), of="refit of the ranker")
        ahead = int(world.vocabulary.horizons.max())
        examples.require_out_of_time(_scored(Path(intent)), refits.weeks_of(world, spec), horizon=ahead)
        epochs = refits.epochs_of(training)
        about = asked | {"epochs": epochs}
        kept = _checkpoints("refit_ranking", world, spec, about, rows, intent, Path(refitted))
        made = refits.refit(world, spec, epochs=epochs, judged=training, report=progress.at, checkpoints=kept)
        refits.require_sane(made, training)
        with files.written_folder(Path(refitted)) as folder:
            judged_mix = files.read_json(judged / "config.json").get("recommend", {})  # validation chose it
            replace(made.ranker, recommends=judged_mix).save(folder)
            if (curve := audiences.load(judged)) is not None:
                audiences.save(curve, folder)
            files.copied(Path(rows), folder, [fallback.FILE])
            told = {"weeks": made.weeks, "rows": made.rows, "epochs": len(made.epochs), "ndcg_at_10": made.ndcg_at_10}
            files.write_json(folder / conditions.FILE, conditions.proof(judged, proven) | told)
        if kept is not None:
            kept.clear()
        progress.count(rows_in=made.rows, asked=True, epochs=len(made.epochs), weeks=len(made.weeks))


def _scored(intent: Path) -> Mapping[str, list[int]] | None:
    """Return which weeks the intent model's stages learnt from and scored."""
    found: dict[str, Any] = files.read_json(intent / TRAINING) if (intent / TRAINING).is_file() else {}
    return found.get("weeks")


def _save(trained: train.Trained, spec: Ranking, *, rows: Path, destination: Path, under: Mapping[str, Any]) -> None:
    """Write the `ranker` artifact; `under` are the conditions that a refit must share."""
    with files.written_folder(destination) as folder:
        trained.ranker.save(folder)
        if trained.audience is not None:
            audiences.save(trained.audience, folder)
        files.copied(rows, folder, [fallback.FILE])  # the release serves it where no model can answer
        files.write_json(folder / TRAINING, _training(trained, spec) | {conditions.KEY: conditions.digests(**under)})


def _draw(ranker: Path, page: str) -> None:
    """Write the page of loss and validation NDCG."""
    if not page:
        return
    training = files.read_json(ranker / TRAINING)
    members = training.get(MEMBERS, {})
    charts = [chart for name, one in members.items() for chart in _charts(one, f"{name}: ")] or _charts(training)
    pages.write(Path(page), "Training of the ranker", charts)


def _charts(training: Mapping[str, Any], whose: str = "") -> list[pages.Chart]:
    epochs, kept = training["epochs"], training["best_epoch"]
    loss = {"training weeks": [epoch["loss"] for epoch in epochs]}
    ndcg = {"validation weeks": [epoch["validate_ndcg_at_10"] for epoch in epochs]}
    return [
        pages.Chart(f"{whose}Listwise loss", lower_is_better=True, series=loss, chosen=kept),
        pages.Chart(f"{whose}NDCG@10", lower_is_better=False, series=ndcg, chosen=kept),
    ]


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
    answering, memory = measure.growth(lambda: Ranker.served(folder))
    loaded, curve = Ranker.load(folder), audiences.load(folder)
    found = replace(
        evaluate(loaded, world, report=report),
        sources=source_report.report(loaded, world),
        choice=chosen.report(loaded, world),
        values=value_lists.report(loaded, world),
        audiences={} if curve is None else audiences.report(loaded, curve, world),
    )
    text = write(found, files.read_json(folder / TRAINING), files.read_json(folder / "config.json"))
    with files.written_folder(evaluation) as out:
        files.write_json(out / "metrics.json", found.metrics())
        resamples.write(out, found.resamples, rows_digest=found.rows_digest)
        files.write_json(out / "served.json", served(answering, world, trained=loaded, memory=memory))
        (out / "card.md").write_text(text)
        files.copied(rows, out, fallback.CARDS)
    return found, text


def run_judge_twin_ranking(
    ranking: str, *, rows: str, intent: str, ranker: str, twin: str, twin_rows: str, twin_intent: str, evaluation: str
) -> None:
    """Judge the ranker of the champion's judged twin on the candidate's test rows; one that learnt of them anew."""
    with step("judge_twin_ranking") as progress:
        spec = Ranking.model_validate_json(ranking)
        found = twins.read(Path(twin_intent))  # why the intents could not be told is why this cannot

        def work(folder: Path) -> None:
            beside, release = Ranker.load(Path(ranker)), Path(twin) / twins.RELEASE
            world = examples.load(Path(rows), Path(intent), spec, key=users_key(spec))
            if spec.later_items:
                require_known(set(Vocabulary.load(Path(twin_rows) / "vocabulary").item_ids), world)
            if found.retrained:
                asked = Ranking.model_validate(ReleaseFolder.read(release).slices["ranking"])
                own_words = asked.model_copy(
                    update={"vectors": None}
                )  # its vectors are in the release, not in the rows
                theirs = examples.load(Path(twin_rows), Path(twin_intent), own_words, key=users_key(asked))
                theirs = replace(theirs, vectors=examples.vectors_of(release / "ranking", asked, theirs.vocabulary))
                own = train.train(theirs, asked, report=progress.at).ranker
                judged = Twin.of(own, examples.load(Path(twin_rows), Path(twin_intent)), beside)
            else:
                judged = Twin.load(release / "ranking", Path(twin_rows), Path(twin_intent), beside)
            result = evaluate(judged, world, report=progress.at)
            files.write_json(folder / "metrics.json", result.metrics())
            resamples.write(folder, result.resamples, rows_digest=result.rows_digest)
            progress.count(rows_in=int(result.test["rows"]), ndcg_at_10=result.test["ndcg_at_10"])

        progress.count(why=twins.judged(found, Path(evaluation), work).why)


def _training(trained: train.Trained, spec: Ranking) -> dict[str, object]:
    return {
        **_epochs(trained),
        "rows": trained.rows,
        "candidate_recall": {part: round(share, 5) for part, share in trained.candidate_recall.items()},
        "seconds": trained.seconds,
        "spec": spec.model_dump(),
        **_chosen(trained),
    }


def _epochs(trained: train.Trained) -> dict[str, object]:
    """Say how one ranker came about; of an ensemble how each member did, and how it counts."""
    told: dict[str, object] = {"epochs": [asdict(epoch) for epoch in trained.epochs], "best_epoch": trained.best_epoch}
    if not isinstance(net := trained.ranker.net, Ensemble):
        return told
    return told | {MEMBERS: {name: _epochs(one) | net.counts(name) for name, one in trained.members.items()}}


def _chosen(trained: train.Trained) -> dict[str, object]:
    """Say how each ranker of a bundle came about, and what was learnt of which answers for whom; {} of a single one."""
    if trained.choice is None:
        return {}
    return {
        chosen.MEMBERS: {name: _epochs(one) for name, one in trained.members.items()},
        chosen.CHOICE: trained.choice.document() | {"weeks": trained.chosen_on},
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
