"""Readable titles of the grocery's products, made from category, type, package size and brand.

The package has no product names: a type such as 'SFT DRNK MLT-PK BTL CARB (EXCP' is all there is, in
capitals, abbreviated, and cut after 30 characters.
"""

import functools
import re

PRIVATE = "Private"
CUT = 28  # a type this long may have lost the end of its last word
MEANINGS = {
    "BEERALEMALT": "beer, ale & malt",
    "BN": "bean",
    "BTL": "bottle",
    "BTR": "butter",
    "CARB": "carbonated",
    "CHOC": "chocolate",
    "CHOCOCLATE": "chocolate",
    "CNTRL": "control",
    "CONTAINR": "container",
    "DNRS": "dinners",
    "DRNK": "drink",
    "DRNKS": "drinks",
    "DRSNG": "dressing",
    "DSH": "dishes",
    "FD": "food",
    "FLVRD": "flavoured",
    "FRE": "fresh",
    "FRZ": "frozen",
    "FRZN": "frozen",
    "GDS": "goods",
    "HH": "household",
    "IWS": "individually wrapped",
    "LIQ": "liquid",
    "MACH": "machine",
    "MLT": "multi",
    "MX": "mix",
    "PK": "pack",
    "PKG": "package",
    "PNT": "peanut",
    "PWDR": "powder",
    "REFRGRATD": "refrigerated",
    "RTS": "ready to serve",
    "SALD": "salad",
    "SFT": "soft",
    "SGL": "single",
    "SHERBTS": "sherbets",
    "SNDWCH": "sandwich",
    "SNGL": "single",
    "SPLY": "supplies",
    "SPRD": "spread",
    "SRV": "serve",
    "SS": "single serve",
    "SV": "serve",
    "SW": "sweet",
    "TORT": "tortilla",
    "VEG": "vegetables",
    "VEND": "vending",
    "WHL": "whole",
    "WT": "weight",
}
# What a type leaves out, or a parenthesis that was cut before it closed.
ASIDES = re.compile(r"\s*\((?:(?:EX|EXC|EXCP|INCL|INCLUDING|ALL)\b.*|[^)]*)$")


def title(category: str | None, kind: str | None, package: str | None, brand: str | None) -> str:
    """Compose a title.

    >>> title("SOFT DRINKS", "SFT DRNK MLT-PK BTL CARB (EXCP", "24 OZ", "National")
    'Soft drink multi-pack bottle carbonated · 24 oz'
    >>> title("ICE CREAM/MILK/SHERBTS", "PREMIUM", "48 OZ", "Private")
    'Ice cream / milk / sherbets: premium · 48 oz · store brand'
    >>> title("HOSIERY/SOCKS", None, None, "National")
    'Hosiery / socks'
    """
    parts = [_subject(category, kind)]
    if package:
        parts.append(" ".join(package.lower().split()))
    if brand == PRIVATE:
        parts.append("store brand")
    return " · ".join(parts)


@functools.cache
def _subject(category: str | None, kind: str | None) -> str:
    """Name the type; put its category before it where the type alone does not say what it is."""
    if not kind:
        return _capital(_readable(category)) if category else "Unnamed product"
    told = _readable(_whole_words(kind))
    if not category or _stems(told) & _stems(_readable(category)):
        return _capital(told)
    return _capital(f"{_readable(category)}: {told}")


def _whole_words(kind: str) -> str:
    """Drop asides and the rest of a word that was cut.

    >>> _whole_words("CANNED CAT FOOD (9 LIVES/FRISK"), _whole_words("MAINSTREAM WHEAT/MULTIGRAIN BR")
    ('CANNED CAT FOOD', 'MAINSTREAM WHEAT/MULTIGRAIN')
    """
    told = ASIDES.sub("", kind) or kind
    if len(kind) >= CUT and told == kind:
        told = re.sub(r"(?:\s*[-/&]\s*|\s+)(?:[A-Z]{1,2}|INCL)$", "", told)
    return re.sub(r"\s+INCL$", "", told)


def _readable(words: str) -> str:
    """Lower the case, spell out abbreviations, open up slashes and colons.

    >>> _readable("FRZN MEAT/MEAT DINNERS"), _readable("SW GDS:COFFEE CAKES")
    ('frozen meat / meat dinners', 'sweet goods: coffee cakes')
    """
    spelled = re.sub(r"[A-Za-z]+", lambda m: MEANINGS.get(m[0].upper(), m[0].lower()), words)
    opened = re.sub(r"(?<=[a-z])\s*([/&])\s*(?=[a-z])", r" \1 ", spelled)
    return re.sub(r"\s+", " ", re.sub(r":(?=\S)", ": ", opened)).strip()


def _stems(words: str) -> set[str]:
    return {word[:4] for word in re.findall(r"[a-z]{3,}", words)}


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
