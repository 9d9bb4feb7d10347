"""The trained intent network in numpy: the form that is served, since a door without torch starts soon and is small.

It computes what `model.IntentNet` computes, in the same order, from the same weights file. A form that is not the
same to 1e-5 is not served: saving a network compares the two (`model.save`) and writes `served_form.json` beside the
weights only where they agree. A model folder without that file, as those of before this form, is served by torch.

Letters: B users, C targets, T weeks, F numbers a target, P numbers a user, D width.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from scipy.special import expit

from components import served_form
from components.intent import events, numpy_encoders, quantize
from components.intent.behaviour.numpy_text import NumpyText
from components.intent.encode import Encoded
from components.intent.numpy_encoders import linear
from components.intent.shape import CONFIG as CONFIG
from components.intent.shape import Shape
from feature_repo import files
from feature_repo.errors import DataError

WEIGHTS = "weights.safetensors"
EPSILON = np.float32(1e-5)  # of torch's LayerNorm
DRAWN = 24  # made-up users that both forms are asked about


@dataclass(frozen=True)
class NumpyNet:
    """Give every user a probability for every target."""

    shape: Shape
    weights: Mapping[str, np.ndarray]
    _made: Mapping[str, np.ndarray] = field(repr=False)  # turned and summed up once
    _past: Callable[..., np.ndarray] = field(repr=False)  # the encoder's body, or what reads a text

    @classmethod
    def of(cls, shape: Shape, weights: Mapping[str, np.ndarray]) -> "NumpyNet":
        """Return the network of a shape from its weights by name."""
        made = {
            "outs": weights["shared_out"] + weights["target_out"],  # [C, D / 2]
            "user_out": np.ascontiguousarray(weights["user_out"].T),
            "pair_of_user": np.ascontiguousarray(weights["pair_of_user.weight"].T),
        }
        token, part = ("weeks.token", "weeks") if shape.events is None else ("events.number", "events")
        for name in ((token,) if shape.text is None else ()) + ("user", "pair_of_target", "mix"):
            made[f"{name}.weight"], made[f"{name}.bias"] = linear(weights, name)
        if shape.items:
            made["titles"] = weights["events.texts"].astype(np.float32) @ weights["events.title.weight"].T  # [I + 1, D]
        if shape.text is not None:
            own = {name.removeprefix("weeks."): one for name, one in weights.items() if name.startswith("weeks.")}
            return cls(shape, weights, made, NumpyText.of(shape, own))
        body = {name.removeprefix(f"{part}.body."): values for name, values in weights.items()}
        return cls(shape, weights, made, numpy_encoders.ENCODERS[shape.architecture](shape, body))

    @classmethod
    def load(cls, folder: Path) -> "NumpyNet":
        """Read the weights that `model.save` wrote."""
        return cls.of(shape_of(folder), weights_of(folder))

    def probabilities(self, encoded: Encoded) -> np.ndarray:
        """Return the probability of each target for encoded rows, float32 [B, C]."""
        return np.asarray(expit(self.logits(encoded)))

    def logits(self, encoded: Encoded) -> np.ndarray:
        """Return logits, float32 [B, C]."""
        w, made = self.weights, self._made
        raw = encoded.frequency.astype(np.float32, copy=False)  # [B, C, F]
        B, C, F = raw.shape
        T = encoded.sequence.shape[1]
        user = self._user(encoded)  # [B, D]
        own = np.empty((B, C, F + T), dtype=np.float32)
        numbers = np.subtract(raw, w["frequency_mean"], out=own[:, :, :F])
        numbers *= w["frequency_scale"]
        own[:, :, F:] = encoded.sequence.transpose(0, 2, 1)
        h = own @ made["pair_of_target.weight"]  # [B, C, D]
        h += made["pair_of_target.bias"] + (user @ made["pair_of_user"])[:, None]
        h += w["target"]
        np.maximum(h, 0, out=h)
        h = h @ made["mix.weight"]  # [B, C, D / 2]
        h += made["mix.bias"]
        np.maximum(h, 0, out=h)
        decayed = raw[:, :, 0]  # [B, C] logits
        logits: np.ndarray = (
            w["skip"] * decayed
            + w["bias"]
            + np.vecdot(h, made["outs"])
            + np.vecdot(own, w["own_out"])
            + np.sqrt(expit(decayed)) @ w["across"]
            + user @ made["user_out"]
        )  # [B, C]
        return logits

    def forget(self) -> None:
        """Let go of vectors of texts that were read lately: what an answer costs is measured of new ones."""
        if isinstance(self._past, NumpyText):
            self._past.forget()

    @property
    def of_weeks(self) -> bool:
        """Tell whether the network reads steps, which `summed` sums up."""
        return self.shape.events is None and self.shape.text is None

    def _user(self, encoded: Encoded) -> np.ndarray:
        return self.user(encoded.profile, self.group(encoded.segment), self._summed(encoded))

    def _summed(self, encoded: Encoded) -> np.ndarray:
        """Return what the encoder makes of users' pasts, float32 [B, D]."""
        if self.shape.text is not None:
            return np.asarray(self._past(encoded))
        return self._of_events(encoded) if self.shape.events else self.summed(encoded.sequence, encoded.active)

    def group(self, segment: np.ndarray) -> np.ndarray:
        """Return the vectors of segments [B]; a new segment is unknown."""
        known = np.where(segment > self.shape.segments, 0, segment)
        return np.asarray(self.weights["segment.weight"][known])

    def summed(self, sequence: np.ndarray, active: np.ndarray) -> np.ndarray:
        """Sum up weeks [B, T, C] and their flags [B, T, 2], float32 [B, D]."""
        w, made = self.weights, self._made
        weeks = np.concatenate([sequence, active], axis=2).astype(np.float32)  # [B, T, C + 2]
        h = self._past(weeks @ made["weeks.token.weight"] + made["weeks.token.bias"])  # [B, T, D]
        summed = h[:, -1] + h.sum(axis=1) / np.float32(h.shape[1])
        return numpy_encoders.normed(summed, w["weeks.norm.weight"], w["weeks.norm.bias"], EPSILON)  # [B, D]

    def _of_events(self, encoded: Encoded) -> np.ndarray:
        w, made, encoded = self.weights, self._made, events.trimmed(encoded)
        codes, numbers = encoded.event_codes, encoded.event_numbers
        assert codes is not None, "rows were encoded for a network of steps"
        assert numbers is not None, "rows were encoded for a network of steps"
        there = codes[:, :, 0] != events.PADDING  # [B, L]
        some = there.any(axis=1, keepdims=True)
        read = there.copy()
        read[:, -1:] |= ~some
        token = w["events.kind.weight"][codes[:, :, 0]] + w["events.band.weight"][codes[:, :, 1]]
        last = -1 if self.shape.items else None  # the code that is the item
        token += w["events.target.weight"][codes[:, :, 2:last]].sum(axis=2)
        if self.shape.items:
            token += made["titles"][codes[:, :, -1]]
        token += numbers.astype(np.float32, copy=False) @ made["events.number.weight"] + made["events.number.bias"]
        h = self._past(token, read)  # [B, L, D]
        mean = (h * read[:, :, None]).sum(axis=1) / read.sum(axis=1, keepdims=True).astype(np.float32)
        summed = numpy_encoders.normed(h[:, -1] + mean, w["events.norm.weight"], w["events.norm.bias"], EPSILON)
        return np.asarray(some * summed)

    def user(self, numbers: np.ndarray, group: np.ndarray, summed: np.ndarray) -> np.ndarray:
        """Join a user's numbers [B, P], segment's vector and summed weeks, float32 [B, D]."""
        w, made = self.weights, self._made
        profile = (numbers.astype(np.float32, copy=False) - w["profile_mean"]) * w["profile_scale"]  # [B, P]
        if self.shape.components is not None:
            profile = profile @ w["profile_matrix"]  # [B, N]
        parts = np.concatenate([profile, group, summed], axis=1)
        return np.asarray(np.maximum(parts @ made["user.weight"] + made["user.bias"], 0))  # [B, D]

    def logit_of(self, target: int, raw: np.ndarray, flags: np.ndarray, user: np.ndarray) -> np.ndarray:
        """Return one target's logit but for what it takes from other targets' rates, float32 [B].

        From its frequency numbers [B, F], whether it was fulfilled in each week [B, T], and the users' vectors [B, D].
        """
        w, made = self.weights, self._made
        own = np.concatenate([(raw - w["frequency_mean"]) * w["frequency_scale"], flags], axis=1)  # [B, F + T]
        h = own @ made["pair_of_target.weight"] + made["pair_of_target.bias"] + user @ made["pair_of_user"]
        h = np.maximum(h + w["target"][target], 0)  # [B, D]
        h = np.maximum(h @ made["mix.weight"] + made["mix.bias"], 0)  # [B, D / 2]
        found = w["skip"][target] * raw[:, 0] + w["bias"][target] + h @ made["outs"][target]
        return np.asarray(found + own @ w["own_out"][target] + user @ w["user_out"][target])

    def from_rates(self, target: int, decayed: np.ndarray) -> np.ndarray:
        """Return what one target's logit takes from the rate of each target, logits [B, C], float32 [B, C]."""
        return np.asarray(np.sqrt(expit(decayed)) * self.weights["across"][:, target])


