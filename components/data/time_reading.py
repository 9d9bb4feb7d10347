"""SQL that reads a text as a time, whole or not at all: ISO, epochs and formats, one or a list of them.

A part of a text that no directive reads (a zone's name, AM or PM, more digits) makes it unreadable, since leaving it
out moves the time in silence. Pure text in and out.
"""

from dataclasses import dataclass

from components.data.database import text
from components.data.time_formats import EPOCHS, pattern

PLAUSIBLE_S = (631_152_000, 4_102_444_800)  # 1990 to 2100: where an epoch's unit can be told by its size
UNITS = (1, 10**3, 10**6, 10**9)  # of epochs, a second's part
# An offset counts only behind a time of day: the end of 2017-01-01 is no offset.
OFFSET = r":\d{2}(\.\d+)?\s*(Z|z|UTC|GMT|[+-]\d{2}(:?\d{2})?)$"
ISO = (
    r"\d{4}(-\d{1,2}-\d{1,2}|/\d{1,2}/\d{1,2})"
    r"([Tt ]+\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?(\s*(Z|z|UTC|GMT|[+-]\d{2}(:?\d{2})?))?)?"
)


@dataclass(frozen=True)
class Time:
    """How one text is read as a time, in SQL."""

    value: str  # null where it is none
    aware: str  # holds where the text itself says its offset
    fits: str  # holds where the whole text is of the form


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


def _plausible(number: str, unit: int) -> str:
    low, high = PLAUSIBLE_S
    return f"({number} >= {low * unit} AND {number} < {high * unit})"
