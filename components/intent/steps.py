"""The intent steps in their frame: spec slices and artifact folders in, artifact folders out.

`component` calls these from Kubeflow; the pure parts are in train.py and evaluate.py. They import torch, so they are
imported within the frame, which first tells torch's threads how to wait. Where the environment names a trainer, the
training step hands the work to a TrainJob, whose processes come back here by `torchrun -m components.intent`.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from components import compression, conditions, measure, resamples, twins
from components.distributed import ranks, trainjob
from components.intent import ensemble, events, examples, inputs, loss_page, material, numpy_net
from components.intent.calibration import Calibration
from components.intent.decisions import Thresholds
from components.intent.encode import Encoded
from components.intent.networks import ENSEMBLE, TREES
from components.intent.numpy_net import CONFIG, WEIGHTS
from components.intent.spec import Intent, IntentModel
from components.step import step
from components.training import stalls
from feature_repo import columns, files
from feature_repo.release_folder import ReleaseFolder

if TYPE_CHECKING:
    from components.intent.compress import Choice
    from components.intent.evaluate import Evaluation
    from components.intent.train import OutOfTime, Trained
    from components.training.checkpoints import Checkpoints

OUT_OF_TIME = "out_of_time.parquet"
TRAINING = "training.json"
SETTINGS = "settings.json"  # where a search may have chosen them: what the model was trained with
BEGINNING = "early.safetensors"  # where the stage `full` began, for a refit
PROBABILITIES = "probabilities"
ROUNDS_OF_TEXTS = 2  # of measuring what they cost: 64 texts take seconds
BATCHES = (1, 64)  # rows, of which compression says what the network costs
NO_TITLES = "it reads titles, and its rows hold no vectors of texts to train it anew on"
PRIVACY = "privacy"  # of training.json and metrics.json: budget, noise and cost
SPENT = ("epsilon", "delta", "sigma")  # of a model that was trained with privacy, as metrics
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
            progress.count(**_sees(inputs.read(Path(intent))), **_small(Path(intent)))
            loss_page.write(Path(intent) / TRAINING, curves)
            return
        with ranks.joined() as group:
            from components.intent.ensemble_train import networks_of, train
            from components.intent.refit import described

            found = examples.load(Path(rows), _INTENTS.validate_json(intents))
            found = examples.with_titles(found, Path(rows)) if spec.titles else found
            asked = _conditions(intents, model, ranking_weeks, code)
            data = {"data": Path(rows)}
            kept = _checkpoints("train_intent", found, spec, asked, data, Path(intent), group=group)
            trained = train(found, spec, ranking_weeks=ranking_weeks, report=progress.at, ranks=group, checkpoints=kept)
            progress.count(**_sees(trained.inputs))
            if trained.scorer.shape.architecture != TREES:  # which one process grows
                progress.count(**group.agreed(networks_of(trained.scorer)))
            if group.first:
                under = asked | described(inputs.again(found, trained.inputs), trained.scorer.shape)
                save(trained, spec, Path(intent), under=under)
                progress.count(**_small(Path(intent)))
                loss_page.write(Path(intent) / TRAINING, curves)
            if kept is not None:
                kept.clear()
            progress.count(**stalls.told(epoch.stall_share for epoch in trained.epochs))
        progress.count(rows_in=trained.rows["train"] + trained.rows["validate"], rows_out=trained.rows["out_of_time"])
        progress.count(**trained.rows, epochs=len(trained.epochs), validate_bce=trained.validate_bce)


def _sees(found: Mapping[str, Any]) -> dict[str, str]:
    """Return what the step's line says of the numbers that the model sees; nothing where it sees all."""
    said = inputs.sentence(found)
    return {"inputs": said} if said else {}


def _small(intent: Path) -> dict[str, str]:
    """Return what the step's line says of compression; nothing where the spec asks for none."""
    found = compression.read(intent)
    return {} if found is None else {"compression": compression.sentence(found)}


