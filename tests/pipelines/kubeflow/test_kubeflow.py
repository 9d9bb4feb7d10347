"""`apply`, `plan --refresh` and `run` against the stand-in of Kubeflow's API, over real HTTP with kfp's own client."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kfp_server_api
import pytest
import yaml

from feature_repo.errors import DataError, Refused, ServerError, SpecError
from pipelines.cli import main
from pipelines.environment import FOLDER, Installation, place
from pipelines.graphs import kfp_pipeline
from pipelines.graphs.index import PIPELINES
from pipelines.graphs.parameters import run_parameters
from pipelines.kubeflow import client, declare, run_verdict, submit
from tests import kubeflow_server as fake
from tests.pipelines.kubeflow.submitted import NIGHTLY, SPEC, actions, done, followed, ignore
from tests.pipelines.test_environment import CLUSTER

At = Callable[..., Installation]


@pytest.fixture(scope="module", autouse=True)
def compiled_once() -> Iterator[None]:
    """Compile each pipeline of a spec once: the IR is real, and knows nothing of who is asked and how."""
    real, known = kfp_pipeline.compile_ir, {}
    asked = {"host", "ui", "namespace", "experiment", "token_env", "token_file", "ca_file", "recurring"}

    def compile_ir(
        spec: Any, path: Path, *, pipeline: str = "train", kubeflow: Any = None, compute: Any = None
    ) -> None:
        key = (spec.digest, pipeline, kubeflow and kubeflow.model_dump_json(exclude=asked), str(compute))
        if key not in known:
            real(spec, path, pipeline=pipeline, kubeflow=kubeflow, compute=compute)
            known[key] = path.read_bytes()
        path.write_bytes(known[key])

    kfp_pipeline.compile_ir = compile_ir
    yield
    kfp_pipeline.compile_ir = real


@pytest.fixture
def server() -> fake.Server:
    return fake.Server()


@pytest.fixture
def at(server: fake.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[At]:
    monkeypatch.setattr(client, "PATIENCE_S", 3.0)
    with fake.serving(server) as url:

        def made(spec: Path = SPEC, **kubeflow: Any) -> Installation:
            document = yaml.safe_load((FOLDER / "cluster.yaml").read_text())
            document["kubeflow"] = {"host": url} | kubeflow
            path = tmp_path / "there.yaml"
            path.write_text(yaml.safe_dump(document))
            variables = CLUSTER | {"INTENTFLOW_STATE": str(tmp_path), "TOKEN": "sesame-1", "OLD": "sesame-0"}
            return place(spec, str(path), variables=variables)

        yield made


def test_applied_twice_it_is_uploaded_once_and_plan_says_so_before(server: fake.Server, at: At) -> None:
    here = at(recurring=[NIGHTLY])
    assert set(actions(declare.look(here)).values()) == {"upload", "create"}
    assert not server.kept.get("pipelines")
    assert set(actions(declare.apply(here)).values()) == {"upload", "create"}
    assert server.names("pipelines") == ["synthetic-batch", "synthetic-policy", "synthetic-retrain", "synthetic-train"]
    writes = [r for r in server.requests if r.startswith(("POST", "DELETE"))]
    assert declare.apply(here).nothing
    assert declare.look(here).nothing
    assert [r for r in server.requests if r.startswith(("POST", "DELETE"))] == writes


def test_a_changed_spec_uploads_a_new_version_and_moves_the_recurring_run_to_it(
    server: fake.Server, at: At, tmp_path: Path
) -> None:
    declare.apply(at(recurring=[NIGHTLY]))
    (before,) = server.of("recurringruns").values()
    changed = tmp_path / "changed.yaml"
    document = yaml.safe_load(SPEC.read_text())
    document["monitoring"] = document["monitoring"] | {"psi": 0.35}
    changed.write_text(yaml.safe_dump(document))
    found = actions(declare.apply(at(changed, recurring=[NIGHTLY])))
    assert found == {  # the form of each is the whole spec
        "synthetic-train": "upload", "synthetic-retrain": "upload", "synthetic-policy": "upload",
        "synthetic-batch": "upload", "synthetic-nightly": "replace", "synthetic": "same",
    }  # fmt: skip
    (after,) = server.of("recurringruns").values()
    key = "pipeline_version_reference"
    assert before[key]["pipeline_id"] == after[key]["pipeline_id"]
    assert before[key]["pipeline_version_id"] != after[key]["pipeline_version_id"]
    assert len(server.of("pipelines")) == len(PIPELINES)
    assert len(server.of("versions")) == 2 * len(PIPELINES)


def test_recurring_runs_are_kept_in_step_and_those_of_others_are_left_alone(server: fake.Server, at: At) -> None:
    declare.apply(at(recurring=[NIGHTLY]))
    (made,) = server.of("recurringruns").values()
    assert made["trigger"]["cron_schedule"]["cron"] == "0 30 2 * * *"
    assert (made["status"], made["max_concurrency"], made["no_catchup"]) == ("ENABLED", "1", True)
    asked = made["runtime_config"]["parameters"]
    assert set(asked) == {"spec", "mode", "note"}  # what the source holds, each run looks up itself
    assert asked["spec"]["name"] == "synthetic"
    server.add("recurringruns", "recurring_run_id", made | {"display_name": "by hand", "description": "mine"})
    found = declare.apply(at(recurring=[NIGHTLY | {"enabled": False}]))
    assert actions(found)["synthetic-nightly"] == "disable"
    moved = declare.apply(at(recurring=[NIGHTLY | {"cron": "0 0 5 * * *"}]))
    assert actions(moved)["synthetic-nightly"] == "replace"
    crons = {
        one["display_name"]: one["trigger"]["cron_schedule"]["cron"] for one in server.of("recurringruns").values()
    }
    assert crons == {"by hand": "0 30 2 * * *", "synthetic-nightly": "0 0 5 * * *"}
    assert actions(declare.apply(at()))["synthetic-nightly"] == "delete"
    assert server.names("recurringruns") == ["by hand"]


def test_a_run_is_followed_step_by_step_to_its_end(server: fake.Server, at: At) -> None:
    cached = {"ingest-driver": "SUCCEEDED", "ingest": "SKIPPED"}
    server.script = lambda run: [
        fake.Frame("PENDING"),
        fake.Frame("RUNNING", cached | {"validate": "RUNNING"}),
        fake.Frame("SUCCEEDED", done(condition_1="SUCCEEDED", promote="SUCCEEDED") | cached),
    ]
    here = at(ui="https://people.example/pipeline/")
    declare.apply(here)
    found, lines, pages = followed(here)
    assert (found.state, found.passed) == ("SUCCEEDED", True)
    assert pages == [f"https://people.example/pipeline/#/runs/details/{found.run_id}"]
    assert lines[0] == {"step": "ingest", "share": 1.0, "seconds": 1.0, "cached": True}
    assert lines[1] == {"step": "validate", "share": 0.0, "note": "running"}
    assert {line["step"] for line in lines if "seconds" in line} >= {"profiles", "train_intent", "promote"}
    (run,) = server.of("runs").values()
    assert run["runtime_config"]["parameters"]["spec"]["name"] == "synthetic"


def test_gates_that_refuse_are_exit_3(server: fake.Server, at: At) -> None:
    server.script = lambda run: [fake.Frame("SUCCEEDED", done(condition_1="SKIPPED"))]
    here = at()
    declare.apply(here)
    with pytest.raises(Refused, match=r"gates: the run's release did not pass; .*#/runs/details/"):
        followed(here)


def test_where_a_baseline_serves_the_run_did_what_it_should_and_by_hand_it_waits(server: fake.Server, at: At) -> None:
    made = {"register-baseline": "SUCCEEDED", "materialise-2": "SUCCEEDED", "promote-2": "SUCCEEDED"}
    server.script = lambda run: [fake.Frame("SUCCEEDED", done(condition_1="SKIPPED") | made)]
    here = at()
    declare.apply(here)
    found, _, _ = followed(here)
    assert found.passed is False  # a promotion of the baseline is none of the candidate
    assert "gates refused; a baseline serves, since no champion was there, in " in found.text()
    with pytest.raises(Refused, match="did not pass; a baseline waits, `intentflow promote` lets it serve; "):
        followed(here, form={"mode": "manual"})


def test_a_dry_run_says_that_it_was_one_and_what_its_gates_said(server: fake.Server, at: At, tmp_path: Path) -> None:
    ends = iter([done(promote="SUCCEEDED"), done(condition_1="SKIPPED"), done(promote="SUCCEEDED")])
    server.script = lambda run: [fake.Frame("SUCCEEDED", next(ends))]
    document = yaml.safe_load(SPEC.read_text())
    document["promotion"] = document.get("promotion", {}) | {"mode": "dry_run"}
    (tmp_path / "dry.yaml").write_text(yaml.safe_dump(document))
    here = at(tmp_path / "dry.yaml")
    declare.apply(here)
    found, _, _ = followed(here)
    assert found.text().startswith("train: succeeded (dry run, nothing registered), gates passed, in")
    with pytest.raises(Refused, match="gates: the dry run's models did not pass; the report of `register` says why"):
        followed(here)
    asked = at()  # the spec promotes, the run's form does not
    declare.apply(asked)
    found, _, _ = followed(asked, form={"mode": "dry_run"})
    assert found.dry
    assert "train dry run" in server.of("runs")[found.run_id]["display_name"]


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A real registry, named in the environment, in which a release is left as `register` leaves it."""
    from components.registry import client as mlflow_client
    from components.registry import release

    url = f"sqlite:///{tmp_path}/mlflow.db"

    def leave(run_id: str, gates: str) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        model = release.model_name("synthetic")
        with mlflow_client.connected() as client:
            if mlflow_client.registered_model(client, model) is None:
                client.create_registered_model(model)
            client.create_model_version(model, "file:///x", tags={release.ASKED: run_id, "gates": gates})
        monkeypatch.delenv("MLFLOW_TRACKING_URI")

    return leave


