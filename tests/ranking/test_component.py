"""The shells as Kubeflow compiles them. The whole pipeline runs in tests/pipelines."""

import pytest


@pytest.mark.parametrize(
    ("name", "inputs", "outputs"),
    [
        ("train_ranking", {"ranking", "code", "rows", "intent"}, {"ranker", "ranking_curves"}),
        (
            "evaluate_ranking",
            {"ranking", "code", "rows", "intent", "ranker"},
            {"ranking_evaluation", "ranking_metrics", "ranking_card"},
        ),
    ],
)
def test_a_step_takes_and_gives_what_the_pipeline_connects(name: str, inputs: set[str], outputs: set[str]) -> None:
    from components.ranking import component

    spec = getattr(component, name).component_spec
    assert set(spec.inputs) == inputs
    assert set(spec.outputs) == outputs
