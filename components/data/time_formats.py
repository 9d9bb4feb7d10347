"""SQL that reads a text as a time, whole or not at all: ISO, epochs and formats, one or a list of them.

A part of a text that no directive reads (a zone's name, AM or PM, more digits) makes it unreadable, since leaving it
out moves the time in silence. Pure text in and out.
"""

import re
from dataclasses import dataclass

from components.data.database import text

EPOCHS = {"epoch_s": 1, "epoch_ms": 1000}  # numbers as time: how many make a second
PLAUSIBLE_S = (631_152_000, 4_102_444_800)  # 1990 to 2100: where an epoch's unit can be told by its size
UNITS = (1, 10**3, 10**6, 10**9)  # of epochs, a second's part
# An offset counts only behind a time of day: the end of 2017-01-01 is no offset.
OFFSET = r":\d{2}(\.\d+)?\s*(Z|z|UTC|GMT|[+-]\d{2}(:?\d{2})?)$"
ISO = (
    r"\d{4}(-\d{1,2}-\d{1,2}|/\d{1,2}/\d{1,2})"
    r"([Tt ]+\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?(\s*(Z|z|UTC|GMT|[+-]\d{2}(:?\d{2})?))?)?"
)
NUMERIC = {"d": 2, "m": 2, "H": 2, "I": 2, "M": 2, "S": 2, "y": 2, "Y": 4, "j": 3, "f": 9, "g": 3, "n": 9}
WORDS = {"b": r"\pL+\.?", "B": r"\pL+", "a": r"\pL+\.?", "A": r"\pL+", "p": "[AaPp][Mm]", "z": r"[+-]\d{2}(:?\d{2})?"}


@dataclass(frozen=True)
class Time:
    """How one text is read as a time, in SQL."""

    value: str  # null where it is none
    aware: str  # holds where the text itself says its offset
    fits: str  # holds where the whole text is of the form


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


def read_as(filled: str, forms: list[str], *, zone: str) -> Time:
    """Read a text (SQL, null where there is none) by the forms; a text that two of them read differently is none."""
    epochs = [form for form in forms if form in EPOCHS]
    times = [_one(filled, form, zone=zone, sure=len(forms) > 1 or len(epochs) > 1) for form in forms]
    if len(times) == 1:
        return times[0]
    values = [f"CASE WHEN {time.fits} THEN {time.value} END" for time in times]
    cases = " ".join(f"WHEN ({value}) IS NOT NULL THEN {time.aware}" for value, time in zip(values, times, strict=True))
    agree = f"least({', '.join(values)}) = greatest({', '.join(values)})"
    return Time(f"coalesce({', '.join(values)})", f"CASE {cases} END", agree)


def _one(filled: str, form: str, *, zone: str, sure: bool) -> Time:
    local = f"AT TIME ZONE {text(zone)}"
    if form in EPOCHS:
        number = f"TRY_CAST({filled} AS DOUBLE)"
        fits = _plausible(number, EPOCHS[form])
        if not sure:  # an epoch that is old is kept, but not one that is only too small for its unit
            elsewhere = " OR ".join(_plausible(number, unit) for unit in UNITS if unit != EPOCHS[form])
            fits = f"({fits} OR NOT ({elsewhere}))"
        return Time(f"TRY(to_timestamp({number} / {EPOCHS[form]}))", "true", fits)
    if form == "iso":
        aware = f"regexp_matches({filled}, {text(OFFSET)})"
        upper = f"regexp_replace(regexp_replace(upper({filled}), '\\s*(GMT|UTC|Z)$', 'Z'), '\\s+([+-])', '\\1')"
        plain = f"TRY_CAST({filled} AS TIMESTAMP) {local}"
        value = f"CASE WHEN {aware} THEN TRY_CAST({upper} AS TIMESTAMPTZ) ELSE {plain} END"
        return Time(value, aware, f"regexp_full_match({filled}, {text(ISO)})")
    own = "%z" in form
    value = f"try_strptime({filled}, {text(form)})" + ("" if own else f" {local}")
    return Time(value, "true" if own else "false", f"regexp_full_match({filled}, {text(pattern(form))})")


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


def _plausible(number: str, unit: int) -> str:
    low, high = PLAUSIBLE_S
    return f"({number} >= {low * unit} AND {number} < {high * unit})"
