"""The event memory as parallel lists of a user row: the one reading of it that training and serving share.

A memory names kinds, items and sessions by text; a model reads numbers. A kind becomes its checksum, which needs no
table of kinds. An item becomes its position in the vocabulary, or, where that has none, a number below `NO_ITEM` that
is the same for the same item within this memory and means nothing outside of it, so that nobody is named by it. Of
sessions stays where another one begins. The targets of an event are those of its item, whatever the kind.

Letters: B rows, N events over all rows.
"""

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import memory
from feature_repo.errors import DataError
from feature_repo.rows import LIST_TYPES, Ragged
from feature_repo.vocabulary import Vocabulary

NO_ITEM = -1  # of an event without an item; what no vocabulary has is below it
CELLS = 5  # of a line: instant, session, item, kind, value; a text more in a memory that has them


def checksum(kind: str) -> int:
    """Return the number of a kind of event, 32 bits.

    >>> checksum("view") == checksum("cart")
    False
    """
    return zlib.crc32(kind.encode())


def of(memories: pa.Array | Sequence[bytes], vocabulary: Vocabulary, *, texts: bool = False) -> dict[str, Ragged]:
    """Return the lists of `columns.EVENT_LISTS` for the memories of B rows; a null has no events.

    With `texts` also those of `columns.EVENT_TEXT_LISTS`. Raises DataError on a memory of another form.
    """
    lines, offsets = _lines(memories)
    at, session, item, kind, value, written = _cells(lines)
    row = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    names, code = _told_apart(item)
    counts, targets = _targets(names, code, vocabulary)
    ends = np.concatenate([[0], np.cumsum(counts)])[offsets]
    values = {
        "event_at": at.cast(pa.int64()).to_numpy(),
        "event_kinds": _kinds(kind),
        "event_items": _items(names, code, row, vocabulary),
        "event_values": value.cast(pa.float64()).to_numpy(),
        "event_opens": _opens(session, row),
        "event_target_counts": counts,
    }
    found = {name: Ragged(np.asarray(column, dtype=LIST_TYPES[name]), offsets) for name, column in values.items()}
    found["event_targets"] = Ragged(targets.astype(np.int32), ends.astype(np.int64))
    return found | (_texts(written, offsets) if texts else {})


def texts_of(counts: np.ndarray, values: np.ndarray) -> list[str]:
    """Return the texts of a row's events from its lists of `columns.EVENT_TEXT_LISTS`.

    >>> texts_of(np.array([2, 0, 1]), np.array([104, 105, 33]))
    ['hi', '', '!']
    """
    whole = values.astype(np.uint8).tobytes()
    ends = np.cumsum(counts.astype(np.int64))
    return [whole[end - count : end].decode() for end, count in zip(ends.tolist(), counts.tolist(), strict=True)]


def arrow(lists: Mapping[str, Ragged]) -> dict[str, pa.Array]:
    """Return the lists as columns of a table."""
    return {
        name: pa.ListArray.from_arrays(pa.array(ragged.offsets.astype(np.int32)), pa.array(ragged.values))
        for name, ragged in lists.items()
    }


def _cells(lines: pa.Array) -> tuple[pa.Array, ...]:
    """Return the cells of events, column by column; of a memory without texts the last ones are empty."""
    tabs = pc.count_substring(lines, "\t").to_numpy()
    short = tabs == CELLS - 1
    if not (short | (tabs == CELLS)).all():
        raise DataError(
            f"memory: {int(tabs.sum()) + len(tabs)} cells in {len(lines)} events, {CELLS} are expected; materialise "
            "again"
        )
    if short.all():
        return *_columns(lines, CELLS), pa.array([""] * len(lines), pa.large_string())
    if short.any():  # some of either form
        ended = pc.binary_join_element_wise(lines, pa.scalar("", lines.type), pa.scalar("\t", lines.type))
        lines = pc.if_else(pa.array(short), ended, lines)
    return _columns(lines, CELLS + 1)


def _columns(lines: pa.Array, n: int) -> tuple[pa.Array, ...]:
    cells = pc.split_pattern(lines, "\t").flatten()
    return tuple(cells.take(pa.array(np.arange(place, len(cells), n))) for place in range(n))