def _checkpoints(
    name: str,
    found: examples.Examples,
    spec: IntentModel,
    under: Mapping[str, Any],
    data: Mapping[str, Path],
    destination: Path,
    *,
    group: ranks.Ranks = ranks.ALONE,
) -> "Checkpoints | None":
    """Return the checkpoints of a step that trains; None where the spec asks for none."""
    if spec.trainer.checkpoint is None:
        return None
    from components.training import checkpoints

    model = checkpoints.decisive(under["spec models.intent"])
    about = dict(under) | {"spec models.intent": model, "vocabulary": found.vocabulary.digest}
    return checkpoints.of_step(
        name, spec.trainer.checkpoint, destination, about=about, data=data, package="intent", ranks=group
    )


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
        _write_settings(folder, spec)
        if trained.thresholds is not None:
            trained.thresholds.save(folder, trained.scorer.names)
        if trained.compression is not None:
            save_other(trained.compression, folder)
        pq.write_table(out_of_time_table(trained.out_of_time), folder / OUT_OF_TIME, compression="zstd")
        training = {
            "epochs": [asdict(epoch) for epoch in trained.epochs],
            "rows": trained.rows,
            "weeks": trained.weeks,
            "threads": trained.threads,
            "seconds": trained.seconds,
            "spec": spec.model_dump(),
            **{name: said for name in (PRIVACY, "pretrained") if (said := getattr(trained, name))},
            **({ensemble.MEMBERS: ensemble.weights_of(folder)} if spec.architecture == ENSEMBLE else {}),
            conditions.KEY: conditions.digests(**under),
        }
        files.write_json(folder / TRAINING, training)


def _write_settings(folder: Path, spec: IntentModel) -> None:
    """Keep the settings in the model folder, and so in the release, where the spec alone does not tell them."""
    if spec.search is not None:
        files.write_json(folder / SETTINGS, spec.model_dump(mode="json"))


def save_other(choice: "Choice", folder: Path) -> None:
    """Write into a model folder the model that does not serve, and what both cost and are worth."""
    choice.other.save(folder / compression.OTHER)
    served, beside = costs(folder), costs(folder / compression.OTHER)
    told = choice.document()
    by = {told["taken"]: served, compression.other(told): beside}
    about = {"format": compression.FORMAT, **told, "measured": {name: by[name] for name in sorted(by, reverse=True)}}
    files.write_json(folder / compression.FILE, about)


def costs(folder: Path) -> dict[str, Any]:
    """Measure a network's folder: its files' bytes, and its processor time for some batches of encoded rows."""
    form = numpy_net.served(folder)
    found: dict[str, Any] = {"size_bytes": sum((folder / name).stat().st_size for name in (WEIGHTS, CONFIG))}
    if form is None:  # torch serves it
        return found | {"cpu_ms": {}}
    batches = {size: numpy_net.drawn(form.shape, form.weights, rows=size) for size in BATCHES}
    rounds = measure.WARM_ROUNDS if form.shape.text is None else ROUNDS_OF_TEXTS
    spent = measure.cpu_ms({str(size): partial(_anew, form, rows) for size, rows in batches.items()}, rounds=rounds)
    return found | {"cpu_ms": spent}


