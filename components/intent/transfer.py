"""Begin with the encoder of another recommender's network: what its users' steps taught, carried by names of targets.

Two recommenders have different targets, so the first layer's columns, one a target, cannot be copied. Each target gets
the mean of the other's columns, weighted by how alike their names are: cosines of hashed character n-grams, which need
no language and no download. The layers behind do not know targets and are copied as they are; the rest of the network
begins as ever.

Letters: C targets, S targets of the source, D width.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from components.compression import OTHER
from components.intent import model
from components.intent.model import IntentNet
from components.intent.score import VOCABULARY
from components.intent.shape import Shape
from components.intent.transfer_source import PLACE, located
from feature_repo import env_names
from feature_repo.errors import DataError
from feature_repo.vocabulary import Vocabulary

SHARP = 3  # power of the cosine that a column weighs
ALIKE = 0.3  # cosine below which a name is like none
BUCKETS = 2048
COPIED = ("architecture", "width", "layers", "weeks")


def begin(net: IntentNet, vocabulary: Vocabulary, source: str) -> dict[str, Any]:
    """Give `net.weeks` the weights of the model folder that a spec names; return what was carried."""
    folder, vocabulary_of = _opened(source)
    with torch.random.fork_rng(devices=[]):  # a network that is built draws its first weights
        theirs = model.load(folder)
    require_alike(net.shape, theirs.shape, source)
    similar = similarity(vocabulary, vocabulary_of)  # [C, S]
    weights = weighed(similar)
    token = theirs.weeks.token.weight.detach().numpy()  # [D, S + 2]
    columns = np.concatenate([token[:, :-2] @ weights.T, token[:, -2:]], axis=1)  # [D, C + 2]
    state = {name: value for name, value in theirs.weeks.state_dict().items() if name != "token.weight"}
    net.weeks.load_state_dict(state | {"token.weight": torch.from_numpy(columns)})
    return {"source": source, "targets": len(similar), "alike": int((similar.max(axis=1) >= ALIKE).sum())}


def _opened(source: str) -> tuple[Path, Vocabulary]:
    folder = located(source, Path(os.environ.get(env_names.SPEC_DIR, ".")))
    return folder, Vocabulary.load(folder / VOCABULARY)


def require_alike(mine: Shape, theirs: Shape, source: str) -> None:
    """Refuse an encoder that reads events, that is pruned, or of other sizes, naming the first that differs."""
    if theirs.events is not None:
        raise DataError(
            f"{PLACE}: {source} reads events, and what is carried is an encoder of steps; name a network with reads: "
            "steps, or drop source"
        )
    if theirs.inner_units is not None:
        raise DataError(
            f"{PLACE}: {source} is pruned, and its encoder is smaller than this model's; name the full network, which "
            f"its folder {OTHER} holds, or drop source"
        )
    for name in COPIED:
        if (here := getattr(mine, name)) != (there := getattr(theirs, name)):
            fix = f"use {name}: {there}" if name != "weeks" else "use the same data.step"
            called = "steps of the sequence" if name == "weeks" else name
            raise DataError(f"{PLACE}: {source} has {called} {there}, and this model {here}; {fix}, or drop source")


def similarity(mine: Vocabulary, theirs: Vocabulary) -> np.ndarray:
    """Return the cosines of targets' names, float64 [C, S]; targets without a value are like those without one."""
    from sklearn.feature_extraction.text import HashingVectorizer

    counts = HashingVectorizer(n_features=BUCKETS, analyzer="char_wb", ngram_range=(3, 5), norm="l2")
    here, there = ([target.value or "" for target in one.targets] for one in (mine, theirs))
    cosines = (counts.transform(here) @ counts.transform(there).T).toarray()  # [C, S]
    bare_pairs = np.outer([not value for value in here], [not value for value in there])
    return np.asarray(np.where(bare_pairs, 1.0, np.clip(cosines, 0, 1)))


def weighed(similar: np.ndarray) -> np.ndarray:
    """Return what each of the source's columns counts for each target, rows that add up to 1, [C, S].

    A name that is like none gets the mean of all.

    >>> weighed(np.array([[1.0, 0.0], [0.5, 0.5], [0.1, 0.2]])).tolist()
    [[1.0, 0.0], [0.5, 0.5], [0.5, 0.5]]
    """
    strength = np.where(similar.max(axis=1, keepdims=True) < ALIKE, 1.0, similar**SHARP)
    return np.asarray(strength / strength.sum(axis=1, keepdims=True))
