"""The encoders of weeks or events in numpy: what components/intent/networks has, from its saved weights, to serve.

An encoder takes the weights by name, once, and returns a function from tokens [B, T, D] to [B, T, D] without torch; of
events a mask [B, T] tells which are there, None: all. Dropout is none here: nothing is trained. `numpy_net.py` proves
each saved network equal to the trained one.

Letters: B users, T weeks, D width, H heads.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
from scipy.special import erf, expit

from components.intent.shape import Shape

Weights = Mapping[str, np.ndarray]
Whole = Callable[[np.ndarray], np.ndarray]
Linear = tuple[np.ndarray, np.ndarray]  # [in, out] and [out]
BERT_EPSILON, ROOT_HALF = np.float32(1e-12), np.float32(np.sqrt(0.5))
LOWEST = np.finfo(np.float32).min


class Encoder(Protocol):
    """What stands between the tokens of a user and their sum."""

    def __call__(self, x: np.ndarray, there: np.ndarray | None = None) -> np.ndarray:
        """Map tokens [B, T, D] to [B, T, D]; `there` [B, T] marks those that are no padding, None: all."""


def linear(weights: Weights, name: str) -> Linear:
    """Return a linear layer's matrix, turned so that rows of inputs stand before it, and its bias."""
    return np.ascontiguousarray(weights[f"{name}.weight"].T), weights[f"{name}.bias"]


