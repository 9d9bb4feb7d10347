"""Event memories as the online store holds them: compressed, and encrypted where the environment gives a key.

A cell is b"" where a row was written without a memory, else `z` and zlib's bytes, or that under a seal
(feature_repo/privacy/sealing.py). Within a process and in feature files a memory is the text of feature_repo/memory.py.
"""

import zlib

from feature_repo.errors import ServerError
from feature_repo.privacy import sealing

PACKED = b"z"
LEVEL = 1  # a memory is small, and one is written for each event
WHAT = "online store: an event memory"


def packed(memory: bytes) -> bytes:
    """Return a memory as a cell of the store.

    >>> unpacked(packed(b"1")), packed(b"")
    (b'1', b'')
    """
    return sealing.given().seal(PACKED + zlib.compress(memory, LEVEL)) if memory else b""


def unpacked(cell: bytes) -> bytes:
    """Return the memory of a cell; raises SealError where its key is not at hand: it is never read as an empty one."""
    try:
        found = sealing.given().open(cell, what=WHAT)
        if not found:
            return b""
        if found[:1] != PACKED:
            raise ValueError(f"{WHAT} begins with {found[:1]!r}, not {PACKED!r}")
        return zlib.decompress(found[1:])
    except (ValueError, zlib.error) as error:
        raise ServerError(f"{WHAT} is damaged ({error}); materialise writes it anew") from error
