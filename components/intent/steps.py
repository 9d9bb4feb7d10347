"""The intent steps in their frame: spec slices and artifact folders in, artifact folders out.

`component` calls these from Kubeflow; the pure parts are in train.py and evaluate.py. They import torch, so they are
imported within the frame, which first tells torch's threads how to wait. Where the environment names a trainer, the
training step hands the work to a TrainJob, whose processes come back here by `torchrun -m components.intent`.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from components import conditions, measure, resamples, twins
from components import curves as pages
from components.distributed import ranks, trainjob
from components.intent import events, examples, inputs, material
from components.intent.calibration import Calibration
from components.intent.decisions import Thresholds
from components.intent.networks import TREES
from components.intent.spec import Intent, IntentModel
from components.step import step
from feature_repo import columns, files
from feature_repo.release_folder import ReleaseFolder

if TYPE_CHECKING:
    from components.intent.evaluate import Evaluation
    from components.intent.train import OutOfTime, Trained

OUT_OF_TIME = "out_of_time.parquet"
TRAINING = "training.json"
BEGINNING = "early.safetensors"  # where the stage `full` began, for a refit
PROBABILITIES = "probabilities"
STAGES = {
    "early": "early network, scores for the ranker",
    "full": "the model that is kept",
}  # on the page of the losses
CURVES = {
    "map": ("mAP", False),
    "macro_auroc": ("macro AUROC", False),
    "micro_f1": ("micro F1", False),
    "ece": ("calibration error", True),
}  # figures of epochs on that page, and whether lower is better
NO_TITLES = "it reads titles, and its rows hold no vectors of texts to train it anew on"
_INTENTS = TypeAdapter(list[Intent])


def run_train_intent(
    intents: str, model: str, *, ranking_weeks: int, rows: str, intent: str, code: str = "", curves: str = ""
) -> None:
    """Fit the model that the slice `models.intent` (JSON) asks for and write its model folder.

    `curves` is the page of the losses to write, '' in the processes of a TrainJob.
    """
    with step("train_intent") as progress:
        spec = IntentModel.model_validate_json(model)
        if (settings := trainjob.asked("train_intent")) is not None:
            words = {"intents": intents, "model": model, "ranking-weeks": str(ranking_weeks), "code": code}
            task = trainjob.Task("components.intent", words, {"rows": Path(rows)}, output="intent")
            progress.count(**trainjob.run(task, settings, Path(intent), at=progress.at))
            progress.count(**_sees(inputs.read(Path(intent))))
            _draw(Path(intent), curves)
            return
        with ranks.joined() as group:
            from components.intent.refit import described
            from components.intent.train import train

            found = examples.load(Path(rows), _INTENTS.validate_json(intents))
            found = examples.with_titles(found, Path(rows)) if spec.titles else found
            trained = train(found, spec, ranking_weeks=ranking_weeks, report=progress.at, ranks=group)
            progress.count(**_sees(trained.inputs))
            if trained.scorer.shape.architecture != TREES:  # which one process grows
                progress.count(**group.agreed(trained.scorer.net.state_dict()))
            if group.first:
                under = _conditions(intents, model, ranking_weeks, code) | described(
                    inputs.again(found, trained.inputs), trained.scorer.shape
                )
                save(trained, spec, Path(intent), under=under)
                _draw(Path(intent), curves)
        best = min(epoch.validate_bce for epoch in trained.epochs if epoch.validate_bce is not None)
        progress.count(rows_in=trained.rows["train"] + trained.rows["validate"], rows_out=trained.rows["out_of_time"])
        progress.count(**trained.rows, epochs=len(trained.epochs), validate_bce=best)


def _sees(found: Mapping[str, Any]) -> dict[str, str]:
    """Return what the step's line says of the numbers that the model sees; nothing where it sees all."""
    said = inputs.sentence(found)
    return {"inputs": said} if said else {}


def _conditions(intents: str, model: str, ranking_weeks: int, code: str) -> dict[str, Any]:
    """Name what a run says of how the model is trained; the rest is told by the rows."""
    return {
        "spec intents": json.loads(intents),
        "spec models.intent": json.loads(model),
        "spec models.ranking.train_weeks": ranking_weeks,
        "code": code,
    }


