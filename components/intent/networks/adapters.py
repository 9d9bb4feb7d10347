"""What is trained of a text encoder: adapters of peft, or bottlenecks of our own, in the layers of a BERT.

Each begins as the identity, or, a prefix, as tokens before the text. peft is imported where the spec asks for one of
its own alone.

Letters: H width, P tokens of a prefix, A heads, N layers.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.intent.behaviour.spec import ADAPTER, FULL, HEAD, MERGED, PREFIX
from feature_repo.errors import DataError

ATTENTION = ["query", "value"]
SCALE = 2  # lora_alpha over the rank


class Bottleneck(nn.Module):
    """A layer's last map, and beside it a narrow way that begins as nothing (Houlsby et al., 2019)."""

    def __init__(self, inner: nn.Linear, width: int) -> None:
        super().__init__()
        self.inner = inner
        self.down = nn.Linear(inner.out_features, width)
        self.up = nn.Linear(width, inner.out_features)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., I] to [..., H]."""
        y = self.inner(x)
        wide: Tensor = y + self.up(torch.relu(self.down(y)))
        return wide


class Prefixed(nn.Module):
    """An encoder that sees keys and values of its own before each text (Li and Liang, 2021)."""

    def __init__(self, bert: nn.Module, size: int) -> None:
        super().__init__()
        config: Any = bert.config
        heads, width = config.num_attention_heads, config.hidden_size
        self.bert = bert
        self.prefix = nn.Parameter(torch.zeros(config.num_hidden_layers, 2, heads, size, width // heads))

    def forward(self, *, input_ids: Tensor, attention_mask: Tensor) -> Any:
        """Return what the encoder does of tokens [B, L]."""
        from transformers import DynamicCache

        B, P = len(input_ids), self.prefix.shape[3]
        before = [(layer[0].expand(B, -1, -1, -1), layer[1].expand(B, -1, -1, -1)) for layer in self.prefix]
        mask = torch.cat([attention_mask.new_ones(B, P), attention_mask], dim=1)
        return self.bert(input_ids=input_ids, attention_mask=mask, past_key_values=DynamicCache(before))


def loaded(bert: nn.Module, base: Mapping[str, np.ndarray]) -> None:
    """Put weights into an encoder; DataError where they are of another shape."""
    own = bert.state_dict()
    missing = [name for name in own if name not in base]
    odd = [name for name in own if name in base and tuple(base[name].shape) != tuple(own[name].shape)]
    if missing or odd:
        what = f"lack {missing[0]}" if missing else f"have {odd[0]} of another size than their config says"
        raise DataError(f"models.intent.text.weights: the weights {what}; name a folder whose files belong together")
    bert.load_state_dict({name: torch.from_numpy(base[name]) for name in own})


def adapted(bert: nn.Module, text: Mapping[str, Any]) -> nn.Module:
    """Return the encoder with what the shape says is trained of it."""
    tune = text["tune"]
    if tune in (HEAD, FULL):
        return bert
    if tune == ADAPTER or text.get(ADAPTER):
        return _bottlenecked(bert, text.get(ADAPTER) or text["rank"], trains=tune == ADAPTER)
    if text.get(PREFIX):
        return Prefixed(bert, text[PREFIX])
    return _of_peft(bert, text) if tune in (*MERGED, PREFIX) else bert


def _bottlenecked(bert: nn.Module, width: int, *, trains: bool) -> nn.Module:
    bert.requires_grad_(False)
    layers: Any = bert.encoder.layer  # type: ignore[union-attr]
    for layer in layers:
        layer.output.dense = Bottleneck(layer.output.dense, width)
        for part in (layer.output.dense.down, layer.output.dense.up):
            part.requires_grad_(trains)
    return bert


def _of_peft(bert: nn.Module, text: Mapping[str, Any]) -> nn.Module:
    try:
        import peft
    except ImportError:
        raise DataError(
            f"models.intent.text.tune: {text['tune']} needs the package peft, which is not installed; pip install "
            f"'intentflow[text]', or use {HEAD}, {FULL} or {ADAPTER}"
        ) from None
    tune, rank = text["tune"], text.get("rank", 0)
    lora: dict[str, Any] = {"lora_alpha": SCALE * rank, "lora_dropout": 0.0, "target_modules": ATTENTION}
    config: Any
    if tune in ("lora", "dora"):
        config = peft.LoraConfig(r=rank, use_dora=tune == "dora", **lora)
    elif tune == "adalora":
        config = peft.AdaLoraConfig(init_r=rank + (rank + 1) // 2, target_r=rank, total_step=3, **lora)
    elif tune == "ia3":
        config = peft.IA3Config(target_modules=["key", "value", "output.dense"], feedforward_modules=["output.dense"])
    else:
        config = peft.PrefixTuningConfig(task_type="FEATURE_EXTRACTION", num_virtual_tokens=rank)
    try:
        made: nn.Module = peft.get_peft_model(bert, config)  # type: ignore[arg-type,unused-ignore]
    except ValueError as error:
        first = str(error).strip().splitlines()[0]
        raise DataError(
            f"models.intent.text.tune: {tune} does not fit the encoder ({first[:160]}); use {HEAD}, {FULL} or {ADAPTER}"
        ) from None
    return made


def begin(bert: nn.Module, steps: int) -> None:
    """Tell AdaLoRA how long a stage is: a tenth at the whole budget, the last fifth at the target."""
    config = getattr(bert, "peft_config", {}).get("default")
    if config is not None and hasattr(config, "total_step"):
        config.total_step, config.tinit, config.tfinal = max(steps, 3), steps // 10, max(steps // 5, 1)
        config.rank_pattern = None
        _any(bert).base_model.rankallocator.reset_ipt()  # else a refit, which begins anew, would go another way


def stepped(bert: nn.Module, step: int) -> None:
    """Move AdaLoRA's budget after a step, before its gradients are cleared."""
    config = getattr(bert, "peft_config", {}).get("default")
    if config is not None and hasattr(config, "total_step"):
        _any(bert).base_model.update_and_allocate(step)


def plain(bert: nn.Module, text: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the weights by name of an encoder that is taken apart for it, and what a plain shape says more."""
    tune, model = text["tune"], _any(bert)
    if tune in MERGED:
        return dict(model.merge_and_unload().state_dict()), {}
    if tune == ADAPTER:
        return dict(model.state_dict()), {ADAPTER: text["rank"]}
    if tune != PREFIX:
        return dict(model.state_dict()), {name: text[name] for name in (PREFIX, ADAPTER) if name in text}
    with torch.no_grad():
        told = model.prompt_encoder["default"](model.prompt_tokens["default"])  # [P, N * 2 * H]
    inner, size = model.get_base_model(), text["rank"]
    heads, layers = text["bert"]["num_attention_heads"], text["bert"]["num_hidden_layers"]
    prefix = told.view(size, layers, 2, heads, -1).permute(1, 2, 3, 0, 4).contiguous()  # [N, 2, A, P, H / A]
    return {"prefix": prefix} | {f"bert.{name}": value for name, value in inner.state_dict().items()}, {PREFIX: size}


def _any(module: nn.Module) -> Any:
    return module  # peft's methods are known to no type checker
