"""Open Bandit Pipeline's values on written arrays, recorded: `python -m tests.policy.obp_values` asks it again.

It runs in an environment of its own, which `python -m benchmarks.policy` makes.
"""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.policy import KEPT, PEER
from components.policy.evaluation.estimators import Settings, estimates
from components.policy.evaluation.logged import of_actions
from components.policy.evaluation.slates import LoggedSlates, slate_estimates

ROWS, ACTIONS, PLACES, LISTS = 60, 5, 3, 40
TAU, LAMBDA = 2.0, 3.0
RECORDED = Path(__file__).parent / "obp_values.json"
Values = dict[str, dict[str, float]]


def places() -> dict[str, Any]:
    """Return arrays of single places: propensities down to 0.02, rewards of any size, each place another target."""
    rng = np.random.default_rng(21)
    target = rng.dirichlet(np.full(ACTIONS, 0.5), size=(ROWS, PLACES)).transpose(0, 2, 1)  # [N, A, L]
    return {
        "action": rng.integers(ACTIONS, size=ROWS),
        "reward": rng.gamma(1.0, 2.0, size=ROWS),
        "pscore": rng.uniform(0.02, 0.9, size=ROWS),
        "position": rng.integers(PLACES, size=ROWS),
        "action_dist": target,
        "reward_model": rng.gamma(1.0, 1.5, size=(ROWS, ACTIONS, PLACES)),
        "tau": TAU,
        "lambda_": LAMBDA,
    }


def lists() -> dict[str, Any]:
    """Return arrays of lists, the conditional probabilities of both policies and the marginal ones."""
    rng = np.random.default_rng(22)
    logging, target, place_logging, place_target = rng.uniform(0.1, 0.9, size=(4, LISTS, PLACES))
    found = {
        "slate_id": np.repeat(np.arange(LISTS), PLACES),
        "position": np.tile(np.arange(PLACES), LISTS),
        "reward": rng.gamma(1.0, 1.0, size=LISTS * PLACES),
        "place_pscore": place_logging.ravel(),
        "place_target": place_target.ravel(),
    }
    for name, part in (("pscore", logging), ("target", target)):
        found[f"cascade_{name}"] = np.cumprod(part, axis=1).ravel()
        found[f"list_{name}"] = np.repeat(part.prod(axis=1), PLACES)
        found[name] = part.ravel()
    return found


def ours() -> Values:
    """Return our values on the same arrays."""
    one, other = places(), lists()
    row = np.arange(ROWS)
    log = of_actions(
        one["action"],
        one["reward"],
        one["pscore"],
        one["action_dist"][row, :, one["position"]],
        model=one["reward_model"][row, :, one["position"]],
    )
    found = estimates(log, settings=Settings(tau=TAU, lambda_=LAMBDA, resamples=10))
    shaped = {name: other[name].reshape(LISTS, PLACES) for name in other}
    slates = LoggedSlates(
        shaped["reward"], shaped["pscore"], shaped["target"], shaped["place_pscore"], shaped["place_target"]
    )
    of_lists = slate_estimates(slates, ("slate_ips", "cascade", "independent"), Settings(resamples=10))
    return {
        "places": {name: value.value for name, value in found.items()},
        "lists": {name: value.value for name, value in of_lists.items()},
    }


def installed() -> Path | None:
    """Return the Python of its environment, None where there is none."""
    return next(iter(KEPT.glob("obp==*/bin/python")), None)


def theirs(python: Path) -> Values:
    """Ask Open Bandit Pipeline."""
    found = {}
    for name, arrays in (("places", places()), ("lists", lists())):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "arrays.npz"
            np.savez(file, **arrays)
            done = subprocess.run([str(python), str(PEER), str(file)], capture_output=True, text=True, check=True)
        found[name] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    python = installed()
    if python is None:
        raise SystemExit("obp has no environment here; `python -m benchmarks.policy` makes one")
    RECORDED.write_text(json.dumps(theirs(python), indent=2) + "\n")
