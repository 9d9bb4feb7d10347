"""Where an encoder that a training begins with lies: checked before anything runs, and again where it is read.

Nothing here imports torch: `plan` and the first step of a run ask as well.
"""

from pathlib import Path

from components.intent.networks import NETWORKS
from components.intent.numpy_net import CONFIG, WEIGHTS
from components.intent.score import VOCABULARY
from feature_repo import files
from feature_repo.errors import DataError

PLACE = "models.intent.pretrain.source"


def located(source: str, base: Path) -> Path:
    """Return the model folder that a spec names, as `<folder>@<digest>`, relative to `base`.

    Raises DataError where it holds no network, or other weights than the digest is of.
    """
    name, _, digest = source.rpartition("@")
    folder = base / name
    if not all((folder / part).exists() for part in (WEIGHTS, CONFIG, VOCABULARY)):
        raise DataError(
            f"{PLACE}: {folder} holds no trained network; name the `intent` folder of a release (`intentflow release` "
            "fetches one), or drop source"
        )
    if files.read_json(folder / CONFIG).get("network", {}).get("architecture") not in NETWORKS:
        raise DataError(f"{PLACE}: {folder} holds trees or a rate, which have no encoder; name a network's folder")
    found = files.file_digest(folder / WEIGHTS)
    if found != digest:
        raise DataError(f"{PLACE}: {folder} is {found} now, not {digest}; write {name}@{found} to take it as it is")
    return folder
