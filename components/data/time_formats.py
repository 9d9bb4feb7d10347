"""Formats of times: which can be read for certain, and the pattern that a whole text of one has.

Part of the spec's models, so light: `time_reading` makes SQL of them.
"""

import re

EPOCHS = {"epoch_s": 1, "epoch_ms": 1000}  # numbers as time: how many make a second
NUMERIC = {"d": 2, "m": 2, "H": 2, "I": 2, "M": 2, "S": 2, "y": 2, "Y": 4, "j": 3, "f": 9, "g": 3, "n": 9}
WORDS = {"b": r"\pL+\.?", "B": r"\pL+", "a": r"\pL+\.?", "A": r"\pL+", "p": "[AaPp][Mm]", "z": r"[+-]\d{2}(:?\d{2})?"}


def fault_of(form: str) -> str | None:
    """Say why a format of ours cannot be read for certain; None: it can.

    >>> fault_of("%d/%m/%Y %H:%M"), fault_of("%H:%M %p")
    (None, 'no sure format: %p (AM, PM) goes with %I, the hour of twelve')
    """
    if form == "iso" or form in EPOCHS:
        return None
    if "%" not in form:
        return f"no format; use iso, {', '.join(EPOCHS)} or one such as %d/%m/%Y %H:%M"
    directives = [letter for letter, _ in _parts(form) if letter]
    for letter in directives:
        if letter == "Z":
            return "no sure format: %Z, a zone's name, tells no offset for certain; use %z, or `timezone:`"
        if letter not in NUMERIC and letter not in WORDS:
            return f"no sure format: %{letter} is not read; use {', '.join('%' + one for one in (*NUMERIC, *WORDS))}"
    if len(set(directives)) < len(directives):
        return "no sure format: a directive stands twice"
    if ("p" in directives) != ("I" in directives):
        return "no sure format: %p (AM, PM) goes with %I, the hour of twelve"
    return None


def pattern(form: str) -> str:
    r"""Return the regular expression of whole texts of a format.

    >>> pattern("%d/%m/%Y"), pattern("%Y%m%d")
    ('\\d{1,2}/\\d{1,2}/\\d{4}', '\\d{4}\\d{2}\\d{2}')
    """
    parts = _parts(form)
    found = []
    for place, (letter, literal) in enumerate(parts):
        beside = [parts[other][0] for other in (place - 1, place + 1) if 0 <= other < len(parts)]
        if letter in NUMERIC:
            most = NUMERIC[letter]
            exact = letter in "yY" or (letter != "f" and any(one in NUMERIC for one in beside))
            found.append(rf"\d{{{most}}}" if exact else rf"\d{{1,{most}}}")
        else:
            found.append(WORDS[letter] if letter else re.escape(literal))
    return "".join(found)


def _parts(form: str) -> list[tuple[str, str]]:
    """Split a format into directives (a letter, no literal) and literals (no letter).

    >>> _parts("%d.%-m")
    [('d', ''), ('', '.'), ('m', '')]
    """
    found = re.findall(r"%-?(.)|([^%]+)", form)
    return [("", "%") if letter == "%" else (letter, literal) for letter, literal in found]
