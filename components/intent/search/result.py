"""What a search found, as a document: every trial, the best one beside the spec's own settings, and what to change.

`search.json` of the artifact; the run's last page, MLflow's nested runs and the proposal are made from it. No Optuna
object leaves this module.

Letters: B rows, U users.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.intent import search_space
from components.intent.search.study import CHOSEN, OWN, SAME, STAGES, UNFIT, Asked, finished
from components.intent.spec import IntentModel, read_by

if TYPE_CHECKING:
    import optuna

FORMAT = 1
FILE = "search.json"
LOSSES = "losses-{}.npy"  # beside the journal: the losses of a trial's rows
METRIC = "validate_bce"
RESAMPLES = 1000  # of users, for the interval
Document = dict[str, Any]


def document(study: "optuna.Study", asked: Asked, *, users: np.ndarray, folder: Path) -> Document:
    """Return what a study holds; `users` are those of the rows that it judges by, [B], and `folder` keeps losses."""
    trials = [_trial(one) for one in finished(study)]
    own = next((one for one in trials if one["own"] and one["value"] is not None), None)
    best = min(
        (one for one in trials if one["value"] is not None), key=lambda one: (one["value"], one["number"]), default=None
    )
    better = best is not None and own is not None and best["value"] < own["value"]
    found: Document = {
        "format": FORMAT,
        "study": study.study_name,
        "metric": METRIC,
        "mode": asked.search.mode,
        "users": len(np.unique(users)),
        "rows": len(users),
        "trials": trials,
        "own": own and own["number"],
        "best": best and best["number"],
        "better": better,
        "changes": {},
    }
    if better and best is not None and own is not None:
        found["changes"] = changes(asked.model, best[CHOSEN])
        found["gain"] = _gain(own, best, users, folder)
    return found


def _trial(trial: "optuna.trial.FrozenTrial") -> Document:
    told = trial.user_attrs
    return {
        "number": trial.number,
        "state": "unfit" if UNFIT in told else trial.state.name.lower(),
        "value": trial.value if trial.state.name == "COMPLETE" else None,
        "own": bool(told.get(OWN)),
        CHOSEN: told.get(CHOSEN, {}),
        "epochs": [
            {"stage": stage, "epoch": step - begin, METRIC: value}
            for step, value in sorted(trial.intermediate_values.items())
            for stage, begin in STAGES.items()
            if begin < step <= begin + 100
        ],
        "seconds": round(trial.duration.total_seconds(), 1) if trial.duration else 0.0,
        "began": trial.datetime_start.timestamp() if trial.datetime_start else 0.0,
        "again": "failed_trial" in trial.system_attrs,
        **({"why": told[UNFIT]} if UNFIT in told else {}),
        **({SAME: told[SAME]} if SAME in told else {}),
    }


def _gain(own: Document, best: Document, users: np.ndarray, folder: Path) -> Document:
    """Return by how much the best is better, with an interval where both trials' losses are here."""
    rows = [_losses(folder, one) for one in (own, best)]
    if any(one is None or len(one) != len(users) for one in rows):  # another worker ran it, on another disk
        return {"by": own["value"] - best["value"], "interval": None}
    by, low, high = gain(rows[0], rows[1], users)  # type: ignore[arg-type]
    return {"by": by, "interval": [low, high]}


def gain(own: np.ndarray, best: np.ndarray, users: np.ndarray, *, seed: int = 0) -> tuple[float, float, float]:
    """Return by how much `best` is below `own` in the mean, with a 95 % interval over users, of losses [B] each.

    Users are drawn, not rows: rows of one user are alike. The interval does not know that the best of many was picked.

    >>> gain(np.array([1.0, 1.0]), np.array([0.5, 0.5]), np.array([3, 4]))
    (0.5, 0.5, 0.5)
    """
    _, user = np.unique(users, return_inverse=True)
    rows, saved = np.bincount(user), np.bincount(user, own - best)  # [U]
    drawn = np.random.default_rng(seed).integers(0, len(rows), (RESAMPLES, len(rows)))
    means = saved[drawn].sum(axis=1) / rows[drawn].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float((own - best).mean()), float(low), float(high)


def _losses(folder: Path, trial: Document) -> np.ndarray | None:
    path = folder / LOSSES.format(trial.get(SAME, trial["number"]))
    return np.asarray(np.load(path)) if path.is_file() else None


def changes(model: IntentModel, chosen: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the fields that differ from the spec's own: what each is, and what it becomes."""
    made = IntentModel.model_validate(search_space.settings(model, chosen, read_by))
    names = search_space.fields(IntentModel)
    pairs = {name: [search_space.value_of(one, name) for one in (model, made)] for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def trial(found: Document, number: int) -> Document:
    """Return a trial by its number."""
    return next(one for one in found["trials"] if one["number"] == number)


def told(found: Document, proposal: str) -> Document:
    """Return what the run's last page says of a search."""
    states = [one["state"] for one in found["trials"]]
    counts = {state: states.count(state) for state in ("complete", "pruned", "unfit")}
    return {key: found[key] for key in ("study", "mode", "users", "better", "changes", "best")} | {
        **counts,
        "gain": found.get("gain"),
        "why": next((one["why"] for one in found["trials"] if "why" in one), ""),
        "diff": proposal.splitlines(),
    }
