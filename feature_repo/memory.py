"""The event memory of a user row: the user's last events in order, as one short text.

`last_events.py` says which events a cutoff knows, for the batch; here one event after another is added, for the door.
Order is by instant, then by session, item, kind and value: two events that agree in all of it are one and the same to a
reader, so that any order of arrival gives the same memory. Items are told by their id: what no vocabulary has is kept.
Where the spec keeps what users wrote, lines have a sixth cell and the form has another name.

The text is UTF-8: a line with the version of this form, then a line an event, oldest first. It has no key of its own
and names people only where items are people, or where a session is called after its user.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from feature_repo.columns import MEMORY_EVENTS
from feature_repo.errors import DataError

VERSION = b"1"
OF_TEXTS = b"1+text"  # of a memory whose events have their texts as a sixth cell
VERSIONS = (VERSION, OF_TEXTS)
EMPTY = VERSION  # of a user without events; b"" says that a row was written without a memory
ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"))  # what ends a cell or a line cannot stand in one


class Remembered(NamedTuple):
    """One event of a memory; memories are in the order of these fields."""

    at: int  # epoch seconds, UTC
    session_id: str
    item_id: str  # '' of an event without an item
    event: str  # its kind
    value: float
    text: str = ""  # what the user wrote, masked; '' where nothing, or where the spec keeps no texts


def encode(events: Iterable[Remembered]) -> bytes:
    r"""Write the last events of some, in any order, as a memory.

    >>> encode([Remembered(9, "s2", "i7", "view", 0.0), Remembered(7, "s1", "i7", "cart", 2.5)])
    b'1\n7\ts1\ti7\tcart\t2.5\n9\ts2\ti7\tview\t0'
    """
    found = sorted(events)
    texts = any(event.text for event in found)
    return _whole([_line(event, texts=texts) for event in found], texts=texts)


def decode(memory: bytes) -> list[Remembered]:
    """Read a memory, oldest event first; one that was never written (an older row) has none."""
    return [_event(line) for line in _lines(memory)]


def added(memory: bytes, events: Sequence[Remembered]) -> bytes:
    """Return a memory with more events in their places; what is older than all that it may keep is dropped."""
    lines, new = _lines(memory), sorted(events)
    texts, written = _of_texts(memory), any(event.text for event in new)
    # Late, or the first text: seldom, so that an event costs one line, not 64.
    if lines and ((new and _event(lines[-1]) > new[0]) or (written and not texts)):
        return encode([*map(_event, lines), *new])
    texts = texts or written
    return _whole([*lines, *(_line(event, texts=texts) for event in new)], texts=texts)


def without(memory: bytes, names: Iterable[str]) -> bytes:
    r"""Return a memory without the events that name someone, as an item or in a session's name.

    >>> without(b"1\n7\ts1\tf00d\tfollow\t0\n9\ts1\ti7\tview\t0", ["f00d"])
    b'1\n9\ts1\ti7\tview\t0'
    """
    told = [name.encode() for name in names]
    lines = _lines(memory)
    kept = [line for line in lines if not any(name in line for name in told)]
    return memory if len(kept) == len(lines) else _whole(kept, texts=_of_texts(memory))


def readable(memory: bytes) -> bool:
    """Tell whether a text is a memory of a version that this code reads.

    >>> readable(EMPTY), readable(b"2 of tomorrow")
    (True, False)
    """
    return not memory or memory.partition(b"\n")[0] in VERSIONS


def _of_texts(memory: bytes) -> bool:
    return memory.partition(b"\n")[0] == OF_TEXTS


def _lines(memory: bytes) -> list[bytes]:
    if not readable(memory):
        said = memory.partition(b"\n")[0][:20].decode("utf-8", "replace")
        raise DataError(
            f"memory: form '{said}' of a user row is unknown, this code reads {VERSION.decode()}; a newer release "
            "wrote the rows: run its code, or materialise again with this one"
        )
    return memory.split(b"\n")[1:]


def _whole(lines: list[bytes], *, texts: bool) -> bytes:
    return b"\n".join([OF_TEXTS if texts else VERSION, *lines[-MEMORY_EVENTS:]])


def _line(event: Remembered, *, texts: bool) -> bytes:
    named = (_escaped(text) for text in (event.session_id, event.item_id, event.event))
    cells = [str(event.at), *named, repr(event.value).removesuffix(".0")]
    return "\t".join([*cells, _escaped(event.text)] if texts else cells).encode()


def _event(line: bytes) -> Remembered:
    at, session, item, kind, value, *text = line.decode().split("\t")
    return Remembered(int(at), plain(session), plain(item), plain(kind), float(value), plain("".join(text)))


def _escaped(text: str) -> str:
    for raw, written in ESCAPES:
        text = text.replace(raw, written)
    return text


def plain(text: str) -> str:
    r"""Return a cell of a memory as it was before it was written.

    >>> plain("a\\tb") == "a\tb"
    True
    """
    if "\\" not in text:
        return text
    raw = {written[1]: plain for plain, written in ESCAPES}
    rest = iter(text)
    return "".join(raw[next(rest)] if character == "\\" else character for character in rest)
