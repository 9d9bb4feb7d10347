"""Learn the item factors of the source `bpr` with torch; sources/bpr.py serves them.

Letters: U users, I items, D factors, B users of a batch, T items of the longest history, P pairs a user.
"""

import numpy as np
import scipy.sparse as sp
import torch
from torch import nn

from components.ranking.torch_fit import seeded

FACTORS, BATCH, PAIRS, EPOCHS = 64, 128, 20, 30
LEARNING_RATE, WEIGHT_DECAY = 1e-2, 1e-3


def learn(liked: sp.csr_matrix, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Return `history` [I, D], `factors` [I, D] and `bias` [I] that order what users had before what they had not."""
    n_items = liked.shape[1]
    with seeded(seed):
        history, factors, bias = (
            nn.Embedding(n_items, FACTORS),
            nn.Embedding(n_items, FACTORS),
            nn.Embedding(n_items, 1),
        )
        for table, spread in ((history, 0.1), (factors, 0.1), (bias, 0.0)):
            nn.init.normal_(table.weight, std=spread)
        tables = nn.ModuleList([history, factors, bias])
        optimizer = torch.optim.AdamW(tables.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        rows = np.flatnonzero(np.diff(liked.indptr) > 1)
        order, pairs = np.random.default_rng(seed), _pairs(liked)
        for _ in range(EPOCHS if len(rows) else 0):
            for start in range(0, len(rows), BATCH):
                batch = order.permutation(rows)[start : start + BATCH]
                item, weight = _padded(liked, batch)  # [B, T]
                own = history(item) * weight[..., None]  # [B, T, D]
                whole = own.sum(dim=1)  # [B, D]
                at = torch.multinomial(weight, PAIRS, replacement=True)  # [B, P]
                better, worse = item.gather(1, at), torch.randint(n_items, at.shape)
                rest = (1 - weight.gather(1, at)).clamp(min=1e-3)[..., None]
                user = (whole[:, None] - own.gather(1, at[..., None].expand(-1, -1, FACTORS))) / rest  # [B, P, D]
                ahead = ((factors(better) - factors(worse)) * user).sum(-1) + (bias(better) - bias(worse)).squeeze(-1)
                had = torch.from_numpy(_among(pairs, batch[:, None] * n_items + worse.numpy()))  # [B, P]
                loss = (nn.functional.softplus(-ahead) * ~had).mean()
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        learnt = {"history": history.weight, "factors": factors.weight, "bias": bias.weight[:, 0]}
        return {name: value.detach().numpy().copy() for name, value in learnt.items()}


def _pairs(liked: sp.csr_matrix) -> np.ndarray:
    """Return who had what as row * I + item, ascending; padding is no pair, so it keeps no item from being a negative.

    >>> _pairs(sp.csr_matrix([[0.0, 0.7], [0.2, 0.3]])).tolist()
    [1, 2, 3]
    """
    row = np.repeat(np.arange(liked.shape[0], dtype=np.int64), np.diff(liked.indptr))
    return np.sort(row * liked.shape[1] + liked.indices)


def _among(ascending: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Tell which of what is asked about is among some numbers, without sorting these for each batch."""
    at = np.minimum(np.searchsorted(ascending, asked), len(ascending) - 1)
    return np.asarray(ascending[at] == asked)


def _padded(liked: sp.csr_matrix, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the items of rows and their shares of the row's weight, padded by weights of 0, each [B, T]."""
    starts, ends = liked.indptr[rows], liked.indptr[rows + 1]
    longest = int((ends - starts).max())
    inside = np.arange(longest) < (ends - starts)[:, None]
    where = np.where(inside, starts[:, None] + np.arange(longest), 0)
    weight = np.where(inside, liked.data[where], 0.0)
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-9)
    return torch.from_numpy(liked.indices[where].astype(np.int64)), torch.from_numpy(weight.astype(np.float32))
