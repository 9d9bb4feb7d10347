"""The policy pipeline: what hangs behind what, what its form holds, what makes a step run again. No SDK."""

from pathlib import Path

import pytest

from feature_repo.errors import SpecError
from pipelines import spec as specs
from pipelines.graphs import index
from pipelines.graphs.parameters import spec_slices

GROCERY = Path("pipelines/specs/grocery.yaml")


def test_nothing_is_registered_but_behind_a_verdict() -> None:
    graph = index.pipeline("policy").graph()
    names = [node.step.name for node in graph.nodes]
    assert names == ["admit", "champion", "policy_log", "learn_policy", "register_policy", "promote", "outcome"]
    for node in graph.nodes:
        if node.step.name in ("register_policy", "promote"):
            assert "learn_policy" in {one.step.name for one in node.upstream}


def test_what_learns_runs_again_with_the_log_the_spec_and_the_code() -> None:
    reads = index.reads("policy")
    assert reads["policy_log"] == (("policy", "reading"), ("champion",))
    assert reads["learn_policy"] == (("policy", "mode", "policy_code"), ("policy_log",))
    assert reads["register_policy"][1] == ("champion", "learn_policy")


def test_the_form_names_the_release_that_gets_the_policy() -> None:
    spec = specs.load(GROCERY)
    chosen = index.pipeline("policy")
    assert chosen.fields == ("spec", "mode", "which", "note")
    assert chosen.values(spec, {})["which"] == "champion"
    with pytest.raises(SpecError, match=r"--k: intentflow-policy has no such field; have spec, mode, which, note"):
        chosen.changed({"k": 3})


def test_the_slice_is_empty_where_a_spec_has_no_policy() -> None:
    spec = specs.load(GROCERY)
    assert spec_slices(spec)["policy"] == ""
    document = spec.model_dump(mode="json", exclude_none=True) | {"policy": {"name": "softmax"}}
    found = spec_slices(specs.parse(document, place="a spec"))["policy"]
    assert '"name":"softmax"' in found
