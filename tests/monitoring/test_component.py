"""The `watch` component: what a pipeline may give it and take from it."""

from monitoring.component import watch


def test_the_component_takes_rows_and_gives_a_verdict_a_page_and_metrics() -> None:
    spec = watch.component_spec
    assert {name: given.type for name, given in spec.inputs.items()} == {
        "name": "String",
        "monitoring": "String",
        "mode": "String",
        "release_version": "String",
        "rows": "system.Dataset@0.0.1",
        "clean": "system.Dataset@0.0.1",
        "tables": "system.Dataset@0.0.1",
    }
    assert {name: made.type for name, made in spec.outputs.items()} == {
        "verdict": "system.Dataset@0.0.1",
        "drift_page": "system.HTML@0.0.1",
        "drift_metrics": "system.Metrics@0.0.1",
    }