def shape_of(folder: Path) -> Shape:
    """Read what a model folder's network is built from."""
    if not (folder / CONFIG).is_file():
        raise DataError(f"{folder}: no {CONFIG}; this is no trained intent model, run the pipeline again")
    return Shape(**files.read_json(folder / CONFIG)["network"])


def weights_of(folder: Path) -> dict[str, np.ndarray]:
    """Read a network's weights by name, float32 also where the file holds int8."""
    from safetensors.numpy import load_file

    tensors = load_file(folder / WEIGHTS)
    return dict(tensors) if shape_of(folder).stored is None else quantize.unpacked(tensors)


def served(folder: Path) -> NumpyNet | None:
    """Return the form that a model folder is served in, None where only torch can: it is older, or they differ."""
    return NumpyNet.load(folder) if served_form.proven(folder, folder / WEIGHTS, what="intent model") else None


def drawn(shape: Shape, weights: Mapping[str, np.ndarray], *, rows: int = DRAWN) -> Encoded:
    """Make up encoded users as wide as training's were, the first of them nobody: to compare both forms on."""
    rng = np.random.default_rng(0)

    def like(name: str, *size: int) -> np.ndarray:
        spread = np.where(scale := weights[f"{name}_scale"], 1 / np.where(scale, scale, 1), 0)
        made: np.ndarray = weights[f"{name}_mean"] + spread * rng.normal(0, 2, (rows, *size, len(scale)))
        made[0] = 0
        return made.astype(np.float32)

    sequence = (rng.random((rows, shape.weeks, shape.targets)) < 0.2).astype(np.uint8)
    sequence[0] = 0
    active = np.stack([sequence.any(axis=2), np.ones(sequence.shape[:2], bool)], axis=2).astype(np.uint8)
    active[0] = 0
    made = Encoded(
        frequency=like("frequency", shape.targets),
        sequence=sequence,
        active=active,
        profile=like("profile"),
        segment=np.arange(rows) % (shape.segments + 2),  # one that training never saw, too
        **({} if shape.events is None else _drawn_events(shape, weights, rng, rows)),
    )
    if shape.text is None:
        return made
    bert, most = shape.text["bert"], int(shape.text["tokens"])
    tokens = rng.integers(0, bert["vocab_size"], (rows, most)).astype(np.int32)
    tokens[tokens == bert["pad_token_id"]] += 1 if bert["pad_token_id"] == 0 else -1
    length = rng.integers(2, most + 1, rows)
    length[0] = 2  # nobody's text is where it begins and where it ends
    tokens[np.arange(most) >= length[:, None]] = bert["pad_token_id"]
    return replace(made, text=tokens)


def _drawn_events(
    shape: Shape, weights: Mapping[str, np.ndarray], rng: np.random.Generator, rows: int
) -> dict[str, np.ndarray]:
    """Make up memories of all lengths, the first of them empty."""
    assert shape.events is not None
    L, most = shape.events, 3
    there = np.arange(L)[None] >= L - np.linspace(0, L, rows).astype(int)[:, None]  # [B, L]
    names = ["events.kind.weight", "events.band.weight", *["events.target.weight"] * most]
    sizes = [weights[name] for name in names + (["events.texts"] if shape.items else [])]
    codes = np.stack([rng.integers(0, len(table), (rows, L)) for table in sizes], axis=2)
    codes[:, :, 0] = np.maximum(codes[:, :, 0], events.OTHER)
    numbers = rng.random((rows, L, shape.event_numbers)) * 2
    return {
        "event_codes": (codes * there[:, :, None]).astype(np.int32),
        "event_numbers": (numbers * there[:, :, None]).astype(np.float32),
    }
