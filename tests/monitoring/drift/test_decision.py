"""What follows from a verdict where the spec has no `monitoring.retrain`: training, nothing, or a refusal."""

from pathlib import Path

import pytest

from feature_repo import files
from feature_repo.errors import Refused
from monitoring.drift.decision import decide


def decided(folder: Path, **found: object) -> bool:
    files.write_json(folder / "drift.json", {"reason": "so", "lost": []} | found)
    return decide(str(folder))


def signals(when: str) -> dict[str, object]:
    return {"verdicts": [{"signal": "events.price.p50", "when": when, "reason": "world", "explained_by": ""}]}


def test_a_class_of_fault_holds_training_back_whatever_the_verdict_says(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"the data is at fault .*monitoring.signals.accepted"):
        decided(tmp_path, verdict="drifted", **{"class": "data_fault"})
    assert decided(tmp_path, verdict="drifted", **{"class": "world"})
    assert not decided(tmp_path, verdict="stable"), "files of before have no class"


def test_a_signal_trains_once_it_lasts(tmp_path: Path) -> None:
    """A day of dear goods is no reason to train: the windows of before asked for four weeks of them."""
    world = {"verdict": "drifted", "class": "world", "windows": "stable"}
    assert not decided(tmp_path, **world, signals=signals("now"))
    assert decided(tmp_path, **world, signals=signals("lasting"))
    assert decided(tmp_path, **world | {"windows": "drifted"}, signals=signals("now"))
