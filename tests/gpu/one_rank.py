"""One rank on one GPU: rows shared out, weights cut and layers split through the device's own collectives.

torchrun starts it; the word is the file to write how far each way is from plain training to.
"""

import copy
import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from components.distributed.ranks import Ranks
from components.training import parallel
from components.training.parallel import Wrapped
from tests.training.two_ranks import LARGEST, Classifier, data

STEPS, RATE = 3, 2e-5


def trained(held: Wrapped, device: torch.device) -> dict[str, torch.Tensor]:
    """Take a few steps; return the full state dict."""
    word, mask, label = (part.to(device) for part in data())
    optimizer = held.optimizer(learning_rate=RATE, weight_decay=0.01)
    held.trained.train()
    for _ in range(STEPS):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(held.called(word, mask), label).backward()
        held.clip(LARGEST)
        optimizer.step()
    held.gather()
    return {name: value.detach().cpu() for name, value in held.net.state_dict().items()}


def main() -> None:
    """Compare each way with plain training."""
    gpu = torch.cuda.is_available()
    device = torch.device("cuda" if gpu else "cpu")
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo")
    torch.manual_seed(0)
    alone, only = Classifier("minilm").to(device), Ranks(0, 1)
    begun = copy.deepcopy(alone)
    want, found = trained(Wrapped(alone, alone, alone), device), {}
    for way in ("ddp", "fsdp", "tensor"):
        net = copy.deepcopy(begun)
        if way == "ddp":
            held = Wrapped(net, net, DistributedDataParallel(net, broadcast_buffers=False))
        else:
            cut = copy.deepcopy(net)
            (parallel.shard if way == "fsdp" else parallel.split)(cut, parallel.layers_of(cut), only, device)
            held = Wrapped(net, cut, cut)
        have = trained(held, device)
        found[way] = max(float((have[n] - v).abs().max()) for n, v in want.items() if "key.bias" not in n)
    Path(sys.argv[1]).write_text(json.dumps({"device": device.type, "off": found}))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
