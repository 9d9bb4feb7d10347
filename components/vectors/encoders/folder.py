"""A model for `transformers` in a folder: the mean of its last hidden states over a text's tokens.

What sentence-transformers' models of mean pooling do. The folder holds config.json, weights as safetensors and the
tokenizer's files; code in it is not run.

Letters: N texts, T tokens, D components.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from feature_repo.errors import DataError
from feature_repo.item_vectors import unit

DISTRIBUTION, REVISION = "", 1
MOST_TOKENS = 128


class MeanPooled:
    """A transformer whose token states are averaged."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call,unused-ignore]
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
        except (OSError, ValueError, KeyError) as error:
            first = str(error).strip().splitlines()[0]
            raise DataError(f"vectors.text.encoder: {folder} cannot be loaded ({first}); mend the folder") from None
        self._width = int(self._model.config.hidden_size)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return the texts' vectors, float32 [N, D]."""
        import torch

        if not texts:
            return np.zeros((0, self._width), np.float32)
        batch = self._tokenizer(list(texts), padding=True, truncation=True, max_length=MOST_TOKENS, return_tensors="pt")
        with torch.inference_mode():
            hidden = self._model(**batch).last_hidden_state  # [N, T, D]
        mask = batch["attention_mask"][:, :, None].float()  # [N, T, 1]
        mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        return unit(mean.numpy().astype(np.float32))


def open(folder: Path | None) -> MeanPooled:
    """Return the encoder in a folder."""
    assert folder is not None
    return MeanPooled(folder)
