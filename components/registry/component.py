"""The registry's steps as Kubeflow sees them: one import and one call each.

Neither may be cached: the pipeline calls `set_caching_options(False)` on both.
"""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Dataset, Input, Markdown, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def register(
    name: str,
    lineage: str,
    promotion: str,
    serving: str,
    clean: Input[Dataset],
    intent: Input[Model],
    intent_evaluation: Input[Dataset],
    ranker: Input[Model],
    ranking_evaluation: Input[Dataset],
    report: Output[Markdown],
) -> NamedTuple("Registered", [("release_version", str), ("passed", bool)]):  # type: ignore[valid-type]
    """Register both models, judge them by the gates and make their release."""
    from components.registry import steps

    return steps.register(
        name,
        folders=(clean.path, intent.path, intent_evaluation.path, ranker.path, ranking_evaluation.path),
        lineage=lineage,
        promotion=promotion,
        serving=serving,
        report=report.path,
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def promote(
    name: str,
    version: str,
    mode: str,
    why: str,
) -> NamedTuple("Promoted", [("champion", str), ("moved", bool)]):  # type: ignore[valid-type]
    """Make a release the champion where the spec leaves that to the pipeline."""
    from components.registry import steps

    return steps.promote(name, version, mode=mode, why=why)