def _of(place_: Installation, tmp_path: Path) -> Installation:
    """Return a place whose registry is the one of the fixture."""
    settings = place_.environment
    mlflow = settings.mlflow.model_copy(update={"tracking_uri": f"sqlite:///{tmp_path}/mlflow.db"})
    return dataclasses.replace(place_, environment=settings.model_copy(update={"mlflow": mlflow}))


def test_where_the_server_tells_no_details_the_registry_says_what_the_gates_said(
    server: fake.Server, at: At, tmp_path: Path, registry: Callable[..., None]
) -> None:
    here = _of(at(), tmp_path)
    declare.apply(here)
    said = iter([("passed", "refused"), ("refused", "passed"), ("undecided", "passed")])

    def ended(run: dict[str, Any]) -> list[fake.Frame]:
        own, other = next(said)
        registry(f"after-{run['run_id']}", other)
        registry(run["run_id"], own)
        return [fake.Frame("SUCCEEDED")]

    server.script = ended
    assert submit.run(here, ignore, pipeline="train", wait=True, say=ignore, every_s=0.01).passed is True
    for word in ("refused", "undecided"):
        with pytest.raises(Refused, match=rf"gates: the run's release did not pass \({word}\)"):
            submit.run(here, ignore, pipeline="train", wait=True, say=ignore, every_s=0.01)


