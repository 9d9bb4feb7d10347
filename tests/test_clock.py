"""The clock is read when a test runs: what is read at collection is minutes old in a suite that takes minutes."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

READS = ("time.time", "time.time_ns", "time.monotonic", "time.perf_counter", ".now", ".utcnow", ".today")
ROOT = Path(__file__).parent


def reads_at_import(source: str) -> list[int]:
    """Return the lines of a test module on which the clock is read when the module is imported.

    >>> reads_at_import("NOW = time.time()\\ndef test_it(): time.time()\\n")
    [1]
    """
    return sorted({call.lineno for call in _calls(ast.parse(source).body) if _name(call).endswith(READS)})


def _calls(nodes: list[ast.AST] | list[ast.stmt] | list[ast.expr]) -> Iterator[ast.Call]:
    """Yield the calls that an import makes: not those in the bodies of functions."""
    for node in nodes:
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            defaults = [one for one in node.args.kw_defaults if one is not None]
            yield from _calls([*node.decorator_list, *node.args.defaults, *defaults])
            continue
        if isinstance(node, ast.Call):
            yield node
        yield from _calls(list(ast.iter_child_nodes(node)))


def _name(call: ast.Call) -> str:
    """Return the dotted end of what is called: `time.time` of `time.time()`, `.now` of `clock().now()`."""
    parts, at = [], call.func
    while isinstance(at, ast.Attribute):
        parts.append(at.attr)
        at = at.value
    return ".".join([at.id if isinstance(at, ast.Name) else "", *reversed(parts)])


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("import time\nNOW = time.time() + 900\n", [2]),
        ("NOW = dt.datetime.now(dt.UTC)\n", [1]),
        ("@pytest.mark.parametrize('at', [time.time() - 900])\ndef test_it(at): ...\n", [1]),
        ("def test_it(at=date.today()): ...\n", [1]),
        ("class Test:\n    at = time.monotonic()\n", [2]),
        ("def test_it():\n    assert time.time()\n", []),
        ("clock = lambda: time.time()\nother = time.time\n", []),
    ],
)
def test_reads_of_the_clock_are_found(source: str, lines: list[int]) -> None:
    assert reads_at_import(source) == lines


def test_no_test_reads_the_clock_when_it_is_collected() -> None:
    texts = {path: path.read_text() for path in sorted(ROOT.rglob("*.py"))}
    told = {path: text for path, text in texts.items() if any(f"{name}(" in text for name in READS)}
    found = {path: reads_at_import(text) for path, text in told.items()}
    wrong = [f"{path.relative_to(ROOT.parent)}:{line}" for path, lines in found.items() for line in lines]
    assert not wrong, f"read the clock inside the test: {', '.join(wrong)}"