def save(trained: "Trained", spec: IntentModel, destination: Path, *, under: Mapping[str, Any]) -> None:
    """Write the `intent` artifact: the model folder, the out-of-time scores and how training went.

    `under` are the conditions that a refit must share.
    """
    from components.intent.refit import save_beginning

    with files.written_folder(destination) as folder:
        trained.scorer.save(folder)
        save_beginning(trained.beginning, folder / BEGINNING)
        inputs.write(folder, trained.inputs)
        if trained.thresholds is not None:
            trained.thresholds.save(folder, trained.scorer.names)
        pq.write_table(out_of_time_table(trained.out_of_time), folder / OUT_OF_TIME, compression="zstd")
        training = {
            "epochs": [asdict(epoch) for epoch in trained.epochs],
            "rows": trained.rows,
            "weeks": trained.weeks,
            "threads": trained.threads,
            "seconds": trained.seconds,
            "spec": spec.model_dump(),
            conditions.KEY: conditions.digests(**under),
        }
        files.write_json(folder / TRAINING, training)


def run_refit_intent(
    intents: str, model: str, *, ranking_weeks: int, code: str, refit: bool, rows: str, intent: str, refitted: str
) -> None:
    """Fit the judged model `intent` once more, on all ripe weeks; prove that nothing else differs.

    Where the spec asks for no refit the folder says so, and holds nothing else.
    """
    with step("refit_intent") as progress:
        if not refit:
            conditions.unasked(Path(refitted))
            progress.count(**{conditions.ASKED: False})
            return
        from components.intent import refit as refits

        judged, whole = Path(intent), examples.load(Path(rows), _INTENTS.validate_json(intents))
        found = replace(inputs.again(whole, inputs.read(judged)), events=events.read(judged))
        spec, training = IntentModel.model_validate_json(model), files.read_json(judged / TRAINING)
        found = material.prepared(found, spec)
        beginning = refits.load_beginning(judged / BEGINNING)
        under = _conditions(intents, model, ranking_weeks, code) | refits.described(found, refits.shape(found, spec))
        proven = conditions.require_same(training, conditions.digests(**under), of="refit of the intent model")
        weeks, epochs = conditions.ripe(found.split), refits.epochs_of(training)
        again = refits.regrow if spec.architecture == TREES else refits.refit
        mapping = Calibration.read(judged, found.vocabulary)
        made = again(found, spec, beginning, weeks=weeks, epochs=epochs, calibration=mapping, report=progress.at)
        with files.written_folder(Path(refitted)) as folder:
            made.scorer.save(folder)
            if (thresholds := Thresholds.read(judged, made.scorer.names)) is not None:
                thresholds.save(folder, made.scorer.names)
            inputs.write(folder, inputs.read(judged))
            about = {"weeks": made.weeks, "rows": made.rows, "epochs": epochs, "means": made.means}
            files.write_json(folder / conditions.FILE, conditions.proof(judged, proven) | about)
        progress.count(rows_in=made.rows, asked=True, epochs=epochs, weeks=len(made.weeks))


def _draw(intent: Path, page: str) -> None:
    """Write the page of the losses: of the network that scores out of time (early), and of the one that is kept."""
    if not page:
        return
    epochs = files.read_json(intent / TRAINING)["epochs"]
    stages = list(dict.fromkeys(epoch["stage"] for epoch in epochs))
    charts = [
        pages.Chart(
            f"{title} loss (binary cross-entropy)",
            lower_is_better=True,
            series={
                STAGES.get(stage, stage): [epoch[key] for epoch in epochs if epoch["stage"] == stage]
                for stage in stages
            },
        )
        for title, key in (("Training", "train_bce"), ("Validation", "validate_bce"))
    ]
    charts += [
        pages.Chart(
            f"Validation {CURVES[name][0]}",
            lower_is_better=CURVES[name][1],
            series={
                STAGES.get(stage, stage): [epoch["figures"][name] or 0.0 for epoch in epochs if epoch["stage"] == stage]
                for stage in stages
            },
        )
        for name in CURVES
        if all(epoch.get("figures") for epoch in epochs)
    ]
    pages.write(Path(page), "Training of the intent model", charts)


def out_of_time_table(scores: "OutOfTime") -> pa.Table:
    """Return the scores as out_of_time.parquet holds them."""
    B, C = scores.probabilities.shape
    flat = pa.array(scores.probabilities.ravel(), pa.float32())
    return pa.table(
        {
            columns.USER_ID: pa.array(scores.user_id, pa.string()),
            examples.WEEK: scores.week,
            PROBABILITIES: pa.ListArray.from_arrays(pa.array(np.arange(B + 1) * C, pa.int32()), flat),
        }
    )


