"""What every ranker's network shares: standardised inputs, scores as numpy, and the name that it is saved under.

Letters: B lists, M candidates of a list, N candidates, F features.
"""

import numpy as np
import torch
from torch import nn

from components.ranking.numpy_net import FIRST


class ScoringNet(nn.Module):
    """Features [..., F] to scores [...]; only scores of one list compare. A ranker adds `forward` and `loss`."""

    mean: torch.Tensor
    scale: torch.Tensor
    architecture = FIRST

    def __init__(self, n_features: int, *, width: int, dropout: float) -> None:
        super().__init__()
        self.n_features, self.width, self.dropout = n_features, width, dropout
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))

    def loss(self, scores: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the loss of scored lists, each [B, M]; labels are 1 where bought, the mask is False at padding."""
        raise NotImplementedError

    def start_from(self, place: int) -> None:
        """Let the untrained network rank by one feature alone: the log of a baseline's place, its best first."""
        raise NotImplementedError

    def standardised(self, features: torch.Tensor) -> torch.Tensor:
        """Return features in units of their spread in training, [..., F]."""
        return (features - self.mean) * self.scale

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
