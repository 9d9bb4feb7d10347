"""What the server takes of the run form that a person fills: all defaults, some fields, none that it does not know."""

import json
from pathlib import Path

import kfp_server_api
import pytest
import yaml

from pipelines.graphs import index, kfp_pipeline
from pipelines.kubeflow import client
from tests import kubeflow_server as fake
from tests.pipelines.kubeflow import test_kubeflow as kubeflow
from tests.pipelines.kubeflow.test_kubeflow import At

# The fixtures of that file, by the names that tests ask for.
compiled_once, server, at = kubeflow.compiled_once, kubeflow.server, kubeflow.at


@pytest.mark.parametrize("pipeline", list(index.PIPELINES))
def test_a_person_starts_a_pipeline_with_its_defaults_and_by_an_uploaded_file(
    server: fake.Server, at: At, tmp_path: Path, pipeline: str
) -> None:
    here = at()
    kfp_pipeline.compile_ir(here.spec, tmp_path / "ir.yaml", pipeline=pipeline, kubeflow=here.environment.kubeflow)
    with client.connected(here) as api:
        made = api.kfp.upload_pipeline(str(tmp_path / "ir.yaml"), pipeline_name=f"by-hand-{pipeline}")
        (version,) = api.kfp.list_pipeline_versions(made.pipeline_id).pipeline_versions
        experiment = api.kfp.create_experiment("by hand").experiment_id
        where = {"pipeline_id": made.pipeline_id, "version_id": version.pipeline_version_id}
        assert api.kfp.run_pipeline(experiment, "defaults", **where).run_id
        typed = here.spec.model_dump(mode="json", exclude_none=True)
        assert api.kfp.run_pipeline(experiment, "typed", params={"spec": typed, "note": "why"}, **where).run_id
        for wrong, said in (({"spec": "text"}, "spec must be STRUCT"), ({"source": "x"}, "unknown")):
            with pytest.raises(kfp_server_api.ApiException, match=said):
                api.kfp.run_pipeline(experiment, "wrong", params=wrong, **where)


@pytest.mark.parametrize("pipeline", list(index.PIPELINES))
def test_a_field_without_a_default_must_be_filled_in_and_its_name_is_said(
    server: fake.Server, at: At, tmp_path: Path, pipeline: str
) -> None:
    here, ir = at(), tmp_path / "ir.yaml"
    kfp_pipeline.compile_ir(here.spec, ir, pipeline=pipeline, kubeflow=here.environment.kubeflow)
    values = index.PIPELINES[pipeline].form(here.spec)
    document, *platform = yaml.load_all(ir.read_text(), yaml.CSafeLoader)
    fields = document["root"]["inputDefinitions"]["parameters"]
    with client.connected(here) as api:
        experiment = api.kfp.create_experiment("by hand").experiment_id
        for name, value in values.items():
            bare = {key: fields[name][key] for key in ("parameterType", "description")}
            asked = {"inputDefinitions": {"parameters": fields | {name: bare}}}
            changed = document | {"root": document["root"] | asked}
            ir.write_text("\n---\n".join(json.dumps(one) for one in (changed, *platform)))
            made = api.kfp.upload_pipeline(str(ir), pipeline_name=f"{pipeline}-{name}")
            (version,) = api.kfp.list_pipeline_versions(made.pipeline_id).pipeline_versions
            where = {"pipeline_id": made.pipeline_id, "version_id": version.pipeline_version_id}
            with pytest.raises(kfp_server_api.ApiException, match=rf"missing \['{name}'\]"):
                api.kfp.run_pipeline(experiment, "defaults", **where)
            assert api.kfp.run_pipeline(experiment, "filled", params={name: value}, **where).run_id
