"""The two steps of the pipeline, called as Kubeflow's shells call them."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from components import resamples
from components.registry import champion, component, gate_metrics, rollout_tags
from components.registry import client as mlflow_client
from components.registry.aliases import rollback, status
from components.registry.gate_inputs import ResourceUse
from feature_repo.errors import Refused, SpecError

WITHOUT_SERVER = pytest.mark.parametrize("store", ["sqlite"], indirect=True)
GATES = [
    {"metric": "intent.map", "against": "baseline"},
    {"metric": "ranking.ndcg_at_10", "against": "champion", "tolerance": 0.02},
]


@pytest.fixture
def logged() -> dict[str, float]:
    """The metrics that the register step gave Kubeflow."""
    return {}


@pytest.fixture
def run(shared, lineage, tmp_path, logged, own_rows):
    """Run the register step, and promote where it passed, as the pipeline does."""

    def call(folders=shared.folders, *, mode="auto", gates=GATES, spec=lineage.spec):
        at = {name: SimpleNamespace(path=str(path)) for name, path in vars(folders).items()}
        report = SimpleNamespace(path=str(tmp_path / "report"))
        version = tmp_path / "version"
        passed = component.register.python_func(
            "shared",
            lineage.model_copy(update={"spec": spec}).model_dump_json(),
            json.dumps({"gates": gates}),
            json.dumps({"profiles": {"windows_days": [7, 28, 91]}}),
            mode,
            *(at["clean"], at["intent"], at["intent_evaluation"], at["ranking"], at["ranking_evaluation"]),
            *own_rows,
            report,
            SimpleNamespace(log_metric=logged.__setitem__),
            str(version),
        )
        if passed:
            component.promote.python_func("shared", version.read_text(), mode, "test")
        return version.read_text(), passed

    return call


def test_a_result_that_passes_becomes_the_champion(shared, run, tmp_path) -> None:
    assert run() == ("1", True)
    assert status("shared").holders == {"champion": "1"}
    assert "## Skipped\n\n- ranking.ndcg_at_10: there is no champion yet\n" in (tmp_path / "report").read_text()


@WITHOUT_SERVER
def test_kubeflow_gets_the_gates_and_what_serving_costs_under_the_names_of_gates(shared, run, make, logged) -> None:
    run()
    counts = {"gates.judged", "gates.refused", "gates.undecided"}
    assert [logged[name] for name in sorted(counts)] == [1, 0, 0]  # there is no champion to compare with
    assert set(logged) - counts <= set(gate_metrics.NAMES)
    run(make(quality=0.1), spec="another00000", mode="dry_run")
    assert logged["gates.refused"] > 0


def test_a_second_run_changes_nothing(shared, run) -> None:
    run()
    before = status("shared")
    assert run() == ("1", True)
    assert status("shared") == before


@WITHOUT_SERVER
def test_a_result_that_its_gates_refuse_is_kept_but_moves_nothing(shared, run, make, tmp_path) -> None:
    run()
    worse = make(quality=0.28)
    assert run(worse, spec="another00000") == ("2", False)
    assert status("shared").holders == {"champion": "1"}
    words = "ranking.ndcg_at_10 0.28 is below the champion's 0.3 less the tolerance of 2% (0.294)"
    assert words in (tmp_path / "report").read_text()
    with pytest.raises(Refused, match="its gates refused it"):
        component.promote.python_func("shared", "2", "auto", "test")


def drawn(folder, metric: str, values, **about) -> None:
    """Give an evaluation of the toy its resamples."""
    resamples.write(folder, [resamples.Line(metric, np.array(values), 100, 50, **about)], rows_digest="rows")


@WITHOUT_SERVER
def test_what_its_gates_cannot_tell_is_registered_as_undecided_and_moves_nothing(
    shared, run, make, tmp_path, logged
) -> None:
    run()
    close = make(seed=3, quality=0.2501)
    lines = [
        resamples.Line("map", 0.25 + np.arange(40) % 5 / 100, 100, 50),
        resamples.Line("map", np.full(40, 0.25), 100, 50, side="decayed_rate"),
    ]
    resamples.write(close.intent_evaluation, lines, rows_digest="rows")
    version, passed = run(close, spec="another00000", gates=GATES[:1])
    assert not passed
    assert status("shared").holders == {"champion": "1"}
    with mlflow_client.connected() as client:
        tags = client.get_model_version("shared-release", version).tags
        read = rollout_tags._version(client, "shared", version)
    assert tags["gates"] == "undecided"
    found = champion.verdict("shared", version)
    assert (found["verdict"], found["passed"]) == ("undecided", False)
    assert (found["gates"][0]["verdict"], found["gates"][0]["users"]) == ("undecided", 50)
    assert (tmp_path / "report").read_text().startswith("# Release ")
    assert "undecided\n\n1 of 1 gates could not tell:" in (tmp_path / "report").read_text()
    assert (logged["gates.refused"], logged["gates.undecided"]) == (0, 1)
    assert (read.passed, read.undecided) == (False, True)
    assert "is not clearly at least nor below the baseline's 0.25" in read.refusals
    with pytest.raises(Refused, match=r"its gates left it undecided \(intent.map 0.2501 is not clearly"):
        component.promote.python_func("shared", version, "auto", "test")


def test_a_champion_is_compared_by_the_resamples_that_its_run_keeps(store, make, lineage, run, shared) -> None:
    before = make(seed=4, quality=0.3)
    drawn(before.ranking_evaluation, "ndcg_at_10", 0.3 + np.arange(40) % 5 / 100, draws="across")
    run(before, spec="third0000000")
    found = champion.champion("shared")
    assert found is not None
    held = found.sample("ranking.ndcg_at_10")
    assert (held.value, held.rows, held.users) == (0.3, 100, 50)
    assert held.resampled[:3].tolist() == pytest.approx([0.3, 0.31, 0.32])
    assert found.judged_on("ranking") == "rows"
    assert found.sample("intent.map").resampled is None  # that evaluation kept none


@WITHOUT_SERVER
def test_manual_leaves_a_challenger_and_dry_run_writes_nothing_but_the_report(shared, run, tmp_path) -> None:
    assert run(mode="dry_run") == ("", True)
    assert (tmp_path / "report").read_text().startswith("# Dry run of shared: passed")
    with mlflow_client.connected() as client:
        assert mlflow_client.registered_model(client, "shared-release") is None
    run(mode="manual")
    assert status("shared").holders == {"challenger": "1"}


def test_a_look_for_a_champion_makes_no_database(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow/mlflow.db")
    assert champion.champion("shared") is None
    assert component.promote.python_func("shared", "", "dry_run", "test") == ""
    with pytest.raises(SpecError, match="shared-release: nothing is registered under this name yet"):
        component.champion.python_func("shared", "champion")
    assert list(tmp_path.iterdir()) == []


@WITHOUT_SERVER
def test_the_pipeline_does_not_bring_back_what_was_rolled_back(shared, run) -> None:
    run()
    run(spec="another00000")
    rollback("shared", who="ana", why="too slow")
    assert run(spec="another00000") == ("2", True)
    assert status("shared").holders == {"champion": "1", "challenger": "2"}


def test_a_mode_that_is_none_is_one_line(shared, run) -> None:
    words = r"promotion\.mode: 'dryrun' is none of auto, manual, dry_run; did you mean"
    with pytest.raises(SpecError, match=words):
        run(mode="dryrun")
    with pytest.raises(SpecError, match=r"promotion\.mode: 'dryrun' is none of auto, manual, dry_run; did you mean"):
        component.promote.python_func("shared", "1", "dryrun", "test")


def test_the_shells_are_uncached_thin_and_named_as_the_pipeline_wires_them() -> None:
    spec = component.register.component_spec
    assert set(spec.inputs) == {
        *("name", "lineage", "promotion", "serving", "mode", "clean", "intent", "intent_evaluation", "ranker"),
        *("ranking_evaluation", "session", "forecasts", "search", "champion_intent", "champion_ranking"),
        "words",
    }
    assert set(spec.outputs) == {"gates_report", "gate_metrics", "release_version", "Output"}


@WITHOUT_SERVER
def test_a_tolerance_that_was_used_is_kept_on_the_version_and_found_by_the_next(shared, run, make) -> None:
    counted = [{"metric": "ranking.ndcg_at_10", "against": "champion", "tolerance": 0.02, "repeats": 1}]
    run(gates=counted)
    assert run(make(seed=1, quality=0.297), gates=counted, spec="second000000") == ("2", True)
    found = champion.champion("shared")
    assert found is not None
    assert found.used == {"ranking.ndcg_at_10": ResourceUse(1, 0.3)}
    assert found.cohorts["old"]["ranking.ndcg_at_10"] == 0.297
    third, passed = run(make(seed=2, quality=0.296), gates=counted, spec="third0000000")
    assert not passed
    (gate,) = champion.verdict("shared", third)["gates"]
    assert "the tolerance was used 1 of 1 times since 0.3" in gate["reason"]
