"""The first step checks the run form as the command line checks a spec, and gives each step its slice."""

import dataclasses
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import run_lock
from components.step import ENDED_S, progress_file
from feature_repo.errors import DataError, SpecError, UserError
from pipelines import spec
from pipelines.environment import Installation, place
from pipelines.graphs import admission, component, index
from pipelines.graphs.parameters import form, run_parameters
from pipelines.graphs.step_table import SLICES
from pipelines.runs import local

SYNTHETIC = Path("pipelines/specs/synthetic.yaml")
Document = dict[str, Any]


def _floats(value: Any) -> Any:
    """Return a document as Kubeflow's API hands it on."""
    if isinstance(value, dict):
        return {key: _floats(one) for key, one in reversed(value.items())}
    if isinstance(value, list):
        return [_floats(one) for one in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


@pytest.fixture
def at(tmp_path: Path) -> Installation:
    return place(SYNTHETIC, "local", variables={"INTENTFLOW_STATE": str(tmp_path)})


def _admitted(document: Any, *, recommender: str = "synthetic", mode: str = "") -> spec.Recommender:
    return admission.admitted(document, recommender=recommender, mode=mode)


def test_the_component_gives_the_slices_of_the_table_in_its_order() -> None:
    kinds = component.admit.component_spec.outputs
    assert list(kinds) == list(SLICES)
    assert {name for name, one in kinds.items() if one.type == "Integer"} == {"ranking_weeks", "k"}


def test_what_went_through_kubeflow_gives_the_slices_that_plan_compares(
    at: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in at.variables.items():
        monkeypatch.setenv(name, value)
    values = dict(zip(SLICES, admission.admit("synthetic", _floats(form(at.spec)["spec"]), **_rest()), strict=True))
    planned = run_parameters(at)
    assert {name: values[name] for name in planned} == planned
    assert all(isinstance(one, str | int) for one in values.values())


def _rest(**given: Any) -> dict[str, Any]:
    return {"mode": "auto", "which": "", "k": 0, "note": ""} | given


def test_a_field_that_is_changed_by_hand_changes_its_own_slices_alone(at: Installation) -> None:
    document = form(at.spec)["spec"]
    changed = _admitted(document | {"monitoring": document["monitoring"] | {"psi": 0.35}})
    from pipelines.graphs.parameters import spec_slices

    before, after = spec_slices(at.spec), spec_slices(changed)
    assert [name for name in before if before[name] != after[name]] == ["monitoring"]


def test_the_form_s_mode_goes_before_the_spec_s(at: Installation) -> None:
    found = _admitted(form(at.spec)["spec"], mode="dry_run")
    assert found.promotion.mode == "dry_run"
    from pipelines.graphs.parameters import spec_slices

    assert '"mode":"dry_run"' in spec_slices(found)["promotion"]
    assert _admitted(form(at.spec)["spec"]).promotion.mode == at.spec.promotion.mode


def test_a_note_is_kept_as_the_reason_of_a_promotion_in_one_line(
    at: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in at.variables.items():
        monkeypatch.setenv(name, value)
    found = admission.admit("synthetic", form(at.spec)["spec"], **_rest(note="after the\n summer  sale"))
    assert dict(zip(SLICES, found, strict=True))["why"] == "passed its gates; after the summer sale"
    with pytest.raises(SpecError, match=r"^note: has 161 characters; at most 160 are kept$"):
        admission.admit("synthetic", form(at.spec)["spec"], **_rest(note="x" * 161))


def _wrong(document: Document) -> Any:
    return document | {"serving": {"k": 0}}


def _other(document: Document) -> Any:
    return document | {"name": "grocery"}


def _listed(document: Document) -> Any:
    return [document]


MISTAKES: list[tuple[Callable[[Document], Any], Document, str]] = [
    (_wrong, {}, "spec: serving.k: 0 is wrong: input should be greater than or equal to 1"),
    (_other, {}, "spec: name: 'grocery' is another recommender than this pipeline's, 'synthetic'"),
    (lambda d: d, {"mode": "atuo"}, "mode: 'atuo' is not allowed; use auto, manual, dry_run; did you mean 'auto'?"),
    (_listed, {}, "spec: holds no mapping; begin with `apiVersion: intentflow/v1`"),
    (lambda d: {k: v for k, v in d.items() if k != "intents"}, {}, "spec: intents: is missing; add it"),
]


@pytest.mark.parametrize(("change", "given", "said"), MISTAKES)
def test_a_mistake_is_the_command_line_s_own_line(
    at: Installation, change: Callable[[Document], Any], given: Document, said: str
) -> None:
    with pytest.raises(SpecError) as caught:
        _admitted(_floats(change(form(at.spec)["spec"])), **given)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_the_docs_show_each_mistake_with_its_line() -> None:
    shown = Path("docs/kubeflow-runs.md").read_text()
    assert [said for _, _, said in MISTAKES if f"| `{said.replace('`', '')}` |" not in shown] == []


def test_fields_of_an_older_minor_version_are_read_with_the_command_line_s_line(
    at: Installation, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    moved = {"compute": {"steps": {"validate": {"memory": "2Gi"}}}}
    with caplog.at_level(logging.WARNING, logger="intentflow"):
        assert _admitted(form(at.spec)["spec"] | moved).digest == at.spec.digest
        (tmp_path / "old.yaml").write_text(yaml.safe_dump(yaml.safe_load(SYNTHETIC.read_text()) | moved))
        place(tmp_path / "old.yaml", "local", variables={"INTENTFLOW_STATE": str(tmp_path)})
    here, there = (message.partition(": ")[2].partition(" (--env")[0] for message in caplog.messages)
    assert here == there == "compute: read here until 0.3; this is the environment's now"


@pytest.fixture
def pods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Be a pod of a run; pods share the state folder."""
    monkeypatch.setenv("INTENTFLOW_HOME", str(tmp_path))
    monkeypatch.delenv("INTENTFLOW_PROGRESS_FILE", raising=False)
    return lambda run: monkeypatch.setenv("INTENTFLOW_RUN", run)


def test_a_second_run_of_a_recommender_is_refused_until_the_first_has_ended(
    pods: Callable[[str], None], tmp_path: Path
) -> None:
    pods("run-1")
    run_lock.take("shop")
    run_lock.take("shop")  # the step is retried
    pods("run-2")
    with pytest.raises(SpecError, match=r"^run: run-1 of 'shop' is under way; start this one when it has ended, or"):
        run_lock.take("shop")
    run_lock.free()  # not its own
    with pytest.raises(SpecError, match="run-1"):
        run_lock.take("shop")
    pods("run-1")
    run_lock.free()
    pods("run-2")
    run_lock.take("shop")


def test_a_lock_counts_no_more_when_its_run_is_silent_for_long(pods: Callable[[str], None], tmp_path: Path) -> None:
    pods("run-1")
    run_lock.take("shop")
    said = progress_file()
    assert said is not None
    said.parent.mkdir()
    said.write_text("")
    old = time.time() - ENDED_S - 60
    os.utime(tmp_path / run_lock.FILE, (old, old))
    pods("run-2")
    with pytest.raises(SpecError, match="run-1"):  # its steps still speak
        run_lock.take("shop")
    os.utime(said, (old, old))
    run_lock.take("shop")
    assert "run-2" in (tmp_path / run_lock.FILE).read_text()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """A recommender whose source is a file, which is there; its runs end before a second step could start warm."""
    folder = tmp_path_factory.mktemp("files")
    document = yaml.safe_load(SYNTHETIC.read_text())
    columns = {"user_id": "u", "item_id": "i", "event": "e", "timestamp": "t"}
    source = {"type": "csv", "events": {"path": "events.csv", "columns": columns}}
    document["data"] = document["data"] | {"source": source}
    (folder / "shop.yaml").write_text(yaml.safe_dump(document))
    (folder / "events.csv").write_text("u,i,e,t\n1,2,buy,2026-01-01T00:00:00\n")
    found = place(folder / "shop.yaml", "local", variables={"INTENTFLOW_STATE": str(folder / "state")})
    return replace(found, environment=found.environment.model_copy(update={"runner": "subprocess"}))


@pytest.fixture
def gone(shop: Installation) -> Iterator[None]:
    path = shop.spec_path.parent / "events.csv"
    held = path.read_bytes()
    path.unlink()
    yield
    path.write_bytes(held)


def _run(at: Installation, **fields: Any) -> tuple[Exception, set[str]]:
    """Run training on this machine with fields of the form; return why it failed and the steps that were begun."""
    lines: list[dict[str, Any]] = []
    with pytest.raises((UserError, SpecError, DataError)) as caught:
        local.run(at, lines.append, form=fields)
    return caught.value, {line["step"] for line in lines}


@pytest.mark.process
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: {"spec": _wrong(d)}, "admit: spec: serving.k: 0 is wrong"),
        (lambda d: {"spec": _other(d)}, "admit: spec: name: 'grocery' is another recommender"),
        (lambda d: {"mode": "atuo"}, "admit: mode: 'atuo' is not allowed; use auto, manual, dry_run"),
    ],
)
def test_a_wrong_form_ends_the_run_at_its_first_step(
    shop: Installation, change: Callable[[Document], Document], said: str
) -> None:
    error, begun = _run(shop, **change(form(shop.spec)["spec"]))
    assert str(error).startswith(said)
    assert "\n" not in str(error)
    assert begun == {"admit"}
    page = max((shop.home / "runs").glob("*/outcome/page"), key=lambda path: path.stat().st_mtime).read_text()
    assert page.startswith("# synthetic: failed at admit\n")
    assert str(error).removeprefix("admit: ") in page


@pytest.mark.process
def test_a_source_that_is_gone_ends_the_run_at_its_first_step(shop: Installation, gone: None) -> None:
    error, begun = _run(shop)
    assert str(error).startswith("admit: data.source.events.path: no file 'events.csv'")
    assert "\n" not in str(error)
    assert begun == {"admit"}


def test_a_list_in_place_of_the_spec_begins_nothing(shop: Installation) -> None:
    error, begun = _run(shop, spec=_listed(form(shop.spec)["spec"]))
    assert (str(error), begun) == ("spec: holds no mapping; begin with `apiVersion: intentflow/v1`", set())


@pytest.mark.process
def test_a_run_beside_another_in_a_shared_folder_ends_at_its_first_step(
    shop: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.home.mkdir(parents=True, exist_ok=True)
    (shop.home / run_lock.FILE).write_text(json.dumps({"run": "run-1"}))
    monkeypatch.setenv("INTENTFLOW_RUN", "run-2")
    try:
        error, begun = _run(shop)
    finally:
        (shop.home / run_lock.FILE).unlink()
    assert str(error).startswith("admit: run: run-1 of 'synthetic' is under way")
    assert begun == {"admit"}


@pytest.mark.process
def test_a_spec_of_an_older_minor_version_is_read_with_its_line_in_the_run_s_log(
    shop: Installation, gone: None
) -> None:
    moved = {"compute": {"steps": {"validate": {"memory": "2Gi"}}}}
    error, begun = _run(shop, spec=form(shop.spec)["spec"] | moved)
    assert str(error).startswith("admit: data.source.events.path")  # the spec was taken, the source is gone
    assert begun == {"admit"}
    log = max((shop.home / "logs").glob("*.log"), key=lambda path: path.stat().st_mtime).read_text()
    assert "spec: compute: read here until 0.3; this is the environment's now" in log


def test_a_second_run_on_one_machine_is_refused_before_it_begins(shop: Installation) -> None:
    with local.alone(shop.home), pytest.raises(SpecError, match="another run of this recommender is under way"):
        local.run(shop, lambda line: None)


def test_a_field_that_a_pipeline_lacks_is_one_line() -> None:
    with pytest.raises(SpecError, match=r"^--mode: intentflow-batch has no such field; have spec, which, k, note$"):
        index.pipeline("batch").changed({"mode": "auto", "note": None})
    assert dataclasses.is_dataclass(index.pipeline("train"))
