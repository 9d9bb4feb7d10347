"""The intent network: what a user may do next week, one logit a target.

A user is read twice: an encoder (the spec's architecture) sums up the last weeks, or the last events, and a perceptron
that all targets share reads each target's own frequency numbers and weeks. Straight paths lie beside them: the personal
decayed rate, which makes an untrained network exactly that baseline, and linear maps across targets (who buys pasta
buys sauce). Saved as safetensors and JSON; nothing is pickled.

Letters: B users, C targets, T weeks, F numbers a target, P numbers a user, S segments, D width.
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components import served_form
from components.intent import events, networks, numpy_net, quantize
from components.intent.behaviour.spec import PLAIN
from components.intent.encode import Encoded
from components.intent.numpy_encoders import ENCODERS
from components.intent.numpy_net import CONFIG, WEIGHTS, NumpyNet
from components.intent.projection import Projection
from components.intent.shape import Shape
from feature_repo import files
from feature_repo.errors import SpecError

SEGMENT_WIDTH = 8
log = logging.getLogger("intentflow.intent")


@dataclass(frozen=True)
class Batch:
    """The arrays of `Encoded` as tensors on one device."""

    frequency: Tensor  # [B, C, F] float32
    sequence: Tensor  # [B, T, C] uint8
    active: Tensor  # [B, T, 2] uint8
    profile: Tensor  # [B, P] float32
    segment: Tensor  # [B] int64
    event_codes: Tensor | None = None  # [B, L, 2 + M], only of a network that reads events
    event_numbers: Tensor | None = None  # [B, L, N] float32
    text: Tensor | None = None  # [B, L] int32 tokens, or [B, H] float32; only of a network that reads text

    @classmethod
    def of(cls, encoded: Encoded, device: torch.device | str = "cpu") -> "Batch":
        """Move arrays to a device; numbers stored as float16 widen there. Padding that all rows share is left out."""
        arrays = events.trimmed(encoded).arrays()
        moved = {name: torch.from_numpy(values).to(device) for name, values in arrays.items()}
        return cls(**{name: t.float() if t.is_floating_point() else t for name, t in moved.items()})


def pick_device(device: str) -> torch.device:
    """Return the device that `auto`, `cpu` or `cuda` means here."""
    if device not in ("auto", "cpu", "cuda"):
        raise SpecError(f"device: '{device}' is none of auto, cpu, cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise SpecError("device: 'cuda', but torch finds no CUDA device here; use auto or cpu")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


class WeekEncoder(nn.Module):
    """Sum up the weekly tokens of a user as one vector."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.token = nn.Linear(shape.targets + 2, shape.width)
        self.body = networks.build(shape)
        self.norm = nn.LayerNorm(shape.width)

    def forward(self, sequence: Tensor, active: Tensor) -> Tensor:
        """Encode weeks [B, T, C] and their flags [B, T, 2] as vectors [B, D]."""
        weeks = torch.cat([sequence, active], dim=2).to(self.token.weight.dtype)  # [B, T, C + 2]
        h = self.body(self.token(weeks))  # [B, T, D]
        summed: Tensor = self.norm(h[:, -1] + h.mean(dim=1))  # [B, D]
        return summed


class EventEncoder(nn.Module):
    """Sum up the last events of a user as one vector, zeros where there are none."""

    texts: Tensor  # [I + 1, V], only where titles are read; never trained
    title: nn.Linear | None

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.kind = nn.Embedding(shape.kinds + events.KNOWN, shape.width)
        self.band = nn.Embedding(shape.bands + 1, shape.width)
        self.target = nn.Embedding(shape.targets + 1, shape.width, padding_idx=0)
        self.number = nn.Linear(shape.event_numbers, shape.width)
        self.title = None
        if shape.items:  # of nothing, then of the items
            self.register_buffer("texts", torch.zeros(shape.items + 1, shape.texts, dtype=torch.float16))
            self.title = nn.Linear(shape.texts, shape.width, bias=False)
        self.body = networks.build(shape)
        self.norm = nn.LayerNorm(shape.width)

    def freeze(self, titles: np.ndarray) -> None:
        """Take the text vectors of items [I, V]."""
        self.texts[1:].copy_(torch.from_numpy(titles))

    def forward(self, codes: Tensor, numbers: Tensor) -> Tensor:
        """Encode events [B, L, 2 + M] and [B, L, N] as vectors [B, D]."""
        codes = codes.long()
        there = codes[:, :, 0] != events.PADDING  # [B, L]
        some = there.any(dim=1, keepdim=True)  # [B, 1]
        read = torch.cat(
            [there[:, :-1], there[:, -1:] | ~some], dim=1
        )  # of nobody one token, or nothing is attended to
        last = None if self.title is None else -1  # the code that is the item
        token = self.kind(codes[:, :, 0]) + self.band(codes[:, :, 1]) + self.target(codes[:, :, 2:last]).sum(dim=2)
        token = token + self.number(numbers.to(self.number.weight.dtype))  # [B, L, D]
        if self.title is not None:
            token = token + self.title(self.texts.to(token.dtype))[codes[:, :, -1]]
        h = self.body(token, read)  # [B, L, D]
        mean = (h * read[:, :, None]).sum(dim=1) / read.sum(dim=1, keepdim=True)
        summed: Tensor = self.norm(h[:, -1] + mean) * some
        return summed  # [B, D]


