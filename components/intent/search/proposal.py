"""A search's result as a change of the spec's file: a unified diff that a person reads and applies.

Values are put where they stand, or where they belong, so that comments and order stay. What comes out is parsed again
and compared with what was meant; where that differs, as with anchors, `models.intent` is written anew as a whole. A
text that would still mean something else is no proposal.
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

PLACE = ("models", "intent")
GONE = object()  # in place of a value: the field is to go


def diff(text: str, name: str, settings: Mapping[str, Any]) -> str:
    """Return what to change in a spec's file so that `models.intent` becomes `settings`; '' where that cannot be.

    `settings` are the fields that are said, nested as in the spec; `search`, where the file has it, stays.
    """
    try:
        document = yaml.safe_load(text)
        wanted = _replaced(document, settings)
        made = next((one for one in _candidates(text, document, wanted) if _means(one, wanted)), None)
    except (yaml.YAMLError, TypeError, AttributeError):
        return ""
    return "" if made is None else unified(text, made, name)


def unified(before: str, after: str, name: str) -> str:
    """Return a unified diff as `patch -p1` and `git apply` read it, also of a file whose last line has no end."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{name}", f"b/{name}"
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _replaced(document: Any, settings: Mapping[str, Any]) -> Any:
    """Return the document with other settings."""
    models = document.get("models") or {}
    intent = models.get("intent") or {}
    kept = {"search": intent["search"]} if "search" in intent else {}
    return document | {"models": models | {"intent": dict(settings) | kept}}


def _means(text: str, wanted: Any) -> bool:
    try:
        return bool(yaml.safe_load(text) == wanted)
    except yaml.YAMLError:
        return False


def _candidates(text: str, document: Any, wanted: Any) -> Sequence[str]:
    """Return texts to try, the one that changes least first."""
    before, after = (document.get("models") or {}).get("intent") or {}, wanted["models"]["intent"]
    small = text
    for path, value in _changes(before, after):
        small = put(small, (*PLACE, *path), value)
    return small, put(text, PLACE, after)


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[tuple[str, ...], Any]]:
    """Name the leaves that differ, with what they become.

    >>> _changes({"a": 1, "b": {"c": 2}}, {"a": 3, "b": {"c": 2}})
    [(('a',), 3)]
    """
    found: list[tuple[tuple[str, ...], Any]] = []
    for key in dict.fromkeys([*before, *after]):
        old, new = before.get(key, GONE), after.get(key, GONE)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += [((key, *path), value) for path, value in _changes(old, new)]
        elif old is GONE or new is GONE or old != new:
            found.append(((key,), new))
    return found


def put(text: str, path: Sequence[str], value: Any) -> str:
    r"""Return a YAML text with the value of a path replaced, added, or taken out if it is `GONE`.

    >>> put("a: {b: 1}  # why", ("a", "b"), 2), put("a: {b: 1}", ("a", "c"), 2), put("a:\n  b: 1\n", ("a", "c"), 2)
    ('a: {b: 2}  # why', 'a: {b: 1, c: 2}', 'a:\n  c: 2\n  b: 1\n')
    >>> put("a:\n  b: 1\n  c: 2\n", ("a", "b"), GONE), put("a: {b: 1, c: 2}", ("a", "c"), GONE)
    ('a:\n  c: 2\n', 'a: {b: 1}')
    """
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    for depth, key in enumerate(path):
        entries = [pair for pair in node.value if pair[0].value == key]
        if not entries:
            return text if value is GONE else _added(text, node, path[depth:], value, root=depth == 0)
        if depth == len(path) - 1:
            return _taken_out(text, node, entries[0]) if value is GONE else _set(text, entries[0][1], value)
        node = entries[0][1]
        if not isinstance(node, yaml.MappingNode):  # `models:` with nothing behind it
            return text if value is GONE else _set(text, node, _nested(path[depth + 1 :], value))
    return text


def _nested(path: Sequence[str], value: Any) -> Any:
    for key in reversed(path):
        value = {key: value}
    return value


def _flow(value: Any) -> str:
    """Write a value in one line.

    >>> _flow({"trees": {"leaves": 31}}), _flow("lstm"), _flow(0.002)
    ('{trees: {leaves: 31}}', 'lstm', '0.002')
    """
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False, allow_unicode=True)
    return text.removesuffix("...\n").strip()


def _set(text: str, node: Any, value: Any) -> str:
    start, end = node.start_mark.index, node.end_mark.index
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:  # its end is where the next thing begins
        end = start + len(text[start:end].rstrip())
    gap = " " if start == end else ""  # behind the colon of an empty value
    return f"{text[:start]}{gap}{_flow(value)}{text[end:]}"


def _added(text: str, node: Any, path: Sequence[str], value: Any, *, root: bool) -> str:
    entry = _flow(_nested(path, value))[1:-1]  # without its braces
    if node.flow_style:
        at = node.value[-1][1].end_mark.index if node.value else node.start_mark.index + 1
        return f"{text[:at]}{', ' if node.value else ''}{entry}{text[at:]}"
    if root:  # at its end: a spec begins with what it is
        return f"{text}{'' if text.endswith(chr(10)) else chr(10)}{entry}\n"
    at = node.start_mark.index
    return f"{text[:at]}{entry}\n{' ' * node.start_mark.column}{text[at:]}"


def _taken_out(text: str, node: Any, entry: Any) -> str:
    place = node.value.index(entry)
    start, end = entry[0].start_mark.index, entry[1].end_mark.index
    if node.flow_style:
        if place:
            return text[: node.value[place - 1][1].end_mark.index] + text[end:]
        following = node.value[1][0].start_mark.index if len(node.value) > 1 else end
        return text[:start] + text[following:]
    line_start, line_end = text.rfind("\n", 0, start) + 1, text.find("\n", start + len(text[start:end].rstrip()))
    return text[:line_start] + (text[line_end + 1 :] if line_end >= 0 else "")
