"""`plan` says what would change in which layer, and what the next run does anew."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from feature_repo import files
from pipelines import plan
from pipelines.environment import Installation, place
from pipelines.graphs.parameters import run_parameters

GROCERY = Path("pipelines/specs/grocery.yaml")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "grocery.yaml"
    path.write_text(GROCERY.read_text())
    return path


def _at(shop: Path, **replaced: str) -> Installation:
    text = GROCERY.read_text()
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    shop.write_text(text)
    return place(shop, "local", variables={"INTENTFLOW_STATE": str(shop.parent / "state")})


def _done(at: Installation) -> None:
    """Leave what apply and a run leave."""
    at.home.mkdir(parents=True, exist_ok=True)
    plan.remember(at)
    files.write_json(at.home / "run.json", {"parameters": run_parameters(at)})


def test_at_first_everything_is_new(shop: Path) -> None:
    found = plan.plan(_at(shop))
    assert {layer.state for layer in found.layers} == {"new"}
    assert found.steps[0] == "ingest"
    assert len(found.steps) == 12


def test_a_refit_is_planned_where_the_spec_asks_for_one(shop: Path) -> None:
    steps = plan.plan(_at(shop, **{"promotion:\n": "promotion:\n  refit: true\n"})).steps
    assert [name for name in steps if "refit" in name] == ["refit_intent", "refit_ranking", "register_refit"]


def test_after_apply_and_run_nothing_changes(shop: Path) -> None:
    at = _at(shop)
    _done(at)
    assert plan.plan(at).nothing
    assert plan.plan(at).text() == "No changes: every layer is as declared."


def test_a_changed_gate_trains_nothing(shop: Path) -> None:
    _done(_at(shop))
    found = plan.plan(_at(shop, **{"limit: 0.02": "limit: 0.03"}))
    changed = {layer.name: layer.changes for layer in found.layers if layer.state == "changed"}
    assert changed == {"promotion": ["promotion.gates[1].limit: 0.02 -> 0.03"]}
    assert found.steps == ["register", "materialise", "promote", "watch"]


def test_a_changed_model_keeps_data_and_profiles(shop: Path) -> None:
    _done(_at(shop))
    document = yaml.safe_load(GROCERY.read_text())
    document["models"]["intent"]["seed"] = 7
    shop.write_text(yaml.safe_dump(document))
    found = plan.plan(place(shop, "local", variables={"INTENTFLOW_STATE": str(shop.parent / "state")}))
    changed = {layer.name: layer.changes for layer in found.layers if layer.state == "changed"}
    assert changed == {"intent model": ["models.intent.seed: 0 -> 7"]}
    assert found.steps[0] == "train_intent"
    assert "training_set" not in found.steps


def test_a_changed_contract_reads_no_source_again(shop: Path) -> None:
    _done(_at(shop))
    found = plan.plan(_at(shop, **{"max: 100, mostly: 0.98": "max: 90, mostly: 0.98"}))
    assert [layer.name for layer in found.layers if layer.state == "changed"] == ["contract"]
    assert found.steps[0] == "validate"


def test_a_changed_ranker_keeps_the_intent_model(shop: Path) -> None:
    _done(_at(shop))
    found = plan.plan(_at(shop, **{"test_every_weeks: 2": "test_every_weeks: 2, width: 32"}))
    assert found.steps[0] == "train_ranking"


def test_plan_writes_nothing(shop: Path) -> None:
    at = _at(shop)
    plan.plan(at)
    assert not at.home.exists()


@pytest.mark.process
def test_plan_is_fast_and_imports_no_sdk(shop: Path) -> None:
    code = (
        "import sys; from pipelines.cli import main\n"
        f"main(['plan', {str(GROCERY)!r}])\n"
        "heavy = {'torch', 'kfp', 'mlflow', 'feast', 'evidently', 'great_expectations', 'bentoml', 'transformers'}\n"
        "heavy |= {'optuna'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    start = time.process_time()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout
    assert time.process_time() - start < 2