def mapped(x: np.ndarray, map_: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Map [..., I] by a matrix and a bias, [..., O]."""
    return np.asarray(x @ map_[0] + map_[1])


def normed(x: np.ndarray, gain: np.ndarray, bias: np.ndarray, epsilon: np.float32) -> np.ndarray:
    """Return layer-normalised vectors [..., D].

    >>> normed(np.array([1.0, 3.0]), np.ones(2), np.zeros(2), np.float32(0.0)).tolist()
    [-1.0, 1.0]
    """
    width = x.shape[-1]
    away = x - np.add.reduce(x, axis=-1, keepdims=True) / width
    variance = np.vecdot(away, away)[..., None]
    variance /= width
    variance += epsilon
    away /= np.sqrt(variance)
    away *= gain
    away += bias
    return np.asarray(away)


def _from_left(encode: Whole) -> Encoder:
    """Return an encoder that reads rows from the left end, so that it meets padding after all else."""

    def turned(x: np.ndarray, there: np.ndarray | None = None) -> np.ndarray:
        if there is None:
            return encode(x)
        n = there.sum(axis=1)
        return _turned(encode(_turned(x, x.shape[1] - n)), n)

    return turned


def _turned(x: np.ndarray, by: np.ndarray) -> np.ndarray:
    places = (np.arange(x.shape[1])[None] + by[:, None]) % x.shape[1]  # [B, T]
    return np.take_along_axis(x, places[:, :, None], axis=1)


def cnn(shape: Shape, weights: Weights) -> Encoder:
    """Return the dilated convolutions: each is one product with the weeks before, at and after, side by side."""
    layers = []
    for i in range(min(shape.layers, 4)):
        kernel = weights[f"layers.{i}.weight"]  # [D, D, 3]: out, in, week
        layers.append((np.ascontiguousarray(kernel.transpose(2, 1, 0)).reshape(-1, shape.width), 2**i, f"layers.{i}"))

    def encode(x: np.ndarray, there: np.ndarray | None = None) -> np.ndarray:
        B, T, D = x.shape
        for matrix, reach, name in layers:
            padded = np.zeros((B, T + 2 * reach, D), dtype=x.dtype)
            padded[:, reach : reach + T] = x if there is None else x * there[:, :, None]
            near = np.concatenate([padded[:, k * reach : k * reach + T] for k in range(3)], axis=2)  # [B, T, 3 D]
            x = x + np.maximum(near @ matrix + weights[f"{name}.bias"], 0)
        return x

    return encode


def lstm(shape: Shape, weights: Weights) -> Encoder:
    """Return the LSTM: gates in torch's order (input, forget, cell, output), the oldest week first."""
    layers = [
        (
            np.ascontiguousarray(weights[f"lstm.weight_ih_l{i}"].T),
            np.ascontiguousarray(weights[f"lstm.weight_hh_l{i}"].T),
            weights[f"lstm.bias_ih_l{i}"] + weights[f"lstm.bias_hh_l{i}"],
        )
        for i in range(shape.layers)
    ]

    def encode(x: np.ndarray) -> np.ndarray:
        B, T, D = x.shape
        for of_input, of_state, bias in layers:
            given = x @ of_input + bias  # [B, T, 4 D]
            hidden, cell = np.zeros((2, B, D), dtype=x.dtype)
            x = np.empty((B, T, D), dtype=x.dtype)
            for t in range(T):
                gates = given[:, t] + hidden @ of_state  # [B, 4 D]
                opened = expit(gates)  # of the cell's part too, which costs less than to cut it out
                cell = opened[:, D : 2 * D] * cell + opened[:, :D] * np.tanh(gates[:, 2 * D : 3 * D])
                hidden = x[:, t] = opened[:, 3 * D :] * np.tanh(cell)
        return x

    return _from_left(encode)


def gru(shape: Shape, weights: Weights) -> Encoder:
    """Return the GRU; torch's gates are, in this order, reset, update and new, and reset meets the state's bias too."""
    layers = [
        (
            np.ascontiguousarray(weights[f"gru.weight_ih_l{i}"].T),
            np.ascontiguousarray(weights[f"gru.weight_hh_l{i}"].T),
            weights[f"gru.bias_ih_l{i}"],
            weights[f"gru.bias_hh_l{i}"],
        )
        for i in range(shape.layers)
    ]

    def encode(x: np.ndarray) -> np.ndarray:
        B, T, D = x.shape
        for of_input, of_state, input_bias, state_bias in layers:
            given = x @ of_input + input_bias  # [B, T, 3 D]
            hidden = np.zeros((B, D), dtype=x.dtype)
            x = np.empty((B, T, D), dtype=x.dtype)
            for t in range(T):
                held = hidden @ of_state + state_bias  # [B, 3 D]
                opened = expit(given[:, t, : 2 * D] + held[:, : 2 * D])
                update = opened[:, D:]
                new = np.tanh(given[:, t, 2 * D :] + opened[:, :D] * held[:, 2 * D :])
                hidden = x[:, t] = new + update * (hidden - new)
        return x

    return _from_left(encode)


def rnn(shape: Shape, weights: Weights) -> Encoder:
    """Return the recurrent network without gates."""
    layers = [
        (
            np.ascontiguousarray(weights[f"rnn.weight_ih_l{i}"].T),
            np.ascontiguousarray(weights[f"rnn.weight_hh_l{i}"].T),
            weights[f"rnn.bias_ih_l{i}"] + weights[f"rnn.bias_hh_l{i}"],
        )
        for i in range(shape.layers)
    ]

    def encode(x: np.ndarray) -> np.ndarray:
        B, T, D = x.shape
        for of_input, of_state, bias in layers:
            given = x @ of_input + bias  # [B, T, D]
            hidden = np.zeros((B, D), dtype=x.dtype)
            x = np.empty((B, T, D), dtype=x.dtype)
            for t in range(T):
                hidden = x[:, t] = np.tanh(given[:, t] + hidden @ of_state)
        return x

    return _from_left(encode)


def transformer(shape: Shape, weights: Weights) -> Encoder:
    """Return the small BERT: attention is over all weeks, or all events that are there."""
    table = "bert.embeddings"
    place = weights[f"{table}.position_embeddings.weight"] + weights[f"{table}.token_type_embeddings.weight"][0]
    blocks = [_block(shape, weights, f"bert.encoder.layer.{i}") for i in range(shape.layers)]

    def encode(x: np.ndarray, there: np.ndarray | None = None) -> np.ndarray:
        of = place[: x.shape[1]] if there is None else place[: x.shape[1]][::-1]  # events by how many came after
        x = _norm(weights, f"{table}.LayerNorm", x + of)
        for block in blocks:
            x = block(x, there)
        return x

    return encode


def _block(shape: Shape, weights: Weights, name: str) -> Encoder:
    """Return one layer of BERT: attention, then a perceptron, each around a residual path."""
    H, width = shape.heads, shape.width
    parts = [linear(weights, f"{name}.attention.self.{part}") for part in ("query", "key", "value")]
    asked, about = np.concatenate([m for m, _ in parts], axis=1), np.concatenate([b for _, b in parts])  # [D, 3 D]
    joined, joined_bias = linear(weights, f"{name}.attention.output.dense")
    wide, wide_bias = linear(weights, f"{name}.intermediate.dense")
    narrow, narrow_bias = linear(weights, f"{name}.output.dense")
    after_attention, after_all = (
        (weights[f"{name}.{part}.LayerNorm.weight"], weights[f"{name}.{part}.LayerNorm.bias"])
        for part in ("attention.output", "output")
    )
    scale = np.float32(1 / np.sqrt(width / H))

    def encode(x: np.ndarray, there: np.ndarray | None = None) -> np.ndarray:
        B, T, D = x.shape
        parts = x @ asked
        parts += about
        query, key, value = parts.reshape(B, T, 3, H, D // H).transpose(2, 0, 3, 1, 4)  # [B, H, T, D / H]
        looks = query @ key.swapaxes(2, 3)  # [B, H, T, T]
        looks *= scale
        if there is not None:
            looks = np.where(there[:, None, None], looks, LOWEST)
        looks -= np.maximum.reduce(looks, axis=3, keepdims=True)
        np.exp(looks, out=looks)
        looks /= np.add.reduce(looks, axis=3, keepdims=True)
        seen = looks @ value  # [B, H, T, D / H]
        seen = seen.transpose(0, 2, 1, 3).reshape(B, T, D) @ joined
        seen += joined_bias
        seen += x
        x = normed(seen, *after_attention, BERT_EPSILON)
        h = x @ wide  # [B, T, 2 D]
        h += wide_bias
        gate = h * ROOT_HALF  # of the GELU
        erf(gate, out=gate)
        gate += 1
        h *= gate
        h *= np.float32(0.5)
        h = h @ narrow
        h += narrow_bias
        h += x
        return normed(h, *after_all, BERT_EPSILON)

    return encode


def _norm(weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    return normed(x, weights[f"{name}.weight"], weights[f"{name}.bias"], BERT_EPSILON)


ENCODERS: Mapping[str, Callable[[Shape, Weights], Encoder]] = {
    "transformer": transformer,
    "lstm": lstm,
    "gru": gru,
    "rnn": rnn,
    "cnn": cnn,
}
