"""The study of a search in Optuna: where it is kept, what it proposes, which trials are cut short, what is run again.

On one machine it is a journal in the state folder, with one process at it at a time; where INTENTFLOW_SEARCH_STORAGE
names a database, several may be. Either survives a worker that is killed: finished trials stay, and the one that was
running runs again with the same settings. Proposals hang on the seed and on what came before, and on nothing else, so a
study that went on after a kill is the one that was never killed.
"""

import contextlib
import datetime as dt
import fcntl
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.intent.search_space import Range, Search, fields, holds, step_of, value_of
from components.intent.spec import IntentModel, read_by
from feature_repo import env_names, files
from feature_repo.errors import ServerError, SpecError, shortened

if TYPE_CHECKING:
    import optuna

JOURNAL = "journal.log"
HEARTBEAT_S, GRACE_S = 60, 300  # of a database: how often a worker says that it lives, and when it counts as dead
RETRIES = 3  # of a trial whose worker was killed; one that kills each, by its memory say, is then given up
STARTUP = 8  # trials at random before the sampler models them
FIRST_PRUNED = 3  # trials that run to their end before others are compared with them
STAGES = {"early": 0, "full": 100}  # where a stage's epochs begin among the steps that trials are compared at
DIGITS = 3  # of a number that is proposed: a spec is read by people
RETRIED = "failed_trial"  # Optuna's mark of a trial that runs again: the number of its first run
OWN, CHOSEN, UNFIT, SAME, ERROR = "own", "chosen", "unfit", "same_as", "error"  # what is noted of a trial
Objective = Callable[["optuna.Trial", dict[str, Any]], float]


class UnfitError(Exception):
    """Settings that do not go together: the trial ends, the study goes on."""


@dataclass(frozen=True)
class Asked:
    """What is searched."""

    model: IntentModel
    search: Search
    seed: int


def require_installed() -> None:
    """Refuse a search where Optuna is not installed."""
    import importlib.util

    if importlib.util.find_spec("optuna") is None:
        raise SpecError(
            "models.intent.search: Optuna is not installed here; install the extra, `pip install "
            "'intentflow[search]'`, or drop search"
        )


@contextlib.contextmanager
def opened(name: str, folder: Path, url: str = "") -> Iterator["optuna.Study"]:
    """Open a study, made if it is not there: in the database `url`, or in a journal in `folder` if '' is given."""
    import optuna

    optuna.logging.disable_default_handler()
    optuna.logging.enable_propagation()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        with _database(url) if url else _journal(folder) as storage:
            study = optuna.create_study(
                storage=storage,
                study_name=name,
                direction="minimize",
                load_if_exists=True,
                pruner=optuna.pruners.MedianPruner(n_startup_trials=FIRST_PRUNED, n_warmup_steps=1),
            )
            if not url:  # nobody else is at a journal, so what runs in it died
                _run_again(study)
            yield study


@contextlib.contextmanager
def _database(url: str) -> Iterator[Any]:
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield _at(url)
    except (StorageInternalError, SQLAlchemyError) as error:  # the text of either may hold the address
        raise ServerError(
            f"{env_names.SEARCH_STORAGE}: the database did not answer ({type(error).__name__}); finished trials are "
            "kept, run again"
        ) from None


def _at(url: str) -> Any:
    from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        return RDBStorage(
            url,
            heartbeat_interval=HEARTBEAT_S,
            grace_period=GRACE_S,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=RETRIES),
        )
    except (ArgumentError, NoSuchModuleError, ValueError, ImportError) as error:
        raise SpecError(
            f"{env_names.SEARCH_STORAGE}: is no address of a database that is installed here "
            f"({type(error).__name__}); use postgresql+psycopg://user:password@host/name"
        ) from None


@contextlib.contextmanager
def _journal(folder: Path) -> Iterator[Any]:
    """Open the journal alone; mend what a killed worker left of it: half a line, and a lock."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / JOURNAL
    with (folder / "alone.lock").open("w") as alone:
        try:
            fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServerError(f"{folder}: another process is at this search; wait for it to end") from None
        path.with_name(f"{JOURNAL}.lock").unlink(missing_ok=True)
        if path.is_file():
            whole = path.read_bytes()
            if (end := whole.rfind(b"\n") + 1) < len(whole):
                with path.open("r+b") as stream:
                    stream.truncate(end)
        yield JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))))


def _run_again(study: "optuna.Study") -> None:
    """Put trials that a dead worker left running in line once more, as a database's heartbeat does."""
    from optuna.storages import RetryHeartbeatStaleTrialCallback
    from optuna.trial import TrialState

    again = RetryHeartbeatStaleTrialCallback(max_retry=RETRIES)
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        again(study, trial)


