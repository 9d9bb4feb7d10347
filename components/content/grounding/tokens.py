"""Cuts a text into words, numbers and marks, each with what rules ask about its place."""

import re
from dataclasses import dataclass
from typing import Literal

TOKEN = re.compile(
    r"(?P<number>\d+(?:[.,]\d+)*)|(?P<word>[^\W\d_]+(?:['\u2019][^\W\d_]+)*)|(?P<mark>[^\w\s]|_)", re.UNICODE
)
ENDS = frozenset(".!?:;\u2026\u00b7\u2013\u2014")  # after these a capital letter is no name
UNITS = {
    **dict.fromkeys(("oz", "ounce", "ounces"), "oz"),
    **dict.fromkeys(("lb", "lbs", "pound", "pounds"), "lb"),
    **dict.fromkeys(("g", "gram", "grams", "gr"), "g"),
    **dict.fromkeys(("kg", "kilo", "kilos", "kilogram", "kilograms"), "kg"),
    **dict.fromkeys(("mg", "milligram", "milligrams"), "mg"),
    **dict.fromkeys(("l", "liter", "liters", "litre", "litres"), "l"),
    **dict.fromkeys(("ml", "milliliter", "milliliters", "millilitre", "millilitres"), "ml"),
    **dict.fromkeys(("cl", "centiliter", "centilitre"), "cl"),
    **dict.fromkeys(("pt", "pint", "pints"), "pt"),
    **dict.fromkeys(("qt", "quart", "quarts"), "qt"),
    **dict.fromkeys(("gal", "gallon", "gallons"), "gal"),
    **dict.fromkeys(("ct", "count"), "ct"),
    **dict.fromkeys(("pk", "pack", "packs"), "pk"),
    **dict.fromkeys(("cal", "calorie", "calories", "kcal"), "cal"),
    **dict.fromkeys(("second", "seconds", "sec", "secs", "s"), "second"),
    **dict.fromkeys(("minute", "minutes", "min", "mins"), "minute"),
    **dict.fromkeys(("hour", "hours", "h", "hr", "hrs"), "hour"),
    **dict.fromkeys(("day", "days"), "day"),
    **dict.fromkeys(("week", "weeks"), "week"),
    **dict.fromkeys(("month", "months"), "month"),
    **dict.fromkeys(("year", "years"), "year"),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), "cm"),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), "mm"),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), "m"),
    **dict.fromkeys(("km", "kilometer", "kilometers", "kilometre"), "km"),
    **dict.fromkeys(("inch", "inches", "in"), "inch"),
    **dict.fromkeys(("ft", "foot", "feet"), "ft"),
    **dict.fromkeys(("page", "pages"), "page"),
    **dict.fromkeys(("dollar", "dollars", "usd"), "usd"),
    **dict.fromkeys(("cent", "cents"), "cent"),
    **dict.fromkeys(("euro", "euros", "eur"), "eur"),
    "%": "%",
    "percent": "%",
}
AMBIGUOUS = frozenset(("in", "s", "m", "h"))  # units only where a fact has the number with them


@dataclass(frozen=True)
class Token:
    """A word, a number or a mark."""

    text: str
    kind: Literal["number", "word", "mark"]
    start: int  # in the text, characters
    begins: bool  # a sentence, or what stands behind a colon

    @property
    def low(self) -> str:
        """Return it as the facts are compared: small letters, a plain apostrophe, no possessive.

        >>> Token("Schar’s", "word", 0, True).low, Token("OZ", "word", 0, True).low
        ('schar', 'oz')
        """
        return bare(self.text)

    @property
    def capital(self) -> bool:
        """Tell whether it is written as a name."""
        return self.kind == "word" and self.text[0].isupper()


def bare(word: str) -> str:
    """Return a word in small letters without its possessive."""
    return word.lower().replace("\u2019", "'").removesuffix("'s").removesuffix("'")


def tokens(text: str) -> list[Token]:
    """Cut a text into tokens.

    >>> [one.text for one in tokens("Hunt's 2.50, 12 x 12 oz!")]
    ["Hunt's", '2.50', ',', '12', 'x', '12', 'oz', '!']
    """
    found: list[Token] = []
    begins = True
    for match in TOKEN.finditer(text):
        kind = match.lastgroup
        assert kind in ("number", "word", "mark")
        found.append(Token(match.group(), kind, match.start(), begins))  # type: ignore[arg-type]
        begins = match.group() in ENDS if kind == "mark" and match.group() not in "\"'(" else begins and kind == "mark"
    return found


def number(text: str) -> float:
    """Return a number as it is written, with a point or a comma.

    >>> number("2.50"), number("2,50"), number("1,000"), number("12")
    (2.5, 2.5, 1000.0, 12.0)
    """
    whole, mark, part = text.replace(",", ".").rpartition(".")
    if mark and len(part) == 3 and "," in text:
        return float(text.replace(",", ""))
    return float(f"{whole.replace('.', '')}.{part}") if mark else float(part)
