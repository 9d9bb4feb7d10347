"""Learn the network of the source `sequence` with torch, as SASRec does; sources/sequence.py serves it.

Every position of a history predicts the item after it, by a softmax over all items where there are at most `WHOLE`,
else over the right one and `NEGATIVES` that were drawn for the batch. Most of the drawn ones nobody would confuse with
the right one; to tell it from all of them is what a list asks.

Letters: S sequences, I items, D width, B sequences of a batch, T positions, N negatives.
"""

import numpy as np
import torch
from torch import nn

from components.ranking.torch_fit import seeded

LONGEST, WIDTH, BLOCKS, DROPOUT = 50, 64, 2, 0.2
EPOCHS, BATCH, NEGATIVES, LEARNING_RATE = 20, 64, 256, 3e-3
WHOLE = 4096  # items, up to which all stand against the right one
NONE = -1  # padding, before the first item of a short sequence


class Block(nn.Module):
    """Causal self-attention of one head and a feed-forward layer, each normed before and added."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.norm_after = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.inner, self.outer = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """Map [B, T, D] to [B, T, D]; `seen` [B, T, T] is which position may look at which."""
        z = self.norm(x)
        fit = self.query(z) @ self.key(z).transpose(1, 2) / WIDTH**0.5  # [B, T, T]
        looked = fit.masked_fill(~seen, -1e9).softmax(dim=-1) @ self.value(z)
        x = x + self.dropout(looked)
        found: torch.Tensor = x + self.dropout(self.outer(torch.relu(self.inner(self.norm_after(x)))))
        return found


class SequenceNet(nn.Module):
    """Sequences of items [B, T] to what comes after each position [B, T, D], which compares with `items` [I, D]."""

    def __init__(self, n_items: int) -> None:
        super().__init__()
        self.items, self.places = nn.Embedding(n_items, WIDTH), nn.Embedding(LONGEST, WIDTH)
        nn.init.normal_(self.items.weight, std=0.1)
        nn.init.normal_(self.places.weight, std=0.1)
        self.blocks = nn.ModuleList([Block() for _ in range(BLOCKS)])
        self.last, self.dropout = nn.LayerNorm(WIDTH), nn.Dropout(DROPOUT)

    def forward(self, item: torch.Tensor) -> torch.Tensor:
        """Say what comes after each position; places are counted from the end."""
        there = item != NONE
        T = item.shape[1]
        x = self.dropout(self.items(item.clamp(min=0)) + self.places.weight[LONGEST - T :])
        seen = there[:, None] & torch.ones(T, T, dtype=torch.bool).tril() | torch.eye(T, dtype=torch.bool)
        for block in self.blocks:
            x = block(x, seen)
        after: torch.Tensor = self.last(x)
        return after


def learn(sequences: np.ndarray, n_items: int, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Fit on sequences of items [S, LONGEST + 1], NONE before the first; return the weights by name."""
    sequences = sequences[(sequences != NONE).sum(axis=1) > 1]
    with seeded(seed):
        net = SequenceNet(n_items)
        optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=1e-2)
        order = np.random.default_rng(seed)
        for _ in range(EPOCHS):
            shuffled = order.permutation(len(sequences))
            for start in range(0, len(sequences), BATCH):
                rows = torch.from_numpy(sequences[shuffled[start : start + BATCH]])
                loss = _loss(net, rows[:, :-1], rows[:, 1:], n_items)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        return {name: value.numpy().copy() for name, value in net.state_dict().items()}


def _loss(net: SequenceNet, item: torch.Tensor, after: torch.Tensor, n_items: int) -> torch.Tensor:
    known = (item != NONE) & (after != NONE)
    state, right = net(item)[known], after[known]  # [M, D], [M]
    if n_items <= WHOLE:
        return nn.functional.cross_entropy(state @ net.items.weight.T, right)
    drawn = torch.randint(n_items, (NEGATIVES,))
    wrong = (state @ net.items(drawn).T).masked_fill(drawn == right[:, None], -1e9)  # [M, N]
    hit = (state * net.items(right)).sum(dim=1, keepdim=True)
    return nn.functional.cross_entropy(torch.cat([hit, wrong], dim=1), torch.zeros(len(right), dtype=torch.long))
