"""The intent network: what a user may do next week, one logit a target.

Three readers of the same user meet in each logit: an encoder of the last weeks (the architecture of the spec), a
multi-layer perceptron over the target's own frequency numbers, shared by all targets, and two straight paths that
make learning start from a good baseline: the personal decayed rate, and a map across targets (who buys pasta buys
sauce). Saved as safetensors and JSON; nothing is pickled.

Letters: B users, C targets, T weeks, F numbers a target, P numbers a user, D width, H hidden width of a pair.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from feature_repo import artifacts

WEIGHTS, CONFIG = "weights.safetensors", "config.json"
TARGET_WIDTH = 16


@dataclass(frozen=True)
class Batch:
    """The arrays of `encode.Encoded` as tensors on the model's device."""

    frequency: Tensor  # [B, C, F]
    rate: Tensor  # [B, C]
    sequence: Tensor  # [B, T, C] uint8
    active: Tensor  # [B, T, 2] uint8
    profile: Tensor  # [B, P]
    segment: Tensor  # [B] int64


@dataclass(frozen=True)
class Shape:
    """What the network is built from; `config.json` holds it."""

    architecture: str
    width: int
    layers: int
    dropout: float
    targets: int
    weeks: int
    frequency: int
    profile: int
    segments: int


class WeekEncoder(nn.Module):
    """Sum up the weekly tokens of a user as one vector."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        D = shape.width
        self.token = nn.Linear(shape.targets + 2, D)
        self.architecture = shape.architecture
        self.body: nn.Module
        if shape.architecture == "transformer":
            self.body = _bert(shape)
        elif shape.architecture == "lstm":
            self.body = nn.LSTM(D, D, num_layers=shape.layers, batch_first=True)
        else:
            self.body = _cnn(shape)
        self.norm = nn.LayerNorm(D)

    def forward(self, sequence: Tensor, active: Tensor) -> Tensor:
        """Encode weekly tokens [B, T, C], [B, T, 2] as vectors [B, D]."""
        x = self.token(torch.cat([sequence, active], dim=2).to(self.token.weight.dtype))  # [B, T, D]
        if self.architecture == "transformer":
            h = self.body(inputs_embeds=x).last_hidden_state  # [B, T, D]
        elif self.architecture == "lstm":
            h = self.body(x)[0]  # [B, T, D]
        else:
            h = self.body(x.transpose(1, 2)).transpose(1, 2)  # [B, T, D]
        out: Tensor = self.norm(h[:, -1] + h.mean(dim=1))  # [B, D]
        return out


def _bert(shape: Shape) -> nn.Module:
    from transformers import BertConfig, BertModel  # costs seconds to import: only where it is used

    config = BertConfig(
        vocab_size=1,
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=max(1, shape.width // 16) if shape.width % 16 == 0 else 1,
        intermediate_size=2 * shape.width,
        max_position_embeddings=shape.weeks,
        hidden_dropout_prob=shape.dropout,
        attention_probs_dropout_prob=0.0,
    )
    body: nn.Module = BertModel(config, add_pooling_layer=False)
    return body


def _cnn(shape: Shape) -> nn.Module:
    D = shape.width
    blocks: list[nn.Module] = []
    for _ in range(shape.layers):
        blocks += [nn.Conv1d(D, D, kernel_size=3, padding=1), nn.ReLU(), nn.Dropout(shape.dropout)]
    return nn.Sequential(*blocks)


class IntentNet(nn.Module):
    """Give every user a logit for every target."""

    def __init__(self, shape: Shape, *, hidden: int = 64, use: str = "seq,cf,lin") -> None:
        super().__init__()
        self.shape = shape
        self.use = use.split(",")
        C, D, H = shape.targets, shape.width, hidden
        self.register_buffer("frequency_mean", torch.zeros(shape.frequency))
        self.register_buffer("frequency_scale", torch.ones(shape.frequency))
        self.register_buffer("profile_mean", torch.zeros(shape.profile))
        self.register_buffer("profile_scale", torch.ones(shape.profile))
        self.weeks = WeekEncoder(shape) if "seq" in self.use else None
        self.segment = nn.Embedding(shape.segments + 1, 8)
        self.user = nn.Sequential(
            nn.Linear(shape.profile + 8 + (D if self.weeks else 0), D), nn.ReLU(), nn.Dropout(shape.dropout)
        )
        pair = shape.frequency + shape.weeks
        self.pair_in = nn.Linear(pair, H)
        self.user_in = nn.Linear(D, H, bias=False)
        self.target_in = nn.Parameter(torch.randn(C, H) * 0.1)
        self.mix = nn.Linear(H, H // 2)
        self.drop = nn.Dropout(shape.dropout)
        self.target_out = nn.Parameter(torch.randn(C, H // 2) * 0.1)
        self.shared_out = nn.Linear(H // 2, 1, bias=False)
        self.own = nn.Parameter(torch.zeros(C, pair))  # per-target linear weights
        self.skip = nn.Parameter(torch.ones(C))
        self.bias = nn.Parameter(torch.zeros(C))
        self.cross = nn.Linear(C, C, bias=False)
        nn.init.zeros_(self.cross.weight)
        self.user_out = nn.Linear(D, C, bias=False)
        nn.init.zeros_(self.user_out.weight)

    def forward(self, batch: Batch) -> Tensor:
        f = (batch.frequency - self.frequency_mean) * self.frequency_scale  # [B, C, F]
        bits = batch.sequence.transpose(1, 2).to(f.dtype)  # [B, C, T]
        pair = torch.cat([f, bits], dim=2)  # [B, C, F + T]
        profile = (batch.profile - self.profile_mean) * self.profile_scale  # [B, P]
        parts = [profile, self.segment(batch.segment)]
        if self.weeks is not None:
            parts.append(self.weeks(batch.sequence, batch.active))
        user = self.user(torch.cat(parts, dim=1))  # [B, D]
        h = torch.relu(self.pair_in(pair) + self.user_in(user)[:, None] + self.target_in)  # [B, C, H]
        h = self.drop(torch.relu(self.mix(h)))  # [B, C, H/2]
        logits = (h * (self.target_out + self.shared_out.weight)).sum(dim=2)  # [B, C]
        logits = logits + self.skip * batch.frequency[:, :, 0] + self.bias
        if "lin" in self.use:
            logits = logits + torch.einsum("bcf,cf->bc", pair, self.own)
        if "cf" in self.use:
            logits = logits + self.cross(batch.rate.sqrt())
        if "uo" in self.use:
            logits = logits + self.user_out(user)
        return logits
