"""A user's row as one cell: what a door reads for an answer, instead of some seventy cells of several views.

The cell lies in `user_made_of`, beside what says of which batch's row and of which pushed events the row is made. It
begins with the digest of its schema and with the mark of that provenance, and a reader takes it only where it has the
schema that the reader knows and the mark of the provenance that was read with it. A door of an older release writes
the views and the provenance, and leaves the cell as it was: such a row is read from its views, not from an old blob.

It holds what the views that models read hold, to the bit: no event memory, no text.

    24 bytes   digest of the schema (8), mark of the provenance (16)
    8 a piece  state_at, numbers as doubles
    4 a piece  whether times are wide, lengths of the lists
    times      of all lists: 4 bytes each while all lie within 1970..2106, else 8
    4 a piece  whole numbers of all lists, then decimals of all lists

Letters: B rows, L lists.
"""

import hashlib
import itertools
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from feature_repo import columns
from feature_repo.online.feast_values import LIST, TEXTS
from feature_repo.online.provenance import BLOB_HEAD, Provenance
from feature_repo.rows import LIST_TYPES, Ragged, UserRows

VERSION = "1"
SCHEMA_BYTES = 8
HEAD, MARK_BYTES = BLOB_HEAD, BLOB_HEAD - SCHEMA_BYTES
NARROW = 2**32  # times below it, and none below 0, fit four bytes


def mark(made: Provenance) -> bytes:
    """Return what ties a blob to the provenance of its row: of which batch's row and which events it is made."""
    return hashlib.blake2b(f"{made.row}\n{made.data_end}\n{made.folded}".encode(), digest_size=MARK_BYTES).digest()


