"""`intentflow explain PATH`: what one field of the spec or the environment means, and what it may hold."""

import functools
from collections.abc import Callable

from pipelines.reference import schemas
from pipelines.reference.fields import FieldEntry, at, fields

ENVIRONMENT = "environment"  # begins the paths of the environment's fields; no field of the spec has this name


def explain(path: str) -> list[FieldEntry]:
    """Return the entries of a path, then those right below it."""
    first, _, rest = path.partition(".")
    if first != ENVIRONMENT:
        return at(path, _entries(schemas.spec))
    entries = _entries(schemas.environment)
    if not rest:
        return [entry for entry in entries if "." not in entry.path]
    return at(rest, entries, prefix=f"{ENVIRONMENT}.")


@functools.cache
def _entries(of: Callable[[], schemas.Schema]) -> list[FieldEntry]:
    """List the fields of a schema; a walk over the spec's takes a quarter of a second."""
    return fields(of())


def text(path: str, entries: list[FieldEntry]) -> str:
    """Write entries for people: those of the path whole, those below it a line each."""
    shortest = min(entry.path.count(".") for entry in entries)
    lines = []
    for entry in entries:
        if entry.path.count(".") > shortest or path == ENVIRONMENT:
            lines.append(f"  {entry.path.rpartition('.')[2]:<20} {entry.meaning}")
            continue
        lines.append(f"{_prefixed(path, entry)}: {entry.meaning}")
        lines += [f"  {word:<10} {said}" for word, said in entry.facts]
        lines += [f"    {value:<16} {meaning}" for value, meaning in entry.kinds]
    return "\n".join(lines)


def _prefixed(path: str, entry: FieldEntry) -> str:
    return f"{ENVIRONMENT}.{entry.path}" if path.startswith(f"{ENVIRONMENT}.") else entry.path
