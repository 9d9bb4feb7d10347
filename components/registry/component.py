"""The registry's steps as Kubeflow sees them: one import and one call each.

None but `fetch_release` may be cached, whose `release` is a digest of what it fetches. The verdict of `register` is its
one returned value (`outputs["Output"]`), since kfp's local runner takes a condition on any output of another name for
false.
"""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Dataset, Input, Markdown, Metrics, Model, Output, OutputPath

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def register(
    name: str,
    lineage: str,
    promotion: str,
    serving: str,
    mode: str,
    clean: Input[Dataset],
    intent: Input[Model],
    intent_evaluation: Input[Dataset],
    ranker: Input[Model],
    ranking_evaluation: Input[Dataset],
    champion_intent: Input[Dataset],
    champion_ranking: Input[Dataset],
    gates_report: Output[Markdown],
    gate_metrics: Output[Metrics],
    release_version: OutputPath(str),  # type: ignore[valid-type]
    session: Input[Model] = None,  # only where the spec has intents of a visit
    search: Input[Dataset] = None,  # only where it has a search for settings
    forecasts: Input[Model] = None,  # only where it has intents of kind regression or multiclass
    words: Input[Dataset] = None,  # only where a language model writes its texts
) -> bool:
    """Register both models, judge them by the gates and make their release; tell whether every gate passed.

    Returns:
        gates_report: Passed, refused or undecided, and every gate with its value, its limit, its interval and why.
        gate_metrics: Gates judged, refused and undecided, and what serving costs, named as gates name it.
        release_version: Version of the release; empty in a dry run.
    """
    from components.registry import steps

    return steps.register(
        name,
        folders=(
            *(clean.path, intent.path, intent_evaluation.path, ranker.path, ranking_evaluation.path),
            *([session.path] if session else []),
        ),
        forecasts=forecasts.path if forecasts else "",
        lineage=lineage,
        promotion=promotion,
        serving=serving,
        mode=mode,
        search=search.path if search else "",
        words=words.path if words else "",
        champion_folders=(champion_intent.path, champion_ranking.path),
        report=gates_report.path,
        log_metric=gate_metrics.log_metric,
        release_version=release_version,
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def fetch_twin(name: str, clean: Input[Dataset], twin: Output[Model]) -> None:
    """Fetch the release that the champion was judged as.

    Returns:
        twin: The judged release's folder; empty where there is none to score on these rows, and why.
    """
    from components.registry import steps

    steps.fetch_twin(name, clean=clean.path, folder=twin.path)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def register_refit(
    name: str,
    version: str,
    lineage: str,
    serving: str,
    clean: Input[Dataset],
    refitted_intent: Input[Model],
    intent_evaluation: Input[Dataset],
    refitted_ranker: Input[Model],
    ranking_evaluation: Input[Dataset],
    session: Input[Model] = None,
    forecasts: Input[Model] = None,
) -> str:
    """Register the refit of a judged release; return its version, or the judged one's where none was asked for."""
    from components.registry import steps

    return steps.register_refit(
        name,
        version,
        folders=(
            clean.path,
            refitted_intent.path,
            intent_evaluation.path,
            refitted_ranker.path,
            ranking_evaluation.path,
            *([session.path] if session else []),
        ),
        forecasts=forecasts.path if forecasts else "",
        lineage=lineage,
        serving=serving,
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def promote(name: str, version: str, mode: str, why: str) -> str:
    """Make a release the champion where the spec leaves that to the pipeline; return the champion's version."""
    from components.registry import steps

    return steps.promote(name, version, mode=mode, why=why)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def register_policy(name: str, version: str, release: str, learned_policy: Input[Model]) -> str:
    """Make the release of a version's models with a policy that passed its gate; return its version."""
    from components.registry import policy_release

    return policy_release.register_policy(name, version, release=release, folder=learned_policy.path)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def need_baseline(
    name: str,
    version: str,
    intent_evaluation: Input[Dataset],
    ranking_evaluation: Input[Dataset],
    baselines: OutputPath(str),  # type: ignore[valid-type]
) -> bool:
    """Tell whether a baseline may serve instead of a version that was held back: where there is no champion.

    Returns:
        baselines: The baseline by part, JSON; a part whose own gates passed is not there.
    """
    from components.registry import baseline_steps

    evaluations = (intent_evaluation.path, ranking_evaluation.path)
    return baseline_steps.need_baseline(name, version, evaluations=evaluations, baselines_file=baselines)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def register_baseline(
    name: str,
    lineage: str,
    serving: str,
    candidate: str,
    baselines: str,
    why: str,
    clean: Input[Dataset],
    intent: Input[Model],
    intent_evaluation: Input[Dataset],
    ranker: Input[Model],
    ranking_evaluation: Input[Dataset],
    baseline_report: Output[Markdown],
    baseline_version: OutputPath(str),  # type: ignore[valid-type]
    session: Input[Model] = None,
    forecasts: Input[Model] = None,
) -> str:
    """Register the baselines as a release that may serve; return why, for the registry's record.

    Returns:
        baseline_report: What serves, and instead of which release.
        baseline_version: Version of the baseline's release.
    """
    from components.registry import baseline_steps

    return baseline_steps.register_baseline(
        name,
        candidate=candidate,
        replaced=baselines,
        folders=(
            *(clean.path, intent.path, intent_evaluation.path, ranker.path, ranking_evaluation.path),
            *([session.path] if session else []),
        ),
        forecasts=forecasts.path if forecasts else "",
        lineage=lineage,
        serving=serving,
        why=why,
        report=baseline_report.path,
        release_version=baseline_version,
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def champion(name: str, which: str) -> NamedTuple("Chosen", [("version", str), ("release", str), ("now", str)]):  # type: ignore[valid-type]
    """Name the release that an alias or version means now, and the time that users are asked about."""
    from components.registry import steps

    return steps.chosen(name, which)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def fetch_release(name: str, version: str, release: str, code: str, folder: Output[Model]) -> None:
    """Assemble a release's folder from the registry, whole and verified.

    Returns:
        folder: Both models with all that serving them needs.
    """
    from components.registry import steps

    steps.fetch_release(name, version, release=release, folder=folder.path)
