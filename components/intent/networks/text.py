"""A BERT over a user's past as text, in the place of an encoder of weeks.

What is trained of it the shape's `tune` says: nothing, all, or an adapter (adapters.py). One that is not trained reads
each text once. `plain` is the form that is saved: peft's adapters are merged into the layers, or, of a prefix, taken
out of peft, so that who loads it needs no peft.

Letters: B users, L tokens, H width of the BERT, D width.
"""

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.intent.behaviour.onnx_bert import OnnxBert
from components.intent.behaviour.spec import HEAD, PLAIN
from components.intent.networks import adapters
from components.intent.shape import GRAPH, Shape

AT_ONCE = 64  # texts that are read together where nothing is trained
STANDARD = 512  # texts, at most, that mean and spread are taken from
KEPT = 150_000  # vectors of texts that a process keeps of one encoder
MODELS = {"bert": "BertModel", "roberta": "RobertaModel", "xlm-roberta": "XLMRobertaModel"}


class Text(nn.Module):
    """Sum up a user's text as one vector."""

    tokenizer: Tensor  # uint8, the bytes of a JSON document
    mean: Tensor  # [H], of the vectors of training rows' texts before anything is trained
    scale: Tensor  # [H], 1 over their spread

    def __init__(self, shape: Shape, *, base: Mapping[str, np.ndarray] | None = None, tokenizer: bytes = b"") -> None:
        super().__init__()
        assert shape.text is not None
        self.shape, self.told, self.pad = shape, shape.text, int(shape.text["bert"]["pad_token_id"])
        told = torch.zeros(shape.text["tokenizer"], dtype=torch.uint8)
        if tokenizer:
            told = torch.frombuffer(bytearray(tokenizer), dtype=torch.uint8)
        self.register_buffer("tokenizer", told)
        for name, fill in (("mean", 0.0), ("scale", 1.0)):
            self.register_buffer(name, torch.full((shape.text["bert"]["hidden_size"],), fill))
        self.frozen = shape.text["tune"] in (HEAD, PLAIN) or GRAPH in shape.text
        self._int8: OnnxBert | None = None
        if GRAPH in shape.text:  # the encoder is a graph of int8, which is trained no further
            self.register_buffer(GRAPH, torch.zeros(shape.text[GRAPH], dtype=torch.uint8))
            self.bert: nn.Module = nn.Identity()
        else:
            self.bert = adapters.adapted(_bert(shape, base), shape.text)
        if self.frozen:
            self.bert.requires_grad_(False)
        self.out = nn.Linear(shape.text["bert"]["hidden_size"], shape.width)
        self.norm = nn.LayerNorm(shape.width)
        self._read: dict[bytes, np.ndarray] = {}

    def forward(self, text: Tensor) -> Tensor:
        """Return vectors [B, D] of tokens [B, L], or of what `once` made of them, [B, H]."""
        vectors = text if text.is_floating_point() else self.vectors(text)
        summed: Tensor = self.norm(self.out((vectors - self.mean) * self.scale))
        return summed

    def standardise(self, tokens: np.ndarray, *, weight: np.ndarray | None = None) -> None:
        """Take mean and spread of the vectors of training rows' texts [B, L]; a row counts `weight` [B] times.

        A BERT's vectors are alike but for little, and what is alike in all would drown what differs.
        """
        some = np.linspace(0, len(tokens) - 1, min(STANDARD, len(tokens))).astype(np.int64)
        vectors = self.once(tokens[some]).astype(np.float64)
        counts = None if weight is None else weight[some]
        mean = np.average(vectors, axis=0, weights=counts)
        spread = np.sqrt(np.average((vectors - mean) ** 2, axis=0, weights=counts))
        scale = np.where(spread > 1e-4, 1 / np.maximum(spread, 1e-4), 0.0)
        self.mean.copy_(torch.from_numpy(mean))
        self.scale.copy_(torch.from_numpy(scale))

    def vectors(self, tokens: Tensor) -> Tensor:
        """Return the mean of the last layer over the tokens of each text, [B, H]."""
        if GRAPH in self.told:
            return self._of_graph(tokens)
        keep = tokens != self.pad
        longest = max(int(keep.sum(dim=1).max()), 1)
        tokens, keep = tokens[:, :longest], keep[:, :longest]
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            h = self.bert(input_ids=tokens.long(), attention_mask=keep.long()).last_hidden_state  # [B, L, H]
        kept = keep[:, :, None].to(h.dtype)
        mean: Tensor = (h * kept).sum(dim=1) / kept.sum(dim=1).clamp(min=1)
        return mean

    def _of_graph(self, tokens: Tensor) -> Tensor:
        if self._int8 is None:
            held = getattr(self, GRAPH).cpu().numpy()
            self._int8 = OnnxBert.of(self.told, {GRAPH: held})
        return torch.from_numpy(self._int8.computed(tokens.cpu().numpy())).to(tokens.device)

    def rounded(self) -> tuple[Mapping[str, Any], dict[str, Tensor]]:
        """Return what a shape's text says of the same encoder in int8, and all weights by name, float32 but for it."""
        own = self.plain()[1]
        bert = {
            name.removeprefix("bert.").removeprefix("bert."): values.detach().cpu().numpy()
            for name, values in own.items()
            if name.startswith("bert.")
        }
        from components.intent.behaviour import onnx_graph  # which a model that is asked does not need

        held = onnx_graph.packed(self.told, bert)
        state = {name: values for name, values in own.items() if not name.startswith("bert.")}
        return {**self.told, GRAPH: len(held)}, state | {GRAPH: torch.from_numpy(held)}

    @torch.no_grad()
    def once(self, tokens: np.ndarray) -> np.ndarray:
        """Read texts [B, L] without training, each distinct one once, float32 [B, H]."""
        keys = [row.tobytes() for row in np.ascontiguousarray(tokens, dtype=np.int32)]
        new = list({key: row for row, key in enumerate(keys) if key not in self._read}.values())
        new.sort(key=lambda row: int((tokens[row] != self.pad).sum()))
        device, training = self.norm.weight.device, self.bert.training
        self.bert.eval()
        found: dict[bytes, np.ndarray] = {}
        for start in range(0, len(new), AT_ONCE):
            some = new[start : start + AT_ONCE]
            made = self.vectors(torch.from_numpy(tokens[some]).to(device)).float().cpu().numpy()
            found |= {keys[row]: vector for row, vector in zip(some, made, strict=True)}
        self.bert.train(training)
        result = np.stack([found[key] if key in found else self._read[key] for key in keys])
        if self.frozen and len(self._read) + len(found) <= KEPT:
            self._read |= found
        return result

    def train(self, mode: bool = True) -> "Text":
        """Let dropout be drawn only in what is trained."""
        super().train(mode)
        if self.frozen:
            self.bert.eval()
        return self

    def begin(self, steps: int) -> None:
        """Prepare for a stage of so many steps."""
        adapters.begin(self.bert, steps)

    def stepped(self, step: int) -> None:
        """Do what an adapter does after a step: AdaLoRA moves its budget of ranks."""
        adapters.stepped(self.bert, step)

    def plain(self) -> tuple[Shape, dict[str, Tensor]]:
        """Return the shape and the weights by name of the same encoder without peft."""
        kept = {name: value for name, value in self.told.items() if name != "rank"}
        if GRAPH in self.told:
            return replace(self.shape, text=kept | {"tune": PLAIN}), dict(self.state_dict())
        bert, more = adapters.plain(copy.deepcopy(self.bert), self.told)
        state = {name: value for name, value in self.state_dict().items() if not name.startswith("bert.")}
        state |= {f"bert.{name}": value for name, value in bert.items()}
        return replace(self.shape, text=kept | {"tune": PLAIN} | more), state


def _bert(shape: Shape, base: Mapping[str, np.ndarray] | None) -> nn.Module:
    """Return the encoder of a shape, with the weights of `base` where some are given."""
    import transformers  # seconds to import, so only where it is used

    assert shape.text is not None
    fields: dict[str, Any] = dict(shape.text["bert"])
    kind = fields.pop("model_type")
    config = transformers.AutoConfig.for_model(
        kind, **fields, hidden_dropout_prob=shape.dropout, attention_probs_dropout_prob=shape.dropout, use_cache=False
    )
    made: nn.Module = getattr(transformers, MODELS[kind])(config, add_pooling_layer=False)
    if base is not None:
        adapters.loaded(made, base)
    return made


build = Text
