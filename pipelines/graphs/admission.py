"""The step `admit`: check what a person or the command line put into the run form, and give each step its slice.

It runs where the data and the code are, before anything else, and reads what a run alone knows: the state of the
source, and the digests of the code that the steps will run. A mistake is one line, the command line's own, within
seconds.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components import run_lock
from components.intent import onnx_int8
from components.intent.networks import TEXT
from components.intent.search.study import require_installed
from components.registry.spec import DRY_RUN, MODES
from components.step import step
from feature_repo import env_names, signing
from feature_repo.errors import SpecError, nearest
from feature_repo.privacy.pseudonyms import KEY, fingerprint, ring, weakness
from feature_repo.privacy.tombstones import Tombstones
from pipelines import environment
from pipelines import spec as specs
from pipelines.graphs import parameters
from pipelines.graphs.step_table import ADMIT, SLICES
from pipelines.spec import Recommender

PLACE = "spec"  # the form's field, as messages name it
LONGEST_NOTE = 160  # characters; the registry keeps 200 of why an alias moved
log = logging.getLogger("intentflow")


def admit(
    recommender: str,
    document: Any,
    *,
    mode: str,
    which: str,
    k: int,
    note: str,
    sessions: bool = True,
    searches: bool = True,
    forecasts: bool = True,
    titles: bool = True,
    words: bool = True,
    retrains: bool = True,
) -> tuple[Any, ...]:
    """Return the slices of a run, in the order of SLICES.

    `sessions`, `searches` and `forecasts`: the pipeline has the steps of a session model, of a search, of forecasts;
    `titles`: its intent model is trained after vectors were made; `words`: it judges prompts; `retrains`: it keeps what
    `monitoring.retrain` says, or trains without asking.
    """
    with step(ADMIT) as progress:
        progress.tell(mode=_asked(document, mode))  # also of a form that is refused, so that a dry run alerts nobody
        spec = admitted(document, recommender=recommender, mode=mode)
        if not which and spec.of_sessions and not sessions:
            raise SpecError(
                f"{PLACE}: intents.{spec.of_sessions[0].name}: horizon: session needs steps that this pipeline was not "
                "compiled with; declare the spec first, `intentflow apply`, or drop the intent"
            )
        if not which and spec.models.intent.search is not None:
            if not searches:
                raise SpecError(
                    f"{PLACE}: models.intent.search: needs a step that this pipeline was not compiled with; declare "
                    "the spec first, `intentflow apply`, or drop search"
                )
            require_installed()
        if not which and spec.models.intent.compress is not None and spec.models.intent.architecture == TEXT:
            onnx_int8.require_installed()
        if not which and spec.of_forecasts and not forecasts:
            one = spec.of_forecasts[0]
            raise SpecError(
                f"{PLACE}: intents.{one.name}: kind: {one.kind} needs steps that this pipeline was not compiled with; "
                "declare the spec first, `intentflow apply`, or drop the intent"
            )
        if not which and spec.models.intent.titles and not titles:
            raise SpecError(
                f"{PLACE}: models.intent.titles: needs vectors before it is trained, and this pipeline was compiled "
                "otherwise; declare the spec first, `intentflow apply`, or say titles: false"
            )
        if not which and spec.content.model is not None and not words:
            raise SpecError(
                f"{PLACE}: content.model: needs a step that judges its prompts, and this pipeline has none; "
                "declare the spec first, `intentflow apply`, or drop content.model"
            )
        if not which and spec.monitoring.retrain is not None and not retrains:
            raise SpecError(
                f"{PLACE}: monitoring.retrain: needs steps that this pipeline was not compiled with; declare the spec "
                "first, `intentflow apply`, or drop retrain"
            )
        if not which and spec.promotion.mode != DRY_RUN:  # else nothing is registered
            signing.require_signer(os.environ)  # before hours of training whose release would be refused
        require_fit_key(spec.name, os.environ)
        said = noted(note)
        if k < 0:
            raise SpecError(f"k: {k} is below 0; give the number of items for each user, or 0 for the spec's serving.k")
        run_lock.take(spec.name)
        base = Path(os.environ.get(env_names.SPEC_DIR, "."))
        if not which:
            parameters.require_encoder(spec, base)
        source = parameters.source_state(spec, base, _people())
        home = Path(os.environ[env_names.HOME]) if not which and os.environ.get(env_names.HOME) else None
        told = parameters.slices(spec, source=source, base=base, note=said, home=home, variables=_registry())
        found = told | {"which": which, "k": k}
        progress.count(spec=spec.digest, mode=spec.promotion.mode, source=source)
        progress.tell(note=said, mode=spec.promotion.mode)
    return tuple(found[name] for name in SLICES)


def admitted(document: Any, *, recommender: str, mode: str) -> Recommender:
    """Check a spec as the command line does, and that it is the pipeline's own; the form's mode goes before its own."""
    rest, moved = specs.split(restored(document))
    spec = specs.parse(rest, place=PLACE)
    environment.read_moved(moved, place=PLACE, environment="…")
    if spec.name != recommender:
        raise SpecError(
            f"{PLACE}: name: '{spec.name}' is another recommender than this pipeline's, '{recommender}'; start a "
            f"pipeline of '{spec.name}', or give the spec this name"
        )
    if mode and mode not in MODES:
        raise SpecError(f"mode: '{mode}' is not allowed; use {', '.join(MODES)}{nearest(mode, list(MODES))}")
    return spec.model_copy(
        update={"promotion": spec.promotion.model_copy(update={"mode": mode or spec.promotion.mode})}
    )


def require_fit_key(recommender: str, variables: Mapping[str, str]) -> None:
    """Refuse a key of pseudonyms that can be guessed where nobody has a name under it yet; else say it in the log.

    A recommender with a release goes on under its key: `doctor --security` names it, and docs/privacy.md changes it.
    """
    weak = weakness(variables.get(KEY, "").strip())
    if not variables.get(KEY) or not weak:
        return
    from components.registry.client import connected, registered_model, unmade
    from components.registry.release import model_name

    if unmade():
        released = None
    else:
        with connected() as client:
            released = registered_model(client, model_name(recommender))
    mend = "whoever has the data could guess it, and with it who everybody is"
    if released is None:
        raise SpecError(f"{KEY}: {weak}: {mend}; before the first run, give a key as `openssl rand -hex 32` prints")
    log.warning(f"{KEY}: {weak}: {mend}; change it as docs/privacy.md says (a previous key, a run, `rotate`)")


def _asked(document: Any, mode: str) -> Any:
    """Return the mode that an unchecked form asks for."""
    promotion = document.get("promotion") if isinstance(document, dict) else None
    return mode or (promotion.get("mode", "") if isinstance(promotion, dict) else "")


def restored(value: Any) -> Any:
    """Return a document with its whole numbers as they were: Kubeflow's API makes floats of them, 7 becomes 7.0.

    >>> restored({"k": 7.0, "limits": [0.5, 2.0], "on": True})
    {'k': 7, 'limits': [0.5, 2], 'on': True}
    """
    if isinstance(value, dict):
        return {key: restored(one) for key, one in value.items()}
    if isinstance(value, list):
        return [restored(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def noted(note: str) -> str:
    """Return a note in one line; one that the registry could not keep is refused."""
    said = " ".join(note.split())
    if len(said) > LONGEST_NOTE:
        raise SpecError(f"note: has {len(said)} characters; at most {LONGEST_NOTE} are kept")
    return said


def _registry() -> dict[str, str]:
    """Say where MLflow is."""
    return {name: value for name in ("MLFLOW_TRACKING_URI",) if (value := os.environ.get(name, ""))}


def _people() -> dict[str, str]:
    """Name what decides under which names people are in the data, and who must not be."""
    if not os.environ.get(KEY):
        return {}
    keys, home = ring(os.environ), Path(os.environ.get(env_names.HOME, "."))
    forgotten = Tombstones(home, keys, elsewhere=os.environ.get(env_names.FORGOTTEN, ""))
    found = {"key": fingerprint(keys[0]), "forgotten": forgotten.digest}
    return {name: value for name, value in found.items() if value}