def search(study: "optuna.Study", asked: Asked, objective: Objective, *, report: Callable[[float, str], None]) -> None:
    """Run trials until there are as many as asked for, or the time is over; the spec's own settings come first."""
    if not study.trials:
        study.enqueue_trial(_own_within(asked), user_attrs={OWN: True})
    while not enough(study, asked.search):
        done = len(finished(study))
        report(done / asked.search.trials, f"trial {done + 1} of {asked.search.trials}")
        study.optimize(lambda trial: _run(study, trial, asked, objective), n_trials=1, catch=(UnfitError,))


def enough(study: "optuna.Study", wanted: Search) -> bool:
    """Tell whether no further trial begins; what ended in an error took its time too."""
    done = finished(study)
    spent = done + [trial for trial in study.trials if ERROR in trial.user_attrs]
    return len(done) >= wanted.trials or (bool(spent) and seconds(spent) >= 60 * wanted.minutes)


def finished(study: "optuna.Study") -> list["optuna.trial.FrozenTrial"]:
    """Return the trials that count: those that ran to an end, were pruned, or whose settings do not go together."""
    from optuna.trial import TrialState

    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    return [trial for trial in study.trials if trial.state in ended or UNFIT in trial.user_attrs]


def seconds(trials: list["optuna.trial.FrozenTrial"]) -> float:
    """Return how long trials took together; an interrupted search goes on with the time that is left."""
    return sum(((t.duration or dt.timedelta()).total_seconds() for t in trials), 0.0)


def _own_within(asked: Asked) -> dict[str, Any]:
    """Return the spec's own settings as far as the space has them: the sampler learns from these too."""
    found = {name: value_of(asked.model, name) for name in asked.search.space}
    return {name: value for name, value in found.items() if _holds(asked, name, value)}


def _holds(asked: Asked, name: str, value: Any) -> bool:
    return read_by(asked.model.architecture, name) and holds(asked.search.space[name], value)


def _run(study: "optuna.Study", trial: "optuna.Trial", asked: Asked, objective: Objective) -> float:
    """Choose a trial's settings, and train with them unless an earlier trial did."""
    import optuna
    from optuna.trial import TrialState

    study.sampler = optuna.samplers.TPESampler(seed=_seed(study, trial, asked.seed), n_startup_trials=STARTUP)
    if trial.user_attrs.get(OWN):
        for name in _own_within(asked):
            _value(trial, name, asked.search)
        chosen = {name: value_of(asked.model, name) for name in asked.search.space}
        chosen = {name: value for name, value in chosen.items() if read_by(asked.model.architecture, name)}
    else:
        chosen = _chosen(trial, asked)
    trial.set_user_attr(CHOSEN, chosen)
    for other in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        if other.user_attrs.get(CHOSEN) == chosen and other.value is not None:
            trial.set_user_attr(SAME, other.number)
            return float(other.value)
    try:
        loss = objective(trial, chosen)
        if not math.isfinite(loss):  # Optuna would count such a trial never, and the search would not end
            raise UnfitError(f"the loss is {loss}: training diverged")
        return loss
    except UnfitError as error:
        trial.set_user_attr(UNFIT, shortened(str(error), 300))
        raise
    except optuna.TrialPruned:
        raise
    except Exception as error:
        trial.set_user_attr(ERROR, shortened(str(error), 300))
        raise


def _seed(study: "optuna.Study", trial: "optuna.Trial", seed: int) -> int:
    """Return the sampler's seed for a trial: one that runs again has the seed of its first run."""
    every = study.get_trials(deepcopy=False)
    first = every[trial.number].system_attrs.get(RETRIED, trial.number)
    before = sum(RETRIED not in other.system_attrs for other in every[:first])
    return int(files.digest([seed, before])[:8], 16)


def _chosen(trial: "optuna.Trial", asked: Asked) -> dict[str, Any]:
    """Let the sampler choose, the architecture first: the others are asked for only if that one reads them."""
    chosen: dict[str, Any] = {}
    for name in sorted(asked.search.space, key=lambda one: (one != "architecture", one)):
        if read_by(chosen.get("architecture", asked.model.architecture), name):
            chosen[name] = _value(trial, name, asked.search)
    return chosen


def _value(trial: "optuna.Trial", name: str, wanted: Search) -> Any:
    given = wanted.space[name]
    if not isinstance(given, Range):
        return trial.suggest_categorical(name, list(given))
    step = step_of(fields(IntentModel)[name])
    if step:
        return trial.suggest_int(name, int(given.low), int(given.high), step=step, log=given.log)
    found = trial.suggest_float(name, given.low, given.high, log=given.log)
    return min(max(float(f"{found:.{DIGITS}g}"), given.low), given.high)
