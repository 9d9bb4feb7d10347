"""Build, save and load the network of a ranker, whichever of components/ranking/models it is, or of a baseline.

Weights and the inputs' mean and scale live in one safetensors file; nothing here reads user rows.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from components.ranking import models
from components.ranking.baseline_net import BaselineNet
from components.ranking.baselines import FORMULAS
from components.ranking.net import ScoringNet

FILE = "weights.safetensors"


def build(architecture: str, n_features: int, *, width: int, dropout: float) -> ScoringNet:
    """Return an untrained network, or a baseline by its name."""
    if architecture in FORMULAS:
        return BaselineNet(architecture)
    net = models.builder(architecture).build(n_features, width=width, dropout=dropout)
    net.architecture = architecture
    return net


def save(net: ScoringNet, folder: Path) -> None:
    """Write the weights into an existing folder."""
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, folder / FILE)
    (folder / FILE).chmod(0o644)  # safetensors makes it the owner's own; another user may serve it


def load(folder: Path, config: Mapping[str, Any]) -> ScoringNet:
    """Read what `save` wrote; `config` has n_features, width, dropout and, unless it is older, the architecture."""
    net = build(
        config.get("architecture", ScoringNet.architecture),
        int(config["n_features"]),
        width=int(config["width"]),
        dropout=float(config["dropout"]),
    )
    net.load_state_dict(load_file(folder / FILE))
    net.eval()
    return net