def _anew(form: numpy_net.NumpyNet, rows: Encoded) -> None:
    """Answer for rows whose texts nobody has read yet."""
    form.forget()
    form.probabilities(rows)


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
        from components.intent import ensemble_train
        from components.intent import refit as refits

        judged, whole = Path(intent), examples.load(Path(rows), _INTENTS.validate_json(intents))
        found = replace(inputs.again(whole, inputs.read(judged)), events=events.read(judged))
        spec, training = IntentModel.model_validate_json(model), files.read_json(judged / TRAINING)
        found = material.prepared(found, spec)
        beginning = refits.load_beginning(judged / BEGINNING)
        asked = _conditions(intents, model, ranking_weeks, code)
        under = asked | refits.described(found, refits.shape(found, spec))
        proven = conditions.require_same(training, conditions.digests(**under), of="refit of the intent model")
        weeks, together = conditions.ripe(found.split), spec.architecture == ENSEMBLE
        each = ensemble_train.epochs_of(training, spec.members) if together else {}
        epochs = sum(each.values()) if together else refits.epochs_of(training)
        mapping, small = Calibration.read(judged, found.vocabulary), compression.read(judged)
        told: dict[str, Any] = {"weeks": weeks, "epochs": epochs, "calibration": mapping, "report": progress.at}
        data = {"data": Path(rows), "judged": judged / BEGINNING}
        kept = _checkpoints("refit_intent", found, spec, asked | {"epochs": each or epochs}, data, Path(refitted))
        if together:
            made = ensemble_train.refitted(
                found,
                spec,
                beginning,
                weights=ensemble.weights_of(judged),
                weeks=weeks,
                epochs=each,
                report=progress.at,
                checkpoints=kept,
            )
        elif spec.architecture == TREES:
            made = refits.regrow(found, spec, beginning, **told)
        else:
            if small is not None and small["taken"] == compression.COMPRESSED:
                told["smaller_epochs"] = refits.epochs_of(training, "pruned") if small["asked"]["prune"] else 0
            made = refits.refit(found, spec, beginning, **told, checkpoints=kept)
        with files.written_folder(Path(refitted)) as folder:
            made.scorer.save(folder)
            if (thresholds := Thresholds.read(judged, made.scorer.names)) is not None:
                thresholds.save(folder, made.scorer.names)
            inputs.write(folder, inputs.read(judged))
            _write_settings(folder, spec)
            about = {"weeks": made.weeks, "rows": made.rows, "epochs": epochs, "means": made.means}
            files.write_json(folder / conditions.FILE, conditions.proof(judged, proven) | about)
        if kept is not None:
            kept.clear()
        progress.count(rows_in=made.rows, asked=True, epochs=epochs, weeks=len(made.weeks))


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
        for name in SPENT if (spent := files.read_json(Path(intent) / TRAINING).get(PRIVACY)) else ():
            log_metric(f"intent.{PRIVACY}.{name}", spent[name])
        log_roc_curve(result.curve.fpr, result.curve.tpr, result.curve.thresholds)
        log_confusion_matrix(result.curve.categories, result.curve.confusion)
        progress.count(rows_in=int(result.test["rows"] or 0), map=result.test["map"], bce=result.test["bce"])
    return result


def judge(
    folder: Path, found: examples.Examples, evaluation: Path, *, report: Callable[[float, str], None]
) -> tuple["Evaluation", str]:
    """Judge a model folder on the test weeks and write the evaluation's folder; return what was found, and the card."""
    from components.intent import card as cards
    from components.intent import importance
    from components.intent.evaluate import evaluate
    from components.intent.score import IntentScorer
    from components.intent.served import served

    # First: after the network as trained, which imports torch, loading it would seem to add less.
    answering, memory = measure.growth(lambda: IntentScorer.served(folder))
    scorer = IntentScorer.load(folder)
    result = evaluate(scorer, found, thresholds=Thresholds.read(folder, scorer.names), report=report)
    training, pace = files.read_json(folder / TRAINING), found.calendar.pace
    weighed = importance.measure(scorer, found)
    more = [part for part in (importance.page(weighed), compression.page(compression.read(folder))) if part]
    text = cards.write(result, training, found.vocabulary, sees=inputs.read(folder), pace=pace, more=more)
    with files.written_folder(evaluation) as out:
        files.write_json(out / "metrics.json", result.metrics() | {k: training[k] for k in (PRIVACY,) if k in training})
        resamples.write(out, result.resamples, rows_digest=result.rows_digest)
        files.write_json(out / "served.json", served(answering, found, trained=scorer, memory=memory))
        files.write_json(out / "classification.json", asdict(result.curve))
        files.write_json(out / importance.FILE, [one.document() for one in weighed])
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
