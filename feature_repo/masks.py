"""Personal data taken out of free text: titles of items, and what users wrote in reviews, comments and searches.

Patterns find what has a form: addresses, links, handles, long numbers, ids. A name has none and is not found; who
collects texts that name people must not map them (docs/models.md).
"""

import re

LONGEST = 120  # characters that are kept of what a user wrote
READ = 1000  # characters that are looked at for it: patterns take time by the square of a word's length
MASKS = (
    r"\S+@\S+",  # e-mail addresses and handles with a host
    r"(?:https?://|www\.)\S+",
    r"(?<!\w)@\w+",  # handles
    r"(?<!\w)(?=(?:[^\W_]*\d){4})(?=[^\W_]*[^\W\d_])[\w-]{8,}",  # ids: long words of letters and digits
    r"\+?\d[\d\s()./-]{5,}\d",  # numbers of telephones, cards and accounts
)
_MASK = re.compile("|".join(MASKS))


def plain(said: object, longest: int) -> str:
    """Return a title as it is read: without addresses, numbers of persons and ids, in small letters, of bounded length.

    >>> plain("Red  wine, call +44 20 7946 0958 or ann@example.org", 80), plain("Case f00d1234beef99 2 l", 80)
    ('red wine, call or', 'case 2 l')
    """
    found = _MASK.sub(" ", str(said or "")).lower().replace(";", ",")
    return " ".join(found.split())[:longest].strip()


def written(said: object) -> str:
    """Return what a user wrote as it is kept: masked until nothing is left to mask, so that twice is as once.

    >>> written("12 ann@example.org 345678"), written(None)
    ('', '')
    """
    found = plain(str(said or "")[:READ], LONGEST)
    while (again := plain(found, LONGEST)) != found:
        found = again
    return found
