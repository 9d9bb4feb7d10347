"""The graph of a text encoder in int8, from the trained weights by name: what compression makes and onnx_bert.py runs.

Matrices of the layers are quantized dynamically (onnx_int8.py), word pieces keep a byte a weight and one scale a piece.
Only training imports this.

Letters: L tokens, H width, A heads, P tokens of a prefix, V word pieces.
"""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.intent import onnx_int8
from components.intent.behaviour.numpy_bert import layers_of
from components.intent.behaviour.onnx_bert import TOKENS, VECTOR
from components.intent.quantize import quantized
from feature_repo.errors import DataError

if TYPE_CHECKING:
    import onnx

OPSET, IR = 17, 8
MOST_BYTES = 2_000_000_000  # of a float32 graph: what one protobuf file holds


def packed(text: Mapping[str, Any], weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the int8 graph of an encoder's weights by name, as bytes, uint8 [N]."""
    import onnx

    with tempfile.TemporaryDirectory(prefix="intentflow-onnx-") as scratch:
        full, small = (Path(scratch) / f"{name}.onnx" for name in ("full", "int8"))
        onnx.save(graph(text, weights), full)
        onnx_int8.quantized(full, small, operators=("MatMul",))
        return np.frombuffer(small.read_bytes(), dtype=np.uint8).copy()


def require_fits(text: Mapping[str, Any]) -> None:
    """Refuse, before training, an encoder whose graph no ONNX file would hold, and missing packages."""
    onnx_int8.require_installed()
    bert = text["bert"]
    width, inner = bert["hidden_size"], bert["intermediate_size"]
    weights = bert["vocab_size"] * width + bert["num_hidden_layers"] * width * (4 * width + 2 * inner)
    if 4 * weights > MOST_BYTES:
        raise DataError(
            f"models.intent.compress.quantize: the encoder has {weights / 1e6:,.0f} million weights, and one ONNX file "
            f"holds {MOST_BYTES // 4_000_000}; use a smaller encoder, or drop compress"
        )


def graph(text: Mapping[str, Any], weights: Mapping[str, np.ndarray]) -> "onnx.ModelProto":
    """Return the encoder as a graph of float32 products, word pieces as bytes with a scale each."""
    import onnx
    from onnx import TensorProto, helper

    made = _Graph(text, weights)
    last = made.layers(made.embedded())
    made.node("ReduceMean", [last], out=VECTOR, axes=[1], keepdims=0)
    takes = helper.make_tensor_value_info(TOKENS, TensorProto.INT64, [1, "L"])
    gives = helper.make_tensor_value_info(VECTOR, TensorProto.FLOAT, [1, text["bert"]["hidden_size"]])
    whole = helper.make_graph(made.nodes, "encoder", [takes], [gives], made.held)
    model: onnx.ModelProto = helper.make_model(
        whole, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR, producer_name="intentflow"
    )
    return model


class _Graph:
    """Nodes and arrays of an encoder, in the order in which they run."""

    def __init__(self, text: Mapping[str, Any], weights: Mapping[str, np.ndarray]) -> None:
        self.bert, self.weights = text["bert"], weights
        self.heads, self.width = int(self.bert["num_attention_heads"]), int(self.bert["hidden_size"])
        self.nodes: list[Any] = []
        self.held: list[Any] = []

    def node(self, kind: str, inputs: list[str], *, out: str = "", **attributes: Any) -> str:
        """Add an operation; return the name of what it gives."""
        from onnx import helper

        name = out or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=f"of_{name}", **attributes))
        return name

    def array(self, values: np.ndarray) -> str:
        """Add an array; return its name."""
        from onnx import numpy_helper

        name = f"array_{len(self.held)}"
        self.held.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def whole(self, *values: int) -> str:
        """Add whole numbers."""
        return self.array(np.asarray(values, dtype=np.int64))

    def mapped(self, x: str, part: tuple[np.ndarray, np.ndarray]) -> str:
        """Add a map, of a matrix and a bias."""
        return self.node("Add", [self.node("MatMul", [x, self.array(part[0])]), self.array(part[1])])

    def normed(self, x: str, name: str) -> str:
        """Add a LayerNorm."""
        scale, shift = (self.array(self.weights[f"{name}.LayerNorm.{part}"]) for part in ("weight", "bias"))
        epsilon = float(self.bert["layer_norm_eps"])
        return self.node("LayerNormalization", [x, scale, shift], axis=-1, epsilon=epsilon)

    def embedded(self) -> str:
        """Add word pieces, places and their norm, [1, L, H]."""
        w = self.weights
        first = 0 if self.bert["model_type"] == "bert" else int(self.bert["pad_token_id"]) + 1
        first += w["prefix"].shape[3] if "prefix" in w else 0
        places = w["embeddings.position_embeddings.weight"][first:] + w["embeddings.token_type_embeddings.weight"][0]
        pieces, scale = quantized(w["embeddings.word_embeddings.weight"])  # [V, H], [V]
        rounded = self.node("Cast", [self.node("Gather", [self.array(pieces), TOKENS])], to=1)
        words = self.node("Mul", [rounded, self.node("Gather", [self.array(scale[:, None]), TOKENS])])
        length = self.node("Slice", [self.node("Shape", [TOKENS]), self.whole(1), self.whole(2)])
        there = self.node("Slice", [self.array(places), self.whole(0), length, self.whole(0)])  # [L, H]
        return self.normed(self.node("Add", [words, there]), "embeddings")

    def layers(self, h: str) -> str:
        """Add all layers."""
        for number, layer in enumerate(layers_of({"bert": self.bert}, self.weights)):
            h = self.normed(
                self.node("Add", [h, self.attended(h, layer, number)]), f"encoder.layer.{number}.attention.output"
            )
            out = self.mapped(self.activated(self.mapped(h, layer["inner"])), layer["out"])
            if "down" in layer:
                narrow = self.node("Relu", [self.mapped(out, layer["down"])])
                out = self.node("Add", [out, self.mapped(narrow, layer["up"])])
            h = self.normed(self.node("Add", [h, out]), f"encoder.layer.{number}.output")
        return h

    def attended(self, h: str, layer: Mapping[str, tuple[np.ndarray, np.ndarray]], number: int) -> str:
        """Add a layer's attention, [1, L, H]."""
        q, k, v = (self.of_heads(one) for one in self.split(self.mapped(h, layer["qkv"])))  # [1, A, L, H / A]
        if "prefix" in self.weights:
            before = self.weights["prefix"][number]  # [2, A, P, H / A]
            k, v = (
                self.node("Concat", [self.array(own[None]), one], axis=2)
                for own, one in zip(before, (k, v), strict=True)
            )
        share = np.float32(1 / np.sqrt(self.width // self.heads))
        scores = self.node("MatMul", [q, self.node("Transpose", [k], perm=[0, 1, 3, 2])])
        scores = self.node("Softmax", [self.node("Mul", [scores, self.array(np.asarray(share))])], axis=-1)
        mixed = self.node("Transpose", [self.node("MatMul", [scores, v])], perm=[0, 2, 1, 3])
        return self.mapped(self.node("Reshape", [mixed, self.whole(0, 0, self.width)]), layer["mixed"])

    def split(self, x: str) -> Iterator[str]:
        """Part [1, L, 3 H] in three."""
        for place in range(3):
            ends = self.whole(place * self.width), self.whole((place + 1) * self.width)
            yield self.node("Slice", [x, *ends, self.whole(2)])

    def of_heads(self, x: str) -> str:
        """Part vectors [1, L, H] among heads, [1, A, L, H / A]."""
        parted = self.node("Reshape", [x, self.whole(0, 0, self.heads, self.width // self.heads)])
        return self.node("Transpose", [parted], perm=[0, 2, 1, 3])

    def activated(self, x: str) -> str:
        """Add what stands between a layer's two maps."""
        if self.bert["hidden_act"] == "relu":
            return self.node("Relu", [x])
        root, one, half = (self.array(np.asarray(value, dtype=np.float32)) for value in (np.sqrt(2), 1, 0.5))
        spread = self.node("Add", [self.node("Erf", [self.node("Div", [x, root])]), one])
        return self.node("Mul", [self.node("Mul", [x, spread]), half])
