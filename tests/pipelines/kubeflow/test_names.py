"""How versions and runs are called on the server, and the experiment in which people start one."""

import re
from pathlib import Path

import pytest
import yaml

from pipelines.graphs.index import PIPELINES
from pipelines.kubeflow import declare
from tests import kubeflow_server as fake
from tests.pipelines.kubeflow import test_kubeflow as kubeflow
from tests.pipelines.kubeflow.submitted import NIGHTLY, SPEC, actions, done, followed
from tests.pipelines.kubeflow.test_kubeflow import At

# The fixtures of that file, by the names that tests ask for.
compiled_once, server, at = kubeflow.compiled_once, kubeflow.server, kubeflow.at


def test_versions_and_runs_have_names_for_people_and_versions_are_found_by_their_digest(
    server: fake.Server, at: At, tmp_path: Path
) -> None:
    server.script = lambda run: [fake.Frame("SUCCEEDED", done(promote="SUCCEEDED"))]
    declare.apply(at())
    shown = {one["display_name"] for one in server.of("versions").values()}
    assert len(shown) == 1
    assert re.fullmatch(r"synthetic \d{4}-\d\d-\d\d \d\d:\d\d: first version", shown.pop())
    assert all(re.fullmatch("ir-[0-9a-f]{16}", one["name"]) for one in server.of("versions").values())
    document = yaml.safe_load(SPEC.read_text())
    psi = f"monitoring.psi {document['monitoring'].get('psi', 0.2)} → 0.35"
    document["monitoring"] = document["monitoring"] | {"psi": 0.35}
    (tmp_path / "changed.yaml").write_text(yaml.safe_dump(document))
    here = at(tmp_path / "changed.yaml")
    declare.apply(here)
    names = [one["display_name"] for one in server.of("versions").values()]
    assert len([name for name in names if name.endswith(psi)]) == len(PIPELINES)  # the form of each is the whole spec
    told = [one["description"] for one in server.of("versions").values()]
    assert any(words.startswith("Contract, profiles, models, gates, promotion, drift. New: ") for words in told)
    found, _, _ = followed(here)
    name = server.of("runs")[found.run_id]["display_name"]
    assert re.fullmatch(rf"synthetic train \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d [0-9a-f]{{6}}: {psi}", name)


def test_a_note_names_the_version_in_place_of_our_words(server: fake.Server, at: At) -> None:
    declare.apply(at(), note="colder\nstart" + " x" * 200)
    for one in server.of("versions").values():
        assert ": colder start x x" in one["display_name"]
        assert len(one["display_name"]) == 120


def test_apply_makes_the_experiment_and_says_where_a_person_starts_a_run_in_it(server: fake.Server, at: At) -> None:
    here = at(ui="https://people.example/pipeline")
    assert actions(declare.look(here))["synthetic"] == "create"
    assert not server.kept.get("experiments")
    found = declare.apply(here)
    (experiment,) = server.of("experiments").values()
    assert (experiment["display_name"], experiment["description"]) == ("synthetic", "Runs of the recommender synthetic")
    (version,) = [
        one
        for one in server.of("versions").values()
        if server.of("pipelines")[one["pipeline_id"]]["name"] == "synthetic-train"
    ]
    assert found.links["train"] == (
        f"https://people.example/pipeline/#/runs/new?experimentId={experiment['experiment_id']}"
        f"&pipelineId={version['pipeline_id']}&pipelineVersionId={version['pipeline_version_id']}"
    )
    assert f"start train in the UI: {found.links['train']}" in found.text()
    assert "start train" not in declare.look(here).text()


def test_the_longest_names_are_within_what_the_server_takes(server: fake.Server, at: At, tmp_path: Path) -> None:
    document = yaml.safe_load(SPEC.read_text()) | {"name": "r" * 40}
    (tmp_path / "long.yaml").write_text(yaml.safe_dump(document))
    nightly = NIGHTLY | {"name": "n" * 60}
    declare.apply(at(tmp_path / "long.yaml", recurring=[nightly]), note="x" * 400)
    (made,) = server.of("recurringruns").values()
    assert made["display_name"] == f"{'r' * 40}-{'n' * 60}"
    with pytest.raises(fake.Refusal, match=r"versions\.name length cannot exceed 127"):
        server.add("versions", "pipeline_version_id", {"name": "é" * 64, "display_name": "x"})
    with pytest.raises(fake.Refusal, match="Data too long for column 'description'"):
        server.add("runs", "run_id", {"display_name": "x", "description": "y" * 256})