def test_what_neither_server_nor_registry_tells_is_exit_1_in_one_line(
    server: fake.Server, at: At, tmp_path: Path, registry: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"wait": True, "say": ignore, "every_s": 0.01}
    here = _of(at(), tmp_path)
    declare.apply(here)
    server.script = lambda run: [fake.Frame("SUCCEEDED")]
    with pytest.raises(ServerError, match=r"gates: .* is not known: .* has no release of it; see http") as no:
        submit.run(here, ignore, pipeline="train", **asked)
    assert "\n" not in str(no.value)
    for pipeline in ("batch", "retrain"):  # has no gates; had no reason to make a release
        assert submit.run(here, ignore, pipeline=pipeline, **asked).passed is None
    monkeypatch.setattr(run_verdict, "gates", lambda at, run_id: run_verdict.UNKNOWN)
    with pytest.raises(ServerError, match=r"gates: .* does not answer; see http"):
        submit.run(here, ignore, pipeline="retrain", **asked)
    server.script = lambda run: [fake.Frame("SUCCEEDED", {"decide": "SUCCEEDED", "condition-1": "SKIPPED"})]
    assert submit.run(here, ignore, pipeline="retrain", **asked).passed is None  # the data had not drifted


def test_files_that_only_the_cluster_has_are_read_by_every_run(at: At, tmp_path: Path) -> None:
    document = yaml.safe_load(SPEC.read_text())
    tables = {name: {"path": f"{name}.parquet"} for name in ("events", "items")}
    document["data"] = document["data"] | {"source": {"type": "parquet"} | tables}
    path = tmp_path / "there-spec.yaml"
    path.write_text(yaml.safe_dump(document))
    here = at(path, data_claim="files")
    first, second = (run_parameters(here) for _ in range(2))
    assert {key for key in first if first[key] != second[key]} == {"source"}
    alone = dataclasses.replace(here, environment=here.environment.model_copy(update={"kubeflow": None}))
    with pytest.raises(DataError, match=r"data.source.events.path: no file 'events.parquet'"):
        run_parameters(alone)
    for table in tables.values():
        (tmp_path / table["path"]).write_bytes(b"rows")
    assert run_parameters(here)["source"] == run_parameters(alone)["source"] == run_parameters(here)["source"]


