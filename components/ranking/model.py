"""The ranking network: scores a candidate from its features; trained so that bought items lead their list.

A small multilayer perceptron with a linear skip path. Weights and the inputs' mean and scale live in one
safetensors file; nothing here reads user rows.

Letters: B lists, M candidates of a list, F features, D width.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

FILE = "weights.safetensors"


class RankingNet(nn.Module):
    """Features [..., F] to scores [...]; only scores of one list compare."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, n_features: int, *, width: int, dropout: float) -> None:
        super().__init__()
        self.n_features, self.width, self.dropout = n_features, width, dropout
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))
        self.skip = nn.Linear(n_features, 1)
        self.body = nn.Sequential(
            nn.Linear(n_features, width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(width, 1),
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Score candidates."""
        x = (features - self.mean) * self.scale  # [..., F]
        scores: torch.Tensor = (self.body(x) + self.skip(x)).squeeze(-1)  # [...]
        return scores

    def standardise(self, features: np.ndarray) -> None:
        """Take mean and scale from training features [N, F]; a constant feature is switched off."""
        mean, std = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
        self.mean.copy_(torch.from_numpy(mean.astype(np.float32)))
        self.scale.copy_(torch.from_numpy(np.where(std > 1e-6, 1.0 / np.maximum(std, 1e-6), 0.0).astype(np.float32)))

    @torch.inference_mode()
    def score(self, features: np.ndarray) -> np.ndarray:
        """Score features [N, F] as numpy, float32 [N]."""
        if self.training:  # to tell every layer so costs a tenth of a request
            self.eval()
        return np.asarray(self(torch.from_numpy(features)).numpy())


def listwise_loss(scores: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean softmax cross entropy of each bought item among its list's items that were not; each [B, M].

    Bought items are no rivals of each other: with some 17 a list, a shared softmax would hold them down.
    """
    scores = scores.masked_fill(~mask, -1e9)
    rivals = torch.logsumexp(scores.masked_fill(labels > 0, -1e9), dim=1, keepdim=True)  # [B, 1]
    per_item = nn.functional.softplus(rivals - scores) * labels  # [B, M]: -log(e^s / (e^s + sum of rivals' e^s))
    return (per_item.sum(dim=1) / labels.sum(dim=1).clamp(min=1)).mean()


def save(model: RankingNet, folder: Path) -> None:
    """Write the weights into an existing folder."""
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / FILE)
    (folder / FILE).chmod(0o644)  # safetensors makes it the owner's own; another user may serve it


def load(folder: Path, config: Mapping[str, int | float]) -> RankingNet:
    """Read what `save` wrote; `config` has n_features, width and dropout."""
    model = RankingNet(int(config["n_features"]), width=int(config["width"]), dropout=float(config["dropout"]))
    model.load_state_dict(load_file(folder / FILE))
    model.eval()
    return model
