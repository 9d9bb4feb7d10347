"""The step `search_intent` in its frame: rows in, settings out, with the study's trials and a proposal.

It comes before the intent model is trained. `mode: propose` hands the spec's own settings on and writes a diff of its
file; `mode: auto` hands the best ones on, and whatever is trained with them meets the same gates. Finished trials are
kept in the state folder, so a run that was killed goes on from there. A dry run keeps nothing outside its artifact.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from pydantic import TypeAdapter, ValidationError

from components.intent import examples, search_space
from components.intent.search import proposal, result, study
from components.intent.search.study import Asked
from components.intent.spec import Intent, IntentModel, filled, read_by
from components.step import HOME, Progress, step
from feature_repo import env_names, files

if TYPE_CHECKING:
    import optuna

    from components.intent.examples import Examples

SEARCHES = "search"  # folder of the state folder
DIFF = "proposal.diff"
DRY = "dry_run"
_INTENTS = TypeAdapter(list[Intent])
_OF_HOW_LONG = {"trials", "minutes", "mode"}  # another number of trials goes on with the same study


def run_search_intent(
    name: str, intents: str, model: str, *, ranking_weeks: int, mode: str, code: str, rows: str, search: str
) -> str:
    """Search as `models.intent` (JSON) asks; write the artifact, and return the settings to train with, as JSON.

    Without a `search` there the settings are handed on as they are, and the artifact is an empty folder.
    """
    with step("search_intent") as progress:
        asked = _asked(model)
        if asked is None:
            Path(search).mkdir(parents=True, exist_ok=True)
            progress.count(asked=False)
            return model
        study.require_installed()
        found = examples.load(Path(rows), _INTENTS.validate_json(intents))
        found = (examples.with_titles(found, Path(rows)) if asked.model.titles else found).without_test()
        about = {
            "intents": json.loads(intents),
            "model": asked.model.model_dump(mode="json") | {"search": _space(asked)},
            "ranking_weeks": ranking_weeks,
            "code": code,
            "rows": files.file_digest(Path(rows)),
        }
        with _kept(f"{name}-{files.digest(about)}", dry=mode == DRY) as (folder, url):
            with study.opened(folder.name, folder, url) as opened:
                _warn(progress, url)
                study.search(
                    opened,
                    asked,
                    lambda trial, chosen: _objective(trial, chosen, asked, found, ranking_weeks, folder),
                    report=progress.at,
                )
                document = result.document(opened, asked, users=_users(found, asked), folder=folder)
            text = _proposal(document, asked)
            _write(Path(search), document, text)
            if mode != DRY:
                _leave(folder.parent / DIFF, text)
        progress.tell(search=result.told(document, text))
        progress.count(rows_in=document["rows"], trials=len(document["trials"]), better=document["better"])
        return _settings(document, asked, model)


def _asked(model: str) -> Asked | None:
    spec = IntentModel.model_validate_json(model)
    return None if spec.search is None else Asked(spec, spec.search, spec.seed)


def _space(asked: Asked) -> Any:
    return asked.search.model_dump(mode="json", exclude=_OF_HOW_LONG)


@contextmanager
def _kept(name: str, *, dry: bool) -> Iterator[tuple[Path, str]]:
    """Yield the study's folder and its database's address, '' for a journal in the folder."""
    home = os.environ.get(HOME, "")
    if dry or not home:
        with tempfile.TemporaryDirectory() as aside:
            yield Path(aside) / name, ""
        return
    folder = Path(home) / SEARCHES / name
    folder.mkdir(parents=True, exist_ok=True)
    yield folder, os.environ.get(env_names.SEARCH_STORAGE, "")


def _warn(progress: Progress, url: str) -> None:
    if os.environ.get(env_names.ALONE) and not url:
        progress.count(note=f"the study ends with this pod; {env_names.SEARCH_STORAGE} names a database that keeps it")


def _users(found: "Examples", asked: Asked) -> np.ndarray:
    from components.intent.search.trial import rows_of

    return np.asarray(found.users[rows_of(found, asked.model)])


def _objective(
    trial: "optuna.Trial", chosen: dict[str, Any], asked: Asked, found: "Examples", ranking_weeks: int, folder: Path
) -> float:
    """Train with a trial's settings; end early where other trials were better by then."""
    import optuna

    from components.intent.search.trial import judged

    spec = resolved(asked, chosen)

    def watch(stage: str, epoch: int, loss: float) -> None:
        # A distorted loss is no probability before it is calibrated, and compares with no other's.
        if spec.loss.distorts or stage not in study.STAGES:
            return
        trial.report(loss, study.STAGES[stage] + epoch)
        if trial.should_prune():
            raise optuna.TrialPruned(f"{stage}, epoch {epoch}: {loss:.4f}")

    made = judged(found, spec, ranking_weeks=ranking_weeks, watch=watch)
    with files.written(folder / result.LOSSES.format(trial.number)) as aside, aside.open("wb") as stream:
        np.save(stream, made.by_row)
    return made.loss


def resolved(asked: Asked, chosen: dict[str, Any]) -> IntentModel:
    """Return the model's slice with a trial's settings; UnfitError where they do not go together."""
    own = search_space.settings(asked.model, chosen, read_by)
    try:
        return IntentModel.model_validate(own | {"search": asked.search.model_dump()})
    except ValidationError as error:
        raise study.UnfitError(search_space.said(error)) from None


def _settings(document: result.Document, asked: Asked, model: str) -> str:
    """Return the settings to train with: the spec's own text, or the best trial's in its form."""
    if asked.search.mode != "auto" or not document["better"]:
        return model
    best = resolved(asked, result.trial(document, document["best"])[study.CHOSEN])
    return json.dumps(best.model_dump(mode="json"), separators=(",", ":"), ensure_ascii=False, sort_keys=True)


def _write(destination: Path, document: result.Document, text: str) -> None:
    with files.written_folder(destination) as folder:
        files.write_json(folder / result.FILE, document)
        (folder / DIFF).write_text(text, encoding="utf-8")


def _leave(path: Path, text: str) -> None:
    """Put the proposal where people look for it, and take an older search's away."""
    if not text:
        path.unlink(missing_ok=True)
        return
    with files.written(path) as aside:
        aside.write_text(text, encoding="utf-8")


def _proposal(document: result.Document, asked: Asked) -> str:
    """Return the diff of the spec's file; '' where nothing is to change, or no file is, or it was edited."""
    path = Path(os.environ.get(env_names.SPEC_FILE, ""))
    if not document["better"] or not path.is_file():
        return ""
    text = path.read_text(encoding="utf-8")
    chosen = result.trial(document, document["best"])[study.CHOSEN]
    try:
        said = yaml.safe_load(text) or {}
        intent, vectors = (said.get("models") or {}).get("intent") or {}, said.get("vectors") or {}
        there, meant = (IntentModel.model_validate(one) for one in (intent, filled(intent, vectors)))
    except (yaml.YAMLError, AttributeError, ValidationError):
        return ""
    if meant.model_dump() != asked.model.model_dump():
        return ""
    return proposal.diff(text, path.name, search_space.settings(there, chosen, read_by))
