"""One form of an id, the same for files, tables, the service and `forget`: no blanks around it, Unicode's NFC.

Unicode spells `josé` with one letter é or with an e and an accent. Nobody can tell them apart: they are one id.
"""

import unicodedata

BLANKS = " \t\r\n\v\f\u00a0\u2007\u202f\u3000\ufeff\u200b"  # what stands around an id and is no part of it
# What writers put where there is no id, in lower case: fifteen people called `nan` are not one person.
NOBODY = ("na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none", "nil", "undefined", "(null)", "\\n")


def plain(raw: str) -> str:
    """Return an id in its one form.

    >>> plain(" 4711 "), plain("jose" + chr(0x301)) == "jos" + chr(0xE9)
    ('4711', True)
    """
    bare = raw.strip(BLANKS)
    return bare if bare.isascii() else unicodedata.normalize("NFC", bare)


def erased_id(place: int | str) -> str:
    """Return the id of an item that was a person who is forgotten; no pseudonym has this form.

    >>> erased_id(17), is_erased("erased-17"), is_erased("fedcba9876543210")
    ('erased-17', True, False)
    """
    return f"erased-{place}"


def is_erased(item_id: str) -> bool:
    """Tell, where items are people, whether an id stands for one who is forgotten."""
    return item_id.startswith("erased-")
