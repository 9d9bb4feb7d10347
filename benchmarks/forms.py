"""What do forms cost in which a door asks intent models? A text encoder, trees, causes of an intent, small networks.

Networks have the grocery's sizes and untrained weights: neither bytes nor times depend on what was learnt. The trees,
300 of 15 leaves, are grown over noise, so that they split by every column. Milliseconds are of the processor, one
thread, the quickest of ten rounds. `text` is the packaged MiniLM by texts and tokens, in numpy and in ONNX Runtime's
int8, every text a new one, and the network around it where the text was read before. `trees` is their answer, by rows.
`causes` is what `/explain` adds for one intent of a user in whose every step something happened, as finely as a door
cuts; `ensemble` is of `rnn` and these trees. `smaller` is each network as it is, pruned by half, with int8 weights, and
both: bytes of its files, milliseconds by rows.
"""

import argparse
import importlib.util
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import script
from benchmarks.gpu import SIZES
from benchmarks.script import Document
from bentos import threads
from components import measure as measuring
from components.intent import attribution, causes, compress, model, numpy_net, prune, steps
from components.intent.behaviour import sources
from components.intent.behaviour.numpy_bert import NumpyBert
from components.intent.behaviour.onnx_bert import OnnxBert
from components.intent.behaviour.spec import Text
from components.intent.behaviour.template import ITEMS
from components.intent.boosting import Boosting
from components.intent.encode import Encoded
from components.intent.ensemble import Ensemble
from components.intent.fit import Rows
from components.intent.forest import Forest
from components.intent.model import IntentNet
from components.intent.networks import ENSEMBLE, NETWORKS, TEXT, TREES
from components.intent.shape import GRAPH, Shape
from components.intent.spec import IntentModel
from feature_repo.errors import DataError, SpecError

TEXTS = ((1, 24), (1, 64), (64, 64))  # texts at once, tokens of each
QUICK_TEXTS = ((1, 24),)
LIKE = 100  # texts that both forms of an encoder are compared on
OF_SMALLER = ("transformer", "cnn")
MADE: Mapping[str, Callable[[IntentNet], IntentNet]] = {
    "full": lambda net: net,
    "prune": lambda net: prune.pruned(net, 0.5),
    "int8": compress.rounded,
    "both": lambda net: compress.rounded(prune.pruned(net, 0.5)),
}
WORDS = (1000, 30_000)  # ids of whole words in BERT's English vocabulary
MB = 1e6
TREES_OF, QUICK_TREES, PAIRS = 300, 10, 100_000  # trees; pairs of a made-up user and a target that they learn from


def measure(asked: argparse.Namespace) -> Document:
    """Measure all parts."""
    threads.limit(1)
    size = {"width": 16 if asked.quick else asked.width, "layers": 1 if asked.quick else 2}
    found: Document = {**size, "text": None}
    if importlib.util.find_spec(sources.MODULE) is not None:
        script.note("text …")
        found["text"] = _text(size, QUICK_TEXTS if asked.quick else TEXTS)
    elif not asked.quick:
        raise SpecError("text: the package of MiniLM is not installed; install intentflow[vectors]")
    script.note("trees …")
    forest = _forest(size, trees=QUICK_TREES if asked.quick else TREES_OF)
    rows = {str(n): _drawn(size, rows=n) for n in steps.BATCHES}
    found["trees"] = measuring.cpu_ms({n: partial(forest.probabilities, some) for n, some in rows.items()})
    script.note("causes …")
    found["causes"] = _causes(size, forest)
    script.note("smaller …")
    found["smaller"] = {name: _smaller(_net(name, size)) for name in OF_SMALLER}
    return found


def _net(architecture: str, size: Mapping[str, Any]) -> IntentNet:
    return IntentNet(Shape(architecture, dropout=0.1, **size, **SIZES)).eval()


def _drawn(size: Mapping[str, Any], *, rows: int) -> Encoded:
    """Make up encoded users."""
    form = _form("rnn", size)
    return numpy_net.drawn(form.shape, form.weights, rows=rows)


def _form(architecture: str, size: Mapping[str, Any]) -> numpy_net.NumpyNet:
    net = _net(architecture, size)
    return numpy_net.NumpyNet.of(net.shape, {name: values.numpy() for name, values in net.state_dict().items()})