def run_evaluate_intent(
    intents: str,
    *,
    rows: str,
    intent: str,
    evaluation: str,
    card: str,
    log_metric: Callable[[str, float], None],
    log_roc_curve: Callable[[list[float], list[float], list[float]], None],
    log_confusion_matrix: Callable[[list[str], list[list[int]]], None],
) -> "Evaluation":
    """Judge a model folder on the test weeks; write metrics.json, classification.json and the model card."""
    with step("evaluate_intent") as progress:
        found = examples.load(Path(rows), _INTENTS.validate_json(intents))
        result, text = judge(Path(intent), found, Path(evaluation), report=progress.at)
        with files.written(Path(card)) as page:
            page.write_text(text)
        for name, value in result.test.items():
            if value is not None:
                log_metric(f"intent.{name}", value)
        log_roc_curve(result.curve.fpr, result.curve.tpr, result.curve.thresholds)
        log_confusion_matrix(result.curve.categories, result.curve.confusion)
        progress.count(rows_in=int(result.test["rows"] or 0), map=result.test["map"], bce=result.test["bce"])
    return result


def judge(
    folder: Path, found: examples.Examples, evaluation: Path, *, report: Callable[[float, str], None]
) -> tuple["Evaluation", str]:
    """Judge a model folder on the test weeks and write the evaluation's folder; return what was found, and the card."""
    from components.intent import card as cards
    from components.intent.evaluate import evaluate
    from components.intent.score import IntentScorer
    from components.intent.served import served

    # First: after the network as trained, which imports torch, loading it would seem to add less.
    answering, memory = measure.growth(lambda: IntentScorer.served(folder))
    scorer = IntentScorer.load(folder)
    result = evaluate(scorer, found, thresholds=Thresholds.read(folder, scorer.names), report=report)
    training, pace = files.read_json(folder / TRAINING), found.calendar.pace
    text = cards.write(result, training, found.vocabulary, sees=inputs.read(folder), pace=pace)
    with files.written_folder(evaluation) as out:
        files.write_json(out / "metrics.json", result.metrics())
        resamples.write(out, result.resamples, rows_digest=result.rows_digest)
        files.write_json(out / "served.json", served(answering, found, trained=scorer, memory=memory))
        files.write_json(out / "classification.json", asdict(result.curve))
        (out / "card.md").write_text(text)
    return result, text


def run_judge_twin_intent(intents: str, *, rows: str, twin: str, twin_rows: str, evaluation: str) -> None:
    """Judge the intent model of the champion's judged twin on the candidate's test rows."""
    with step("judge_twin_intent") as progress:
        found = twins.read(Path(twin_rows))
        if found.retrained and IntentModel.model_validate(files.read_json(Path(twin) / twins.INTENT_MODEL)).titles:
            found = found.without(NO_TITLES)

        def work(folder: Path) -> None:
            from components.intent import twin as judged
            from components.intent.evaluate import evaluate

            candidate = examples.load(Path(rows), _INTENTS.validate_json(intents))
            release = Path(twin) / twins.RELEASE
            if found.retrained:
                slices = ReleaseFolder.read(release).slices
                asked, own = judged.retrained(
                    IntentModel.model_validate(files.read_json(Path(twin) / twins.INTENT_MODEL)),
                    _INTENTS.validate_python(slices["intents"]),
                    Path(twin_rows),
                    candidate,
                    ranking_weeks=slices["ranking"]["train_weeks"],
                    report=progress.at,
                )
            else:
                asked, own = judged.asked(release / "intent", Path(twin_rows), candidate)
            result = evaluate(asked, candidate, report=progress.at)
            files.write_json(folder / "metrics.json", result.metrics())
            resamples.write(folder, result.resamples, rows_digest=result.rows_digest)
            pq.write_table(out_of_time_table(own), folder / OUT_OF_TIME, compression="zstd")
            progress.count(rows_in=int(result.test["rows"] or 0), map=result.test["map"])

        progress.count(why=twins.judged(found, Path(evaluation), work).why)


def run_predict_intents(*, rows: str, release: str, intents: str) -> int:
    """Predict the intents of all users of a `rows` folder with a release's model."""
    with step("predict_intents") as progress:
        from components.intent import batch

        with files.written_folder(Path(intents)) as folder:
            users = batch.write(Path(rows), Path(release), folder, at=progress.at)
        progress.count(rows_in=users, rows_out=users)
    return users
