"""Build, save and load the network of a ranker, whichever of components/ranking/models it is, or of a baseline.

Weights and the inputs' mean and scale live in one safetensors file; nothing here reads user rows.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file

from components import member_digests, served_form
from components.ranking import models, numpy_net
from components.ranking.baseline_net import BaselineNet, is_formula
from components.ranking.bundle import FOLDER, Bundle, Single
from components.ranking.ensemble import MEMBERS, Ensemble
from components.ranking.models.trees import Trees
from components.ranking.net import ScoringNet
from components.ranking.numpy_net import FILE, FORMS, NumpyNet

log = logging.getLogger("intentflow.ranking")


def build(architecture: str, n_features: int, *, width: int, dropout: float) -> ScoringNet:
    """Return an untrained network."""
    net = models.builder(architecture).build(n_features, width=width, dropout=dropout)
    net.architecture = architecture
    return net


def save(net: Single | Bundle, folder: Path) -> None:
    """Write the weights into an existing folder, and that it may be served in numpy where both forms agree.

    Each ranker of a bundle and each member of an ensemble has a folder of its own in it; where a single ranker has its
    weights these have the digests of theirs, since refits name a ranker by them.
    """
    if isinstance(net, NumpyNet):
        raise TypeError("ranking model: what was read is the served form; `load` reads what can be saved")
    if isinstance(net, Bundle | Ensemble):
        within = folder / (FOLDER if isinstance(net, Bundle) else MEMBERS)
        for name, one in net.nets.items():
            (within / name).mkdir(parents=True)
            save(one, within / name)
        member_digests.note(folder, within, net.nets)
        return
    if isinstance(net, Trees):
        net.save(folder)
        return
    if isinstance(net, BaselineNet):
        save_arrays({"mean": np.zeros(0, np.float32), "scale": np.ones(0, np.float32)}, folder / FILE)
    else:
        save_file({k: v.contiguous() for k, v in net.state_dict().items()}, folder / FILE)
    (folder / FILE).chmod(0o644)  # safetensors makes it the owner's own; another user may serve it
    if not isinstance(net, BaselineNet):
        _compare(net, folder)


def _compare(net: ScoringNet, folder: Path) -> None:
    if net.architecture not in FORMS:
        log.warning("ranking model: '%s' has no numpy form; torch serves it", net.architecture)
        return
    config = {name: getattr(net, name) for name in ("architecture", "n_features", "width", "dropout")}
    with torch.random.fork_rng(devices=[]):  # a network that is built draws its first weights
        trained = _loaded(folder, config)
    form = NumpyNet.load(folder, config)
    asked = numpy_net.drawn(form)
    served_form.note(folder / FILE, trained.score(asked), form.score(asked), what="ranking model")


def load(folder: Path, config: Mapping[str, Any]) -> Single:
    """Read what `save` wrote; `config` has n_features, width, dropout and, unless it is older, the architecture."""
    name = config.get("architecture", ScoringNet.architecture)
    if name == Ensemble.architecture:
        return Ensemble.read(folder, config, load)
    if name == Trees.architecture:
        return Trees.load(folder)
    return BaselineNet(name) if is_formula(name) else _loaded(folder, config)


def _loaded(folder: Path, config: Mapping[str, Any]) -> ScoringNet:
    net = build(
        config.get("architecture", ScoringNet.architecture),
        int(config["n_features"]),
        width=int(config["width"]),
        dropout=float(config["dropout"]),
    )
    net.load_state_dict(load_file(folder / FILE))
    net.eval()
    return net
