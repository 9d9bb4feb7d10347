"""How often gates are right: whole evaluations of worlds whose truth is planted, through the file to the verdict."""

from pathlib import Path

import numpy as np
import pytest

from components.registry.gates import evaluate
from components.registry.spec import Gate
from tests.registry.test_gate_intervals import candidate, evaluation

BEAT = Gate(metric="ranking.ndcg_at_10")
USERS, WEEKS, WORLDS = 400, 2, 100
NOISE = 0.053 * np.sqrt(WEEKS)  # of the difference of two rankers in one row; a user's mean has .053, as groceries have


def planted(seed: int, effect: float) -> tuple[np.ndarray, np.ndarray]:
    """The NDCG of a baseline and of a model in each user-week: users differ far more than two rankers do for one."""
    rng = np.random.default_rng(seed)
    level = np.repeat(rng.beta(1.4, 3.6, USERS), WEEKS)  # mean .28
    baseline = level + rng.normal(0, 0.2, USERS * WEEKS)
    return baseline, baseline + 0.28 * effect + rng.normal(0, NOISE, USERS * WEEKS)


@pytest.mark.parametrize(("effect", "least", "most"), [(0.03, 80, 100), (0.0, 0, 5)])
def test_a_release_that_is_3_percent_better_passes_and_one_that_is_no_better_does_not(
    tmp_path: Path, effect: float, least: int, most: int
) -> None:
    words = []
    for world in range(WORLDS):
        baseline, model = planted(world, effect)
        found = candidate(evaluation(tmp_path, model, baseline))
        words.append(evaluate([BEAT], found, champion=None).word)
    assert least <= words.count("passed") <= most
    assert words.count("refused") <= 5
