"""Where an encoder that a training begins with lies: checked before anything runs, and again where it is read.

Nothing here imports torch: `plan` and the first step of a run ask as well.
"""

import os
from pathlib import Path

from components.intent.networks import NETWORKS
from components.intent.numpy_net import CONFIG, WEIGHTS
from components.intent.score import VOCABULARY
from feature_repo import env_names, files
from feature_repo.errors import DataError

PLACE = "models.intent.pretrain.source"
HERE = "home:"  # before a folder that lies below the recommender's state folder: one that a run fetched


def located(source: str, base: Path) -> Path:
    """Return the model folder that a spec names, as `<folder>@<digest>`, relative to `base`, or to the state folder.

    Raises DataError where it holds no network, or other weights than the digest is of.
    """
    name, _, digest = source.rpartition("@")
    fetched = name.startswith(HERE)
    folder = Path(os.environ.get(env_names.HOME, ".")) / name.removeprefix(HERE) if fetched else base / name
    if not all((folder / part).exists() for part in (WEIGHTS, CONFIG, VOCABULARY)):
        if fetched:
            raise DataError(
                f"{PLACE}: {folder}, which this run's first step fetched, is not here; steps must share the state "
                "folder (kubeflow.claim), or bring the encoder's folder beside the spec, as ./shop/intent@<digest>"
            )
        raise DataError(
            f"{PLACE}: {folder} holds no trained network; name the `intent` folder of a release (`intentflow release` "
            "fetches one), or drop source"
        )
    if files.read_json(folder / CONFIG).get("network", {}).get("architecture") not in NETWORKS:
        raise DataError(
            f"{PLACE}: {folder} holds trees, a rate or an ensemble, which have no one encoder; name a network's folder"
        )
    found = files.file_digest(folder / WEIGHTS)
    if found != digest:
        raise DataError(f"{PLACE}: {folder} is {found} now, not {digest}; write {name}@{found} to take it as it is")
    return folder