@dataclass(frozen=True)
class RowBlob:
    """How the rows of one kind are laid out: the names of numbers and lists in the order of the views that models read.

    >>> form = RowBlob.of([{"state_at": "int64_val", "segment": "int64_val", "target_ids": "int32_list_val"}])
    >>> cell = form.pack({"state_at": 7, "segment": 3.0, "target_ids": [4, 5]}, made=Provenance("v:d"))
    >>> form.rows([form.parts(cell, made=Provenance("v:d"))], ["ann"], now=9).lists["target_ids"].values.tolist()
    [4, 5]
    >>> form.parts(cell, made=Provenance("v:other")) is None
    True
    """

    numbers: tuple[str, ...]
    whole: frozenset[str]  # of the numbers those that the views hold as integers
    lists: tuple[str, ...]

    @classmethod
    def of(cls, views: Sequence[Mapping[str, str]]) -> "RowBlob":
        """Lay out views, each a feature's field of Feast's Value by name, as `feast_values.arrays` reads them."""
        numbers: dict[str, str] = {}
        lists: list[str] = []
        for kinds in views:
            numbers |= {n: k for n, k in kinds.items() if not k.endswith(LIST) and k not in TEXTS}
            some = [(n, k) for n, k in kinds.items() if k.endswith(LIST)]
            lists += [n for floats in (True, False) for n, k in some if (k == "float_list_val") is floats]
        numbers.pop(columns.STATE_AT, None)
        return cls(tuple(numbers), frozenset(n for n, k in numbers.items() if k.startswith("int")), tuple(lists))

    @cached_property
    def schema(self) -> bytes:
        """Digest of all that a reader must agree on: version, names, their order, their types."""
        kinds = [f"{name}:{np.dtype(LIST_TYPES[name]).str}" for name in self.lists]
        text = "\n".join([VERSION, *self.numbers, *(f"{name} whole" for name in sorted(self.whole)), *kinds])
        return hashlib.blake2b(text.encode(), digest_size=SCHEMA_BYTES).digest()

    def head(self, made: Provenance) -> bytes:
        """Return what a blob of the row that is `made` so begins with."""
        return self.schema + mark(made)

    def pack(self, cells: Mapping[str, Any], *, made: Provenance) -> bytes:
        """Return a row's cells, by name, as a blob of the row that is `made` so."""
        numbers = [int(cells[name]) if name in self.whole else cells[name] for name in self.numbers]
        arrays = {kind: [np.asarray(cells[name], kind) for name in names] for kind, names in self._by_kind.items()}
        of = {name: one for kind, names in self._by_kind.items() for name, one in zip(names, arrays[kind], strict=True)}
        times = np.concatenate([np.empty(0, np.int64), *arrays[np.int64]])
        wide = bool(len(times)) and not (int(times.min()) >= 0 and int(times.max()) < NARROW)
        lengths = [int(wide), *(len(of[name]) for name in self.lists)]
        parts = [
            self.head(made),
            np.asarray([int(cells[columns.STATE_AT])], "<i8").tobytes(),
            np.asarray(numbers, "<f8").tobytes(),
            np.asarray(lengths, "<u4").tobytes(),
            times.astype("<i8" if wide else "<u4").tobytes(),
            *(one.astype("<i4").tobytes() for one in arrays[np.int32]),
            *(one.astype("<f4").tobytes() for one in arrays[np.float32]),
        ]
        return b"".join(parts)

    def parts(self, blob: bytes, *, made: Provenance) -> "Parts | None":
        """Take a blob apart; None where it is none, of another schema, or of another row than the one `made` so."""
        if blob[:SCHEMA_BYTES] != self.schema or blob[:HEAD] != self.head(made):
            return None
        n, L = len(self.numbers), len(self.lists)
        at = HEAD + 8 * (1 + n)
        if len(blob) < at + 4 * (1 + L):
            return None
        wide, *lengths = struct.unpack_from(f"<{1 + L}I", blob, at)
        at += 4 * (1 + L)
        values: dict[str, np.ndarray] = {}
        for kind, places in self._places.items():
            stored = ("<i8" if wide else "<u4") if kind is np.int64 else "<i4" if kind is np.int32 else "<f4"
            ends = list(itertools.accumulate([lengths[place] for _, place in places], initial=0))
            if len(blob) < (end := at + ends[-1] * (8 if stored == "<i8" else 4)):
                return None
            whole, at = np.frombuffer(blob, stored, ends[-1], at), end
            whole = whole.astype(kind) if kind is np.int64 and not wide else whole
            for (name, _), begin, end in zip(places, ends, ends[1:], strict=False):
                values[name] = whole[begin:end]
        if len(blob) != at:
            return None
        (state_at,) = struct.unpack_from("<q", blob, HEAD)
        return Parts(state_at, np.frombuffer(blob, "<f8", n, HEAD + 8), values, lengths)

    def rows(self, parts: Sequence["Parts"], users: Sequence[str], *, now: int) -> UserRows:
        """Lay rows out as arrays: those of `feast_values.arrays` over the same rows, to the bit."""
        matrix = np.asarray([one.numbers for one in parts]).T  # [numbers, B]
        ends = np.zeros((len(self.lists), 1 + len(parts)), dtype=np.int64)
        if len(parts) == 1:
            ends[:, 1] = parts[0].lengths
        else:
            np.cumsum(np.asarray([one.lengths for one in parts], dtype=np.int64).T, axis=1, out=ends[:, 1:])
        alone = parts[0].lists if len(parts) == 1 else None
        return UserRows(
            user_id=np.asarray(users, dtype=object),
            now=np.full(len(users), now, dtype=np.int64),
            state_at=np.asarray([one.state_at for one in parts], dtype=np.int64),
            known=np.ones(len(users), dtype=bool),
            numbers=dict(zip(self.numbers, matrix, strict=True)),
            lists={
                name: Ragged(alone[name] if alone else np.concatenate([one.lists[name] for one in parts]), ends[place])
                for place, name in enumerate(self.lists)
            },
        )

    @cached_property
    def _places(self) -> dict[Any, tuple[tuple[str, int], ...]]:
        """Return the names of lists by the type of their values, as `_by_kind`, each with its place among all."""
        place = {name: number for number, name in enumerate(self.lists)}
        return {kind: tuple((name, place[name]) for name in names) for kind, names in self._by_kind.items()}

    @cached_property
    def _by_kind(self) -> dict[Any, tuple[str, ...]]:
        """Return the names of lists by the type of their values, in the order that a blob has them."""
        kinds = (np.int64, np.int32, np.float32)
        return {kind: tuple(name for name in self.lists if LIST_TYPES[name] is kind) for kind in kinds}


@dataclass(frozen=True)
class Parts:
    """One row, taken out of its blob."""

    state_at: int
    numbers: np.ndarray  # float64, in the order of the form
    lists: Mapping[str, np.ndarray]
    lengths: list[int] = field(repr=False)  # in the order of the form
