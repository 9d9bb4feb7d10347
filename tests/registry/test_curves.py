"""How training went reaches MLflow as metrics by epoch, for whatever stages and figures a model's training.json has."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from components.registry.lineage import Result
from components.registry.register import _curves
from feature_repo import files

EPOCHS: list[dict[str, Any]] = [
    {"stage": "early", "train_bce": 0.5, "validate_bce": 0.4, "seconds": 1.5, "figures": {"map": 0.2}},
    {"stage": "full", "train_bce": 0.3, "validate_bce": 0.35, "seconds": 2.0, "figures": {"map": 0.3, "ece": None}},
    {"stage": "full", "train_bce": 0.2, "validate_bce": None, "seconds": 2.0},
]


def test_epochs_are_counted_by_stage_and_what_was_not_measured_is_left_out(tmp_path: Path) -> None:
    for part, document in (("intent", {"epochs": EPOCHS}), ("ranking", {})):
        (tmp_path / part).mkdir()
        files.write_json(tmp_path / part / "training.json", document)
    folders = SimpleNamespace(model=lambda part: tmp_path / part)
    found = _curves(cast(Result, SimpleNamespace(folders=folders)))
    assert ("intent.early.map", 0.2, 1) in found
    assert [(value, step) for name, value, step in found if name == "intent.full.train_bce"] == [(0.3, 1), (0.2, 2)]
    assert [(value, step) for name, value, step in found if name == "intent.full.validate_bce"] == [(0.35, 1)]
    assert not any(name.endswith((".ece", ".stage", ".figures")) for name, _, _ in found)


def test_a_model_without_training_has_no_curves(tmp_path: Path) -> None:
    folders = SimpleNamespace(model=lambda part: tmp_path / part)
    assert _curves(cast(Result, SimpleNamespace(folders=folders))) == []