def _forest(size: Mapping[str, Any], *, trees: int) -> Forest:
    """Grow trees over made-up users, whose labels are chance."""
    spec = IntentModel.model_validate({"architecture": TREES, "trees": {"leaves": 15, "columns": 0.5, "pairs": PAIRS}})
    some, rng = _drawn(size, rows=PAIRS // 50), np.random.default_rng(1)
    labels = (rng.random(some.frequency.shape[:2]) < 0.3).astype(np.uint8)
    rows = Rows(some, labels, np.zeros(len(some), dtype=np.int64))
    shape = Shape(TREES, dropout=0.0, **size, **SIZES)
    fit = Boosting.begun(shape, rows, None, unknown=some.take(np.arange(1)), rate=labels.mean(axis=0), spec=spec)
    fit.rerun("full", np.arange(len(some)), epochs=trees, report=lambda share, note: None)
    return fit.forest


def _text(size: Mapping[str, Any], texts: tuple[tuple[int, int], ...]) -> Document:
    """Measure the packaged encoder, and a network around it."""
    asked = Text()
    source = sources.opened(asked, Path())
    base, shape = source.state(), source.shape(asked, ITEMS)
    bert, rng = NumpyBert.of(shape, base), np.random.default_rng(0)

    def read(encoder: NumpyBert, n: int, tokens: int) -> np.ndarray:
        return encoder.vectors(rng.integers(*WORDS, (n, tokens), dtype=np.int32))

    asks = {f"{n}x{tokens}": (n, tokens) for n, tokens in texts}
    spent = measuring.cpu_ms({name: partial(read, bert, *one) for name, one in asks.items()})
    net = IntentNet(Shape(TEXT, dropout=0.1, text=shape, **size, **SIZES), base=base, tokenizer=source.tokenizer)
    form, bytes_ = _kept(net.eval())
    small, bytes_of_int8 = _kept(compress.rounded(net))
    int8 = OnnxBert.of(shape, {GRAPH: small.weights[f"weeks.{GRAPH}"]})
    some = rng.integers(*WORDS, (LIKE, 24), dtype=np.int32)
    vectors = [one.computed(some) - one.computed(some).mean(axis=0) for one in (bert, int8)]  # what texts differ in
    alike = [float(a @ b / np.sqrt((a @ a) * (b @ b))) for a, b in zip(*vectors, strict=True)]
    row = numpy_net.drawn(form.shape, form.weights, rows=1)
    again = measuring.cpu_ms({"again": lambda: form.probabilities(row)})  # the first round read its text
    return {
        "size_mb": round(bytes_ / MB, 1),
        "ms": spent,
        "read_before_ms": again["again"],
        "int8_size_mb": round(bytes_of_int8 / MB, 1),
        "int8_ms": measuring.cpu_ms({name: partial(read, int8, *one) for name, one in asks.items()}),
        "int8_cosine": round(float(np.mean(alike)), 4),
    }


def _kept(net: IntentNet) -> tuple[numpy_net.NumpyNet, int]:
    """Return a network's served form, and the bytes of its folder."""
    with tempfile.TemporaryDirectory(prefix="intentflow-benchmark-") as scratch:
        model.save(net, Path(scratch))
        return _served(Path(scratch)), sum(path.stat().st_size for path in Path(scratch).iterdir())


def _served(folder: Path) -> numpy_net.NumpyNet:
    form = numpy_net.served(folder)
    if form is None:
        raise DataError(f"{folder}: torch and numpy differ here, so there is no form to measure")
    return form


def _causes(size: Mapping[str, Any], forest: Forest) -> Document:
    """Measure the causes of one intent by architecture."""
    asks, both = {}, _drawn(size, rows=2)  # nobody and a user
    forms: dict[str, Any] = {architecture: _form(architecture, size) for architecture in NETWORKS} | {TREES: forest}
    members = {name: forms[name] for name in ("rnn", TREES)}
    forms[ENSEMBLE] = Ensemble(replace(forest.shape, architecture=ENSEMBLE), members, dict.fromkeys(members, 0.5))
    for architecture, form in forms.items():
        asks[architecture] = partial(
            attribution.attribute, form, both.take(np.array([1])), both.take(np.array([0])), 0,
            names=[str(number) for number in range(form.shape.profile)], most=causes.QUICK,
        )  # fmt: skip
    return measuring.cpu_ms(asks)


def _smaller(net: IntentNet) -> dict[str, Any]:
    """Measure a network in full and made smaller."""
    found = {}
    for name, made in MADE.items():
        with tempfile.TemporaryDirectory(prefix="intentflow-benchmark-") as scratch:
            model.save(made(net).eval(), Path(scratch))
            found[name] = steps.costs(Path(scratch))
    return found


def text(document: Document) -> str:
    """Write the tables."""
    tables, of_text = [], document["text"]
    if of_text is not None:
        lines = [[name, spent, of_text["int8_ms"][name]] for name, spent in of_text["ms"].items()]
        lines.append(["1, read before: the network alone", of_text["read_before_ms"], ""])
        sizes = f"{of_text['size_mb']} MB, in int8 {of_text['int8_size_mb']} MB"
        alike = f"vectors less their mean: cosine {of_text['int8_cosine']}"
        table = script.table(["texts x tokens", "ms", "ms in int8"], lines)
        tables.append(f"MiniLM, a folder of {sizes}; {alike}\n\n{table}")
    tables.append(script.table(["rows", "ms, trees"], list(document["trees"].items())))
    tables.append(script.table(["causes of an intent", "ms"], list(document["causes"].items())))
    lines = [
        [f"{name}, {made}", round(one["size_bytes"] / 1024, 1), *one["cpu_ms"].values()]
        for name, sides in document["smaller"].items()
        for made, one in sides.items()
    ]
    tables.append(script.table(["smaller", "KiB", *(f"ms, {rows} rows" for rows in steps.BATCHES)], lines))
    return "\n\n".join(tables)


if __name__ == "__main__":
    switches = script.parser(__doc__, trained=False)
    switches.add_argument("--width", type=int, default=64, help="of the intent networks")
    script.main(switches, measure, text)
