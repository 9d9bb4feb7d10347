import json
from pathlib import Path

import pytest

from components.data.steps import run_ingest, run_validate
from feature_repo.errors import DataError, Refused, SpecError

pytestmark = pytest.mark.world  # each starts Great Expectations, or kfp

KEY = "00" * 16


@pytest.fixture
def environment(shop, monkeypatch) -> Path:
    """What the pipeline sets for a step, with the shop's folder as the spec's."""
    monkeypatch.setenv("INTENTFLOW_PSEUDONYM_KEY", KEY)
    monkeypatch.setenv("INTENTFLOW_SPEC_DIR", str(shop))
    monkeypatch.setenv("INTENTFLOW_HOME", str(shop / "home"))
    monkeypatch.setenv("INTENTFLOW_CLOCK", "data_end")
    monkeypatch.setenv("INTENTFLOW_ERROR_FILE", str(shop / "error.json"))
    monkeypatch.setenv("INTENTFLOW_PROGRESS_FILE", str(shop / "progress.jsonl"))
    return shop


def progress(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]


def test_the_steps_go_from_a_spec_slice_to_clean_tables_a_page_and_metrics(environment, spec):
    data, metrics = spec().model_dump_json(), {}
    run_ingest(data, str(environment / "tables"))
    run_validate(
        data,
        str(environment / "tables"),
        clean=str(environment / "clean"),
        report=str(environment / "report"),
        log_metric=metrics.__setitem__,
    )
    assert metrics == {
        "undecided": 5,
        "rows_events": 6,
        "rows_items": 3,
        "rows_users": 3,
        "quarantined_events": 0,
        "cleaned_events": 0,
        "rules": 33,
        "warnings": 0,
    }
    page = (environment / "report").read_text()
    assert page == (environment / "home" / "contract" / "contract.html").read_text()
    said = progress(environment)
    assert {line["step"] for line in said} == {"ingest", "validate"}
    for step in ("ingest", "validate"):
        shares = [line["share"] for line in said if line["step"] == step]
        assert shares == sorted(shares)
        assert (shares[0], shares[-1]) == (0.0, 1.0)


def test_a_refusal_leaves_the_page_and_the_reason_with_exit_code_3(environment, spec):
    data = spec(contract={"events": [{"expect": "rows", "min": 1000}]}).model_dump_json()
    run_ingest(data, str(environment / "tables"))
    with pytest.raises(Refused):
        run_validate(
            data,
            str(environment / "tables"),
            clean=str(environment / "clean"),
            report=str(environment / "report"),
            log_metric=lambda name, value: None,
        )
    assert "refused" in (environment / "report").read_text()
    error = json.loads((environment / "error.json").read_text())
    assert (error["step"], error["code"]) == ("validate", 3)
    assert error["message"].endswith(f"there are 6; see {environment}/home/contract/contract.html")


def test_bad_data_leaves_the_reason_with_exit_code_2(environment, spec):
    (environment / "events.csv").unlink()
    with pytest.raises(DataError):
        run_ingest(spec().model_dump_json(), str(environment / "tables"))
    error = json.loads((environment / "error.json").read_text())
    assert (error["step"], error["code"]) == ("ingest", 2)


def test_without_a_key_nothing_is_read(environment, spec, monkeypatch):
    monkeypatch.delenv("INTENTFLOW_PSEUDONYM_KEY")
    with pytest.raises(SpecError, match="INTENTFLOW_PSEUDONYM_KEY is not set"):
        run_ingest(spec().model_dump_json(), str(environment / "tables"))


@pytest.mark.slow  # two steps that import everything; the shop's demo takes them by kfp as well
def test_the_components_run_as_a_kubeflow_pipeline_in_process(environment, spec):
    from kfp import dsl, local

    from components.data import component

    @dsl.pipeline(name="data")
    def pipeline(data: str):
        tables = component.ingest(data=data, source="s", code="c").outputs["tables"]
        component.validate(data=data, code="c", tables=tables)

    root = environment / "runs"
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root))
    pipeline(data=spec().model_dump_json())
    (page,) = root.glob("*/validate/contract_page")
    assert "passed" in page.read_text()
    assert json.loads(next(root.glob("*/validate/clean/contract.json")).read_text())["kept"]["events"] == 6


def test_ingest_counts_what_the_labels_of_the_spec_take(environment, spec):
    asked = json.loads(spec().model_dump_json()) | {"horizon": 4}
    with pytest.raises(DataError, match=r"the split needs 13 .* 9 for labels of 4 weeks"):
        run_ingest(json.dumps(asked), str(environment / "tables"))
