"""Whether a candidate is better than the champion on the same rows, by intervals that are paired."""

from pathlib import Path

import numpy as np
import pytest

from components import resamples, twins
from components.resamples import Line
from components.twins import Twin
from feature_repo import files
from monitoring.retraining import gain

SPREAD = np.random.default_rng(0).normal(0, 0.02, 50)
NAMES = {"intent": "map", "ranking": "ndcg_at_10"}


def written(folder: Path, intent: float, ranking: float, *, why: str = "", retrained: bool = False) -> dict[str, Path]:
    """Write the evaluations of one side; users differ much, and alike for both sides."""
    found = {}
    for part, value in (("intent", intent), ("ranking", ranking)):
        found[part] = folder / part
        found[part].mkdir(parents=True, exist_ok=True)
        twins.write(Twin("1", why=why, retrained=retrained), found[part])
        metric = NAMES[part]
        files.write_json(
            found[part] / "metrics.json", {"test": {metric: value, "rows": 200}, "baselines": {}, "cohorts": {}}
        )
        noise = np.random.default_rng(int(1000 * value)).normal(0, 0.001, 50)
        lines = [
            Line(metric, value + SPREAD + noise, 200, 90, draws=draws) for draws in (resamples.ACROSS, resamples.WITHIN)
        ]
        resamples.write(found[part], lines, rows_digest="rows")
    return found


@pytest.mark.parametrize(
    ("candidate", "champion", "result"),
    [
        ((0.35, 0.20), (0.30, 0.20), "gain"),
        ((0.35, 0.25), (0.30, 0.20), "gain"),
        ((0.30, 0.20), (0.30, 0.20), "no_gain"),
        ((0.25, 0.20), (0.30, 0.20), "no_gain"),
        ((0.35, 0.15), (0.30, 0.20), "no_gain"),  # better at one, worse at the other
    ],
)
def test_a_gain_is_clear_and_costs_nothing_elsewhere(
    candidate: tuple[float, float], champion: tuple[float, float], result: str, tmp_path: Path
) -> None:
    found = gain.read(written(tmp_path / "a", *candidate), written(tmp_path / "b", *champion))
    assert found.result == result
    assert "intent.map" in found.said
    assert "interval" in found.said


def test_where_it_was_not_judged_on_the_same_rows_nothing_is_known(tmp_path: Path) -> None:
    mine = written(tmp_path / "a", 0.4, 0.4)
    for name, more, result, said in (
        ("gone", {"why": "its judged twin was deleted"}, "unknown", "since its judged twin was deleted"),
        ("same", {"why": twins.SAME_DATA}, "no_gain", "on this data already"),
        ("anew", {"retrained": True}, "unknown", "has learnt from these rows"),
    ):
        found = gain.read(mine, written(tmp_path / name, 0.3, 0.3, **more))  # type: ignore[arg-type]
        assert (found.result, said in found.said) == (result, True), found


def test_figures_without_intervals_show_no_gain(tmp_path: Path) -> None:
    mine = written(tmp_path / "a", 0.4, 0.4)
    for folder in mine.values():
        (folder / resamples.FILE).unlink()
    assert gain.read(mine, written(tmp_path / "b", 0.3, 0.3)).result == "unknown"
