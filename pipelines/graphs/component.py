"""Steps that need more than one component, as Kubeflow sees them: one import and one call each.

The first step is never cached. Its outputs are step_table.py's SLICES, in that order; the other steps read them one by
one, so that each is cached by its own.
"""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Dataset, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def admit(
    recommender: str,
    spec: dict,  # type: ignore[type-arg]
    mode: str = "",
    which: str = "",
    k: int = 0,
    note: str = "",
    sessions: bool = False,
    searches: bool = False,
    forecasts: bool = False,
    titles: bool = False,
    words: bool = False,
    retrains: bool = True,
) -> NamedTuple(  # type: ignore[valid-type]
    "Slices",
    [
        ("name", str),
        ("reading", str),
        ("data", str),
        ("source", str),
        ("split", str),
        ("profiles", str),
        ("vocabulary", str),
        ("intents", str),
        ("intent_model", str),
        ("session", str),
        ("forecast", str),
        ("ranking", str),
        ("ranking_rows", str),
        ("ranking_weeks", int),
        ("promotion", str),
        ("mode", str),
        ("refit", bool),
        ("why", str),
        ("serving", str),
        ("monitoring", str),
        ("policy", str),
        ("lineage", str),
        ("which", str),
        ("k", int),
        ("data_code", str),
        ("profiles_code", str),
        ("intent_code", str),
        ("session_code", str),
        ("forecast_code", str),
        ("ranking_code", str),
        ("registry_code", str),
        ("policy_code", str),
    ],
):
    """Check the form, and give each step its slice."""
    from pipelines.graphs import admission

    has = {"sessions": sessions, "searches": searches, "forecasts": forecasts, "titles": titles}
    has |= {"words": words, "retrains": retrains}
    return admission.admit(recommender, spec, mode=mode, which=which, k=k, note=note, **has)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def policy_log(policy: str, release: str, data: str, policy_rows: Output[Dataset]) -> None:
    """Join the answers in which something was explored with their rewards.

    Returns:
        policy_rows: Candidates, what was shown, how likely it was and what it brought; nobody by name.
    """
    from pipelines.graphs import policy_log

    policy_log.gather(policy, release, data=data, folder=policy_rows.path)
