"""A BERT encoder in numpy: what serves a text model, equal to torch's within 1e-5 and without torch.

Adapters that can be merged into the layers were merged when the model was saved; a prefix and bottlenecks are computed
here. A user's tokens change with an event or with days, so what was read lately is kept by its tokens.

Letters: B texts, L tokens, H width, A heads, P tokens of a prefix.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import erf

from components.intent.numpy_encoders import linear, mapped, normed

AT_ONCE = 16  # texts that are computed together: bounds memory, and stays in the cache
KEPT = 4096  # vectors of texts that were read lately
FAR = np.float32(-1e9)  # added to the scores of what fills up: e to this power is 0


@dataclass(frozen=True)
class NumpyBert:
    """Tokens to vectors: the mean of the last layer over a text's tokens."""

    text: Mapping[str, Any]  # of the model's shape
    weights: Mapping[str, np.ndarray]  # by the names of `transformers`
    _layers: list[dict[str, tuple[np.ndarray, np.ndarray]]] = field(repr=False)
    _kept: "OrderedDict[bytes, np.ndarray]" = field(default_factory=OrderedDict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def of(cls, text: Mapping[str, Any], weights: Mapping[str, np.ndarray]) -> "NumpyBert":
        """Return the encoder of weights by name."""
        return cls(text, weights, layers_of(text, weights))

    def vectors(self, tokens: np.ndarray) -> np.ndarray:
        """Return the vectors of texts, float32 [B, H], from their tokens [B, L]."""
        keys = [row.tobytes() for row in np.ascontiguousarray(tokens, dtype=np.int32)]
        with self._lock:
            found = {key: self._kept[key] for key in set(keys) & self._kept.keys()}
            for key in found:
                self._kept.move_to_end(key)
        missing = [row for row, key in enumerate(keys) if key not in found]
        missing = list({keys[row]: row for row in missing}.values())
        length = (tokens != self._pad).sum(axis=1)
        missing.sort(key=lambda row: int(length[row]))  # texts of a like length are filled up least
        for start in range(0, len(missing), AT_ONCE):
            some = missing[start : start + AT_ONCE]
            made = self.computed(tokens[some, : max(int(length[some].max()), 1)])
            found |= {keys[row]: vector for row, vector in zip(some, made, strict=True)}
        with self._lock:
            self._kept.update((keys[row], found[keys[row]]) for row in missing)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return np.stack([found[key] for key in keys]) if keys else np.zeros((0, self._width), np.float32)

    def forget(self) -> None:
        """Let go of all vectors that were kept: what reading costs is measured of texts that are new."""
        with self._lock:
            self._kept.clear()

    def computed(self, tokens: np.ndarray) -> np.ndarray:
        """Compute the vectors of texts, float32 [B, H]; tokens [B, L] are filled up at the right."""
        keep = tokens != self._pad  # [B, L]
        B, L = tokens.shape
        h = self._embedded(tokens)  # [B, L, H]
        bias = np.where(keep, np.float32(0), FAR)[:, None, None, :] if not keep.all() else None  # [B, 1, 1, L]
        heads = int(self.text["bert"]["num_attention_heads"])
        for number, layer in enumerate(self._layers):
            q, k, v = (_heads(one, heads) for one in np.split(mapped(h, layer["qkv"]), 3, axis=2))  # [B, A, L, H / A]
            if "prefix" in self.weights:
                before = np.broadcast_to(
                    self.weights["prefix"][number][:, None], (2, B, *self._prefix)
                )  # [2, B, A, P, d]
                k, v = np.concatenate([before[0], k], axis=2), np.concatenate([before[1], v], axis=2)
            scores = q @ k.transpose(0, 1, 3, 2)  # [B, A, L, P + L]
            scores *= np.float32(1 / np.sqrt(q.shape[3]))
            if bias is not None:
                scores[..., k.shape[2] - L :] += bias
            scores -= scores.max(axis=3, keepdims=True)
            np.exp(scores, out=scores)
            scores /= scores.sum(axis=3, keepdims=True)
            mixed = (scores @ v).transpose(0, 2, 1, 3).reshape(B, L, -1)  # [B, L, H]
            h = self._normed(h + mapped(mixed, layer["mixed"]), f"encoder.layer.{number}.attention.output")
            out = mapped(self._activated(mapped(h, layer["inner"])), layer["out"])
            if "down" in layer:
                out = out + mapped(np.maximum(mapped(out, layer["down"]), 0), layer["up"])
            h = self._normed(h + out, f"encoder.layer.{number}.output")
        kept = keep[:, :, None].astype(np.float32)
        summed: np.ndarray = (h * kept).sum(axis=1) / np.maximum(kept.sum(axis=1), 1)
        return summed.astype(np.float32, copy=False)

    @property
    def _pad(self) -> int:
        return int(self.text["bert"]["pad_token_id"])

    @property
    def _width(self) -> int:
        return int(self.text["bert"]["hidden_size"])

    @property
    def _prefix(self) -> tuple[int, ...]:
        return tuple(self.weights["prefix"].shape[2:])  # A, P, H / A

    def _embedded(self, tokens: np.ndarray) -> np.ndarray:
        w, bert = self.weights, self.text["bert"]
        first = 0 if bert["model_type"] == "bert" else self._pad + 1
        first += self._prefix[1] if "prefix" in w else 0
        place = w["embeddings.position_embeddings.weight"][first : first + tokens.shape[1]]
        h = w["embeddings.word_embeddings.weight"][tokens] + place + w["embeddings.token_type_embeddings.weight"][0]
        return self._normed(h, "embeddings")

    def _normed(self, h: np.ndarray, name: str) -> np.ndarray:
        w, epsilon = self.weights, np.float32(self.text["bert"]["layer_norm_eps"])
        return normed(h, w[f"{name}.LayerNorm.weight"], w[f"{name}.LayerNorm.bias"], epsilon)

    def _activated(self, h: np.ndarray) -> np.ndarray:
        if self.text["bert"]["hidden_act"] == "relu":
            return np.asarray(np.maximum(h, 0))
        return np.asarray(h * (erf(h * np.float32(np.sqrt(0.5))) + np.float32(1)) * np.float32(0.5))


def layers_of(
    text: Mapping[str, Any], weights: Mapping[str, np.ndarray]
) -> list[dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Return the maps of each layer, as matrix and bias."""
    return [_layer(weights, f"encoder.layer.{i}.") for i in range(int(text["bert"]["num_hidden_layers"]))]


def _layer(weights: Mapping[str, np.ndarray], at: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the maps of a layer, each turned once: as matrix and bias."""
    parts = [linear(weights, f"{at}attention.self.{name}") for name in ("query", "key", "value")]
    found = {
        "qkv": (
            np.ascontiguousarray(np.concatenate([m for m, _ in parts], axis=1)),
            np.concatenate([b for _, b in parts]),
        ),
        "mixed": linear(weights, f"{at}attention.output.dense"),
        "inner": linear(weights, f"{at}intermediate.dense"),
    }
    if f"{at}output.dense.down.weight" not in weights:
        return found | {"out": linear(weights, f"{at}output.dense")}
    return found | {
        "out": linear(weights, f"{at}output.dense.inner"),
        "down": linear(weights, f"{at}output.dense.down"),
        "up": linear(weights, f"{at}output.dense.up"),
    }


def _heads(x: np.ndarray, heads: int) -> np.ndarray:
    """Part vectors [B, L, H] among heads, [B, A, L, H / A]."""
    B, L, H = x.shape
    return x.reshape(B, L, heads, H // heads).transpose(0, 2, 1, 3)