class IntentNet(nn.Module):
    """Give every user a logit for every target."""

    frequency_mean: Tensor  # [F]
    frequency_scale: Tensor  # [F]
    profile_mean: Tensor  # [P]
    profile_scale: Tensor  # [P]
    profile_matrix: Tensor  # [P, N], only where the profile is projected to N components

    def __init__(self, shape: Shape, **of_text: Any) -> None:
        super().__init__()
        self.shape = shape
        C, D, own = shape.targets, shape.width, shape.frequency + shape.weeks
        U, H, M = shape.units  # D, D and D / 2 but where pruning left fewer
        for name, size in (("frequency", shape.frequency), ("profile", shape.profile)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_scale", torch.ones(size))
        if shape.components is not None:
            self.register_buffer("profile_matrix", torch.zeros(shape.profile, shape.components))
        if shape.events is not None:
            self.events = EventEncoder(shape)
        else:
            self.weeks: Any = WeekEncoder(shape) if shape.text is None else _text(shape, **of_text)
        self.segment = nn.Embedding(shape.segments + 1, SEGMENT_WIDTH)
        self.user = nn.Linear(shape.user_inputs + SEGMENT_WIDTH + D, U)
        self.pair_of_target = nn.Linear(own, H)
        self.pair_of_user = nn.Linear(U, H, bias=False)
        self.target = nn.Parameter(torch.randn(C, H) * 0.1)
        self.mix = nn.Linear(H, M)
        self.dropout = nn.Dropout(shape.dropout)
        # What follows starts at zero (the skip at one): an untrained network says the personal decayed rate.
        self.shared_out = nn.Parameter(torch.zeros(M))
        self.target_out = nn.Parameter(torch.zeros(C, M))
        self.own_out = nn.Parameter(torch.zeros(C, own))  # a logistic regression a target
        self.skip = nn.Parameter(torch.ones(C))
        self.bias = nn.Parameter(torch.zeros(C))
        self.across = nn.Parameter(torch.zeros(C, C))  # from rates of targets to targets
        self.user_out = nn.Parameter(torch.zeros(C, U))

    def standardise(self, frequency: np.ndarray, profile: np.ndarray, *, weight: np.ndarray | None = None) -> None:
        """Take mean and spread from training arrays [B, C, F] and [B, P]; a row counts `weight` [B] times."""
        each = None if weight is None else np.repeat(weight, frequency.shape[1])  # [B * C]
        for name, values, often in (
            ("frequency", frequency.reshape(-1, self.shape.frequency), each),
            ("profile", profile, weight),
        ):
            mean, spread = _moments(values, often)
            scale = np.where(spread > 1e-3, 1 / np.maximum(spread, 1e-3), 0.0)  # a constant says nothing
            getattr(self, f"{name}_mean").copy_(torch.from_numpy(mean))
            getattr(self, f"{name}_scale").copy_(torch.from_numpy(scale))

    def project(self, found: Projection) -> None:
        """Take the profile's mean, spread and components from a projection."""
        for name in ("mean", "scale", "matrix"):
            getattr(self, f"profile_{name}").copy_(torch.from_numpy(getattr(found, name)))

    def forward(self, batch: Batch) -> Tensor:
        """Return logits [B, C]."""
        user = self._user(batch)  # [B, D]
        frequency = (batch.frequency - self.frequency_mean) * self.frequency_scale  # [B, C, F]
        weeks = batch.sequence.transpose(1, 2).to(frequency.dtype)  # [B, C, T]
        own = torch.cat([frequency, weeks], dim=2)  # [B, C, F + T]
        h = torch.relu(self.pair_of_target(own) + self.pair_of_user(user)[:, None] + self.target)  # [B, C, D]
        h = self.dropout(torch.relu(self.mix(h)))  # [B, C, D / 2]
        decayed = batch.frequency[:, :, 0]  # [B, C] logits
        logits: Tensor = (
            self.skip * decayed
            + self.bias
            + (h * (self.shared_out + self.target_out)).sum(dim=2)
            + torch.einsum("bcf,cf->bc", own, self.own_out)
            + torch.sigmoid(decayed).sqrt() @ self.across
            + user @ self.user_out.T
        )  # [B, C]
        return logits

    def _past(self, batch: Batch) -> Tensor:
        if self.shape.events is not None:
            summed: Tensor = self.events(batch.event_codes, batch.event_numbers)
        elif self.shape.text is not None:
            summed = self.weeks(batch.text)
        else:
            summed = self.weeks(batch.sequence, batch.active)
        return summed  # [B, D]

    def _user(self, batch: Batch) -> Tensor:
        profile = (batch.profile - self.profile_mean) * self.profile_scale  # [B, P]
        if self.shape.components is not None:
            profile = profile @ self.profile_matrix  # [B, N]
        known = torch.where(batch.segment > self.shape.segments, 0, batch.segment)  # [B]; a new segment is unknown
        parts = [profile, self.segment(known), self._past(batch)]
        user: Tensor = self.dropout(torch.relu(self.user(torch.cat(parts, dim=1))))  # [B, D]
        return user


def save(net: IntentNet, folder: Path) -> None:
    """Write weights and shape into an existing folder, and that it may be served in numpy where both forms agree."""
    whole, net = net, plain(net)
    if net.shape.stored is None:
        from safetensors.torch import save_file

        save_file({k: v.detach().cpu().contiguous() for k, v in net.state_dict().items()}, folder / WEIGHTS)
    else:
        _save_bytes(net, folder / WEIGHTS)
    (folder / WEIGHTS).chmod(0o644)  # safetensors makes it the owner's own; another user may serve it
    files.write_json(folder / CONFIG, {"network": net.shape.document()})
    if net.shape.architecture not in (*ENCODERS, networks.TEXT):
        log.warning("intent model: '%s' has no numpy form; torch serves it", net.shape.architecture)
        return
    if whole is net:
        with torch.random.fork_rng(devices=[]):  # a network that is built draws its first weights
            whole = load(folder)
    form = NumpyNet.load(folder)
    asked = numpy_net.drawn(net.shape, form.weights)
    served_form.note(
        folder / WEIGHTS, probabilities(whole.eval(), asked), form.probabilities(asked), what="intent model"
    )


def plain(net: IntentNet) -> IntentNet:
    """Return the network as it is saved: of one with an encoder of texts, without peft's wrapping."""
    if net.shape.text is None or net.shape.text["tune"] == PLAIN:
        return net
    shape, own = net.weeks.plain()
    with torch.random.fork_rng(devices=[]):
        made = IntentNet(shape)
    state = {name: value for name, value in net.state_dict().items() if not name.startswith("weeks.")}
    made.load_state_dict(state | {f"weeks.{name}": value for name, value in own.items()})
    return made.eval()


def read_once(net: IntentNet, encoded: Encoded) -> Encoded:
    """Return encoded rows with their texts read, where the network's encoder of texts is not trained."""
    if encoded.text is None or not net.weeks.frozen or encoded.text.dtype.kind == "f":
        return encoded
    return replace(encoded, text=net.weeks.once(encoded.text))


def _text(shape: Shape, **of_text: Any) -> nn.Module:
    from components.intent.networks import text  # with what it imports

    return text.build(shape, **of_text)


def _save_bytes(net: IntentNet, path: Path) -> None:
    """Write weights as int8; they must be rounded already, or the file would not be what was judged."""
    from safetensors.numpy import save_file

    weights = {name: np.ascontiguousarray(values.detach().cpu().numpy()) for name, values in net.state_dict().items()}
    tensors = quantize.packed(weights)
    again = quantize.unpacked(tensors)
    if odd := [name for name, values in weights.items() if not np.array_equal(values, again[name])]:
        raise ValueError(f"{path.name}: weights to be stored as int8 are not rounded to it: {', '.join(odd)}")
    save_file(tensors, path)


def load(folder: Path, device: str = "cpu") -> IntentNet:
    """Read what `save` wrote, ready to predict."""
    from safetensors.torch import load_file

    net = IntentNet(numpy_net.shape_of(folder))
    if net.shape.stored is None:
        net.load_state_dict(load_file(folder / WEIGHTS))
    else:
        whole = {name: torch.from_numpy(np.array(values)) for name, values in numpy_net.weights_of(folder).items()}
        net.load_state_dict(whole)
    return net.to(pick_device(device)).eval()


@torch.inference_mode()
def probabilities(net: IntentNet, encoded: Encoded) -> np.ndarray:
    """Score encoded rows, float32 [B, C] probabilities."""
    device = net.bias.device
    encoded = read_once(net, encoded)
    with torch.autocast("cuda", enabled=device.type == "cuda"):
        logits = net(Batch.of(encoded, device))
    return np.asarray(torch.sigmoid(logits.float()).cpu().numpy())


def _moments(values: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and spread of the columns of values [N, F], float64 [F] each.

    >>> [part.tolist() for part in _moments(np.array([[0.0], [4.0]]), np.array([3.0, 1.0]))]
    [[1.0], [1.7320508075688772]]
    """
    if weight is None:
        return values.mean(axis=0, dtype=np.float64), values.std(axis=0, dtype=np.float64)
    wide = values.astype(np.float64)
    mean = np.average(wide, axis=0, weights=weight)
    return mean, np.sqrt(np.average((wide - mean) ** 2, axis=0, weights=weight))