def test_a_failed_step_says_why_in_the_registrys_words_or_in_kubeflows(
    server: fake.Server, at: At, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {"ingest": "SUCCEEDED", "validate": "FAILED"}
    server.script = lambda run: [fake.Frame("FAILED", broken, {"validate": "exit code 2"})]
    here = at()
    declare.apply(here)
    with pytest.raises(ServerError, match="validate: exit code 2; http"):  # the registry does not answer from here
        followed(here)
    said = {"code": 2, "step": "validate", "why": "events: 3 rows, 100 are needed"}
    monkeypatch.setattr(run_verdict, "last_failure", lambda at, run_id: said)
    with pytest.raises(DataError, match="validate: events: 3 rows, 100 are needed; http"):
        followed(here)


def test_what_was_not_applied_is_not_run_and_detached_runs_are_not_followed(server: fake.Server, at: At) -> None:
    here = at()
    with pytest.raises(SpecError, match=r"synthetic-batch: .* has no version ir-[0-9a-f]{16} .*`intentflow apply"):
        followed(here, pipeline="batch")
    declare.apply(here)
    found, lines, _pages = followed(here, pipeline="batch", wait=False)
    assert (found.state, lines) == ("SUBMITTED", [])
    assert not any(request.startswith("GET runs/") for request in server.requests)


def test_a_server_that_is_away_for_a_moment_is_waited_for_and_a_lost_answer_makes_no_second_run(
    server: fake.Server, at: At
) -> None:
    here = at()
    server.faults = [503, 502]
    declare.apply(here)
    server.lost = 1
    server.script = lambda run: [
        fake.Frame("RUNNING"),
        fake.Frame("SUCCEEDED", done(condition_1="SUCCEEDED", promote="SUCCEEDED")),
    ]
    # The experiment's answer is the one that is lost first: it is looked up, not made again.
    found, _lines, _pages = followed(here)
    server.lost = 1
    again, _lines, _pages = followed(here)
    assert {found.state, again.state} == {"SUCCEEDED"}
    assert len(server.of("experiments")) == 1
    assert sorted(server.of("runs")) == sorted([found.run_id, again.run_id])


def test_tokens_come_by_reference_and_a_bad_one_is_one_line_without_it(
    server: fake.Server, at: At, tmp_path: Path
) -> None:
    server.token = "sesame-1"
    (tmp_path / "token").write_text("sesame-1\n")
    for known in ({"token_env": "TOKEN"}, {"token_file": str(tmp_path / "token")}):
        assert not declare.look(at(**known)).nothing
    with pytest.raises(
        SpecError, match=r"does not know who asks \(401\); the token of kubeflow.token_env \(OLD\)"
    ) as no:
        declare.look(at(token_env="OLD"))
    assert "sesame" not in str(no.value)
    with pytest.raises(SpecError, match=r"name a bearer token with kubeflow.token_env or kubeflow.token_file"):
        declare.look(at())
    with pytest.raises(SpecError, match=r"kubeflow.token_env: NOWHERE is not set"):
        declare.look(at(token_env="NOWHERE"))


def test_refusals_are_one_line_each(server: fake.Server, at: At) -> None:
    server.faults = [403]
    with pytest.raises(SpecError, match="does not allow it"):
        declare.look(at())
    server.multi_user = True
    with pytest.raises(SpecError, match="has many users; name the namespace"):
        declare.look(at())
    with pytest.raises(SpecError, match=r"kubeflow.namespace: 'teem' is not known"):
        declare.look(at(namespace="teem"))
    assert not declare.apply(at(namespace="team", recurring=[NIGHTLY])).nothing
    assert declare.look(at(namespace="team", recurring=[NIGHTLY])).nothing
    with pytest.raises(ServerError, match=r"health: http://127.0.0.1:9 does not answer \(.*refused.*\); correct"):
        declare.look(at(host="http://127.0.0.1:9"))


def test_the_stand_in_refuses_unknown_fields_and_wrong_types_and_reads_ir_as_the_message_it_is(
    server: fake.Server, at: At
) -> None:
    good = {"display_name": "x", "description": "y"}
    assert fake.checked(good, "V2beta1Experiment") == good
    for bad, words in (({"colour": "red"}, "unknown field"), ({"display_name": 3}, "wrong type")):
        with pytest.raises(fake.Refusal, match=words):
            fake.checked(good | bad, "V2beta1Experiment")
    with pytest.raises(fake.Refusal, match="invalid pipeline spec"):
        fake.parsed(b"pipelineInfo: {name: x}\ncolour: red\n")
    here = at()
    declare.apply(here)
    with client.connected(here) as api, pytest.raises(kfp_server_api.ApiException, match="unknown field"):
        api.kfp.experiments.experiment_service_create_experiment(experiment={"display_name": "z", "colour": "red"})


@pytest.mark.parametrize("verb", ["demo", "monitor"])
def test_verbs_of_this_machine_are_refused_in_one_line(at: At, verb: str, capsys: pytest.CaptureFixture[str],
                                                        monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    for name, value in CLUSTER.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as end:
        main([verb, str(SPEC), "--env", "cluster"])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"intentflow: {verb}: works on runs of this machine")
    assert said.count("\n") == 1


def test_apply_and_run_by_the_command_line_print_one_document(
    server: fake.Server, at: At, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    at(recurring=[NIGHTLY])
    for name, value in (CLUSTER | {"INTENTFLOW_STATE": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)
    arguments = [str(SPEC), "--env", str(tmp_path / "there.yaml"), "--json"]
    main(["apply", *arguments])
    assert not json.loads(capsys.readouterr().out)["kubeflow"]["nothing"]
    main(["plan", *arguments, "--refresh"])
    assert json.loads(capsys.readouterr().out)["kubeflow"]["nothing"]
    monkeypatch.setattr(submit, "EVERY_S", 0.01)
    main(["run", *arguments, "--no-wait"])
    said = capsys.readouterr()
    assert json.loads(said.out)["page"] == said.err.strip()
