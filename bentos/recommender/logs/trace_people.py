"""Who is looked for in files, and the bytes and patterns that name them."""

import functools
import json
import mmap
import re
from dataclasses import dataclass

import pyarrow as pa

SHORTEST = 8  # characters of a raw id that can be told from other text


@dataclass(frozen=True)
class People:
    """Who is looked for: by pseudonym everywhere, by raw id as far as it can be told from other text."""

    raws: tuple[str, ...]
    pseudonyms: tuple[str, ...]

    @property
    def telling(self) -> tuple[str, ...]:
        """Raw ids that mean a person wherever they stand; '17' and 'chocolate' do so as a user_id only."""
        return tuple(r for r in self.raws if len(r) >= SHORTEST and not r.isdigit() and re.search(r"[0-9@]", r))

    @functools.cached_property
    def ids(self) -> pa.Array:
        """What a user_id may be."""
        return pa.array([*self.pseudonyms, *self.raws], pa.string())

    def within(self, *, raws: bool) -> str:
        """Return what is looked for within a text, as a pattern of RE2."""
        bounded = [rf"(?:^|[^0-9A-Za-z]){re.escape(raw)}(?:$|[^0-9A-Za-z])" for raw in self.telling if raws]
        return "|".join([*self.pseudonyms, *bounded])

    @functools.cached_property
    def needles(self) -> tuple["Needle", ...]:
        """What is looked for in bytes."""
        found = [Needle.of(name, rf"(?P<who>{name})") for name in self.pseudonyms]
        for raw in self.raws:
            for form in dict.fromkeys((raw, json.dumps(raw)[1:-1], json.dumps(raw, ensure_ascii=False)[1:-1])):
                who = rf"(?P<who>{re.escape(form)})"
                bounded = rf"(?<![0-9A-Za-z]){who}(?![0-9A-Za-z])"
                found.append(Needle.of(form, bounded if raw in self.telling else rf'"user(?:_id)?"\s*:\s*"{who}"'))
        return tuple(found)


@dataclass(frozen=True)
class Needle:
    """A name in bytes, and a pattern whose group `who` it is; the name alone is found a hundred times faster."""

    name: bytes
    pattern: re.Pattern[bytes]

    @classmethod
    def of(cls, name: str, pattern: str) -> "Needle":
        """Make one of text."""
        return cls(name.encode(), re.compile(pattern.encode()))

    def spans(self, data: "bytes | mmap.mmap") -> list[tuple[int, int]]:
        """Return where the name stands in some bytes."""
        if data.find(self.name) < 0:
            return []
        return [match.span("who") for match in self.pattern.finditer(data)]
