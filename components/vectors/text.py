"""Vectors of texts: each distinct text once, from the cache or the encoder, within a budget of time.

Pure but for the cache: the encoder and the clock come in. What the budget does not reach is left for the next run.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from components.vectors.cache import Cache
from components.vectors.encoders import Encoder
from feature_repo.errors import DataError, nearest
from feature_repo.item_vectors import unit

BATCH = 32  # texts at a time: what a killed run loses, and how far a budget is overdrawn
Clock = Callable[[], float]
Report = Callable[[float, str], None]


@dataclass(frozen=True)
class Encoded:
    """The vectors of some texts, and how they came."""

    vectors: Mapping[str, np.ndarray]  # [D] by the text's digest, of length 1
    cached: int
    computed: int
    waiting: int  # texts that the budget did not reach


def require_columns(items: pa.Table, names: Sequence[str]) -> None:
    """Refuse columns that items do not have, or that hold no text."""
    for name in names:
        have = [field.name for field in items.schema if _is_text(field.type)]
        if name not in items.column_names:
            raise DataError(
                f"vectors.text.columns: items have no column '{name}'; have {', '.join(have)}{nearest(name, have)}"
            )
        if not _is_text(items.schema.field(name).type):
            raise DataError(
                f"vectors.text.columns: '{name}' holds {items.schema.field(name).type}, no text; have {', '.join(have)}"
            )


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _is_text(kind.value_type)
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind))


def encoded(
    texts: Mapping[str, str],
    encoder: Callable[[], Encoder],
    cache: Cache,
    *,
    seconds: float,
    clock: Clock,
    report: Report = lambda share, note: None,
) -> Encoded:
    """Return vectors of texts by digest, those that come first first; stop to encode after so many seconds.

    The encoder is opened only where a text is not in the cache. One batch is encoded whatever the budget, so that runs
    come to an end.
    """
    found = cache.get(list(texts))
    todo, computed = [digest for digest in texts if digest not in found], 0
    model = encoder() if todo else None
    start = clock()  # a model that is slow to open leaves the budget whole
    while model is not None and computed < len(todo) and (not computed or clock() - start < seconds):
        batch = todo[computed : computed + BATCH]
        vectors = unit(np.asarray(model.encode([texts[digest] for digest in batch]), dtype=np.float32))
        if len(vectors) != len(batch) or not np.isfinite(vectors).all():
            raise DataError(
                f"vectors.text.encoder: gave {len(vectors)} vectors for {len(batch)} texts, or a number that is not "
                f"finite, such as for {texts[batch[0]]!r}; use another encoder"
            )
        made = {digest: vector.astype(np.float16) for digest, vector in zip(batch, vectors, strict=True)}
        cache.put(made)
        found |= made
        computed += len(batch)
        report(computed / len(todo), f"{computed:,} of {len(todo):,} texts")
    return Encoded(found, len(found) - computed, computed, len(todo) - computed)