def _texts(written: pa.Array, offsets: np.ndarray) -> dict[str, Ragged]:
    names, code = _told_apart(written)
    each = [np.frombuffer(name.encode(), dtype=np.uint8) for name in names]
    counts = np.asarray([len(one) for one in each], dtype=np.int64)[code]  # [N]
    flat = np.concatenate([np.empty(0, np.uint8), *(each[one] for one in code)])
    ends = np.concatenate([[0], np.cumsum(counts)])[offsets]
    return {
        "event_text_counts": Ragged(counts.astype(np.int32), offsets),
        "event_texts": Ragged(flat.astype(np.int32), ends.astype(np.int64)),
    }


def _lines(memories: pa.Array | Sequence[bytes]) -> tuple[pa.Array, np.ndarray]:
    """Return the events' lines and where each row's begin and end, int64 [B + 1]."""
    array = memories if isinstance(memories, pa.Array) else pa.array(list(memories), pa.binary())
    texts = pc.fill_null(array, memory.EMPTY).cast(pa.large_binary()).cast(pa.large_string())
    split = pc.split_pattern(texts, "\n")  # the head, then a line an event
    starts = split.offsets.to_numpy().astype(np.int64)
    flat = split.flatten()
    for head in pc.unique(flat.take(pa.array(starts[:-1] - starts[0]))).to_pylist():
        memory.decode(head.encode())  # refuses a form that this code does not read
    kept = np.ones(len(flat), dtype=bool)
    kept[starts[:-1] - starts[0]] = False
    return flat.filter(pa.array(kept)), starts - starts[0] - np.arange(len(starts))


def _told_apart(texts: pa.Array) -> tuple[list[str], np.ndarray]:
    """Return the distinct texts, as they were before they were written, and which is whose, int64 [N]."""
    found = texts.dictionary_encode()
    names = [memory.plain(text) for text in found.dictionary.to_pylist()]
    return names, found.indices.to_numpy().astype(np.int64)


def _kinds(texts: pa.Array) -> np.ndarray:
    names, code = _told_apart(texts)
    return np.asarray(np.asarray([checksum(name) for name in names], dtype=np.int64)[code])


def _opens(session: pa.Array, row: np.ndarray) -> np.ndarray:
    """Mark the events at which another session begins than that of the event before, int64 [N]."""
    _, code = _told_apart(session)
    opens = np.ones(len(code), dtype=np.int64)
    opens[1:] = (code[1:] != code[:-1]) | (row[1:] != row[:-1])
    return opens


def _items(names: list[str], code: np.ndarray, row: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
    """Return the items' numbers, int64 [N]."""
    index = vocabulary.index_of_item
    place = np.asarray([index.get(name, NO_ITEM - 1 if name else NO_ITEM) for name in names], dtype=np.int64)[code]
    odd = np.flatnonzero(place < NO_ITEM)
    if len(odd):  # numbered by first appearance within the row
        _, first, which = np.unique(row[odd] * len(names) + code[odd], return_index=True, return_inverse=True)
        order = np.argsort(first, kind="stable")
        owner = row[odd][first][order]
        number = np.empty(len(first), dtype=np.int64)
        number[order] = np.arange(len(first)) - np.searchsorted(owner, owner)
        place[odd] = NO_ITEM - 1 - number[which]
    return np.asarray(place)


def _targets(names: list[str], code: np.ndarray, vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
    """Return how many targets each event's item has, int64 [N], and these, event by event."""
    known = [vocabulary.targets_of_item.get(name, ()) for name in names]
    lengths = np.asarray([len(targets) for targets in known], dtype=np.int64)
    flat = np.asarray([target for targets in known for target in targets], dtype=np.int64)
    starts = np.cumsum(lengths) - lengths
    counts = lengths[code] if len(code) else np.zeros(0, dtype=np.int64)
    ends = np.cumsum(counts)
    index = np.repeat(starts[code] - (ends - counts), counts) + np.arange(int(ends[-1]) if len(ends) else 0)
    return counts, flat[index.astype(np.int64)]
