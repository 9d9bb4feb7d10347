"""String literals of modules, each module parsed once for all tests of a process."""

import ast
import functools
from pathlib import Path


@functools.cache
def of(path: Path) -> tuple[tuple[int, str], ...]:
    """Return the string literals of a module with their lines."""
    every = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant))
    return tuple((node.lineno, node.value) for node in every if isinstance(node.value, str))
