"""Texts of user rows as word pieces: the tokens that a text encoder reads, in training and in serving alike.

The tokenizer is the encoder's own, as one JSON document (`tokenizers`, which needs no torch), and travels among the
model's weights as bytes.

Letters: B rows, L tokens of a text.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from components.intent.behaviour.template import Writer, digest_of
from components.intent.encode import Encoded
from feature_repo.errors import DataError
from feature_repo.rows import UserRows
from feature_repo.vocabulary import Vocabulary

if TYPE_CHECKING:
    from tokenizers import Tokenizer


LOOKED_AT = 2000  # names of items, at most, by which words that are unknown are told


@dataclass(frozen=True)
class Reader:
    """Turns user rows into tokens."""

    writer: Writer
    tokenizer: bytes  # JSON
    tokens: int  # L
    pad: int  # token that fills up

    @classmethod
    def of(cls, text: Mapping[str, Any], tokenizer: bytes, vocabulary: Vocabulary) -> "Reader":
        """Return the reader of a model's shape; DataError where another template wrote what the model learnt from."""
        if text["template"] != (mine := digest_of(text["reads"])):
            raise DataError(
                f"intent model: learnt from texts of template {text['template']}, this code writes {mine}; train again"
            )
        return cls(
            Writer.of(vocabulary, text["reads"]), tokenizer, int(text["tokens"]), int(text["bert"]["pad_token_id"])
        )

    def with_text(self, encoded: Encoded, rows: UserRows) -> Encoded:
        """Return encoded rows with their texts' tokens."""
        return replace(encoded, text=self.read(rows))

    def read(self, rows: UserRows) -> np.ndarray:
        """Return the tokens of each row's text, int32 [B, L]; the newest items come first, the rest is filled up."""
        found = np.full((len(rows), self.tokens), self.pad, dtype=np.int32)
        texts = self.writer.texts(rows)
        for row, one in enumerate(
            self._split.encode_batch(texts) if len(texts) > 1 else map(self._split.encode, texts)
        ):
            found[row, : len(one.ids)] = one.ids
        return found

    def unknown(self) -> float:
        """Return which share of the words of items' names the tokenizer does not know, 0..1; of some of the items."""
        names = [name for name in self.writer.names if name]
        some = [names[at] for at in np.linspace(0, len(names) - 1, min(LOOKED_AT, len(names))).astype(np.int64)]
        token = getattr(self._split.model, "unk_token", None)
        number = None if token is None else self._split.token_to_id(token)
        if number is None:
            return 0.0
        ids = [one.ids for one in self._split.encode_batch(some, add_special_tokens=False)]
        return sum(row.count(number) for row in ids) / max(sum(map(len, ids)), 1)

    @cached_property
    def _split(self) -> "Tokenizer":
        from tokenizers import Tokenizer

        made = Tokenizer.from_buffer(self.tokenizer)
        made.no_padding()
        made.enable_truncation(max_length=self.tokens)
        return made
