"""The ranking network: a small multilayer perceptron with a linear skip path, trained so that bought items lead.

Letters: B lists, M candidates of a list, F features.
"""

import torch
from torch import nn

from components.ranking.net import ScoringNet


class RankingNet(ScoringNet):
    """Features [..., F] to scores [...]."""

    def __init__(self, n_features: int, *, width: int, dropout: float) -> None:
        super().__init__(n_features, width=width, dropout=dropout)
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
        x = self.standardised(features)  # [..., F]
        scores: torch.Tensor = (self.body(x) + self.skip(x)).squeeze(-1)  # [...]
        return scores

    @torch.no_grad()
    def start_from(self, place: int) -> None:
        """Score every candidate by 1 / its place: chances fall with places as Zipf's law has it."""
        last = self.body[-1]
        assert isinstance(last, nn.Linear)
        for layer in (self.skip, last):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        if self.scale[place] > 0:
            self.skip.weight[0, place] = -1.0 / self.scale[place]

    def loss(self, scores: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the listwise loss."""
        return listwise_loss(scores, labels, mask)


build = RankingNet


def listwise_loss(scores: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean softmax cross entropy of each bought item among its list's items that were not; each [B, M].

    Bought items are no rivals of each other: with some 17 a list, a shared softmax would hold them down.
    """
    scores = scores.masked_fill(~mask, -1e9)
    rivals = torch.logsumexp(scores.masked_fill(labels > 0, -1e9), dim=1, keepdim=True)  # [B, 1]
    per_item = nn.functional.softplus(rivals - scores) * labels  # [B, M]: -log(e^s / (e^s + sum of rivals' e^s))
    return (per_item.sum(dim=1) / labels.sum(dim=1).clamp(min=1)).mean()
