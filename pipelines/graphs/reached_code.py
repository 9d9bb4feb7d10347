"""Which files of ours a component's steps reach by imports, and their digest: the code part of a step's cache key.

Imports are read, not done: each module is parsed, and what it imports at the top or inside functions is followed
within our packages. A package's `__init__` runs before its modules, so it belongs to them. Imports for types alone
(`if TYPE_CHECKING:`) run never. A module that imports by a name it computes (`import_module`) reaches all modules
beside it: the parts that a literal tuple names are loaded so. A file beside a module, or in a folder above it, that the
module names in a string, such as a template, is data that it loads. Names and bytes make the digest, no time and no
folder: two machines agree.

Parsing half a thousand modules takes more than a second, most of what `plan` did. What each leads to is kept by the
digest of its source beside Python's byte code, which is kept for the same reason and where as much may be written.
"""

import ast
import contextlib
import functools
import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

PACKAGES = ("pipelines", "bentos", "monitoring", "components", "feature_repo")
# Of a component, the modules that processes begin with: Kubeflow's shells, and what torchrun and Spark start.
ENTRIES = ("component", "__main__")
KEPT = Path(importlib.util.cache_from_source(__file__)).with_suffix(".json")
MOST_KEPT = 5_000  # sources; past it, what this process did not ask for goes
# What a module leads to: FILE and a name beside it, BESIDE for every module beside it, IMPORT and a module's name, FROM
# and the level, the module and the names of a `from` import.
FILE, BESIDE, IMPORT, FROM = "file", "beside", "import", "from"
Lead = tuple[Any, ...]


class Tree:
    """A checkout. It is read once: code does not change under a process that runs it."""

    def __init__(self, root: Path, *, keeps: bool = False) -> None:
        """`keeps`: what its modules lead to is written down for the processes after this one."""
        self.root, self.keeps = root, keeps
        self._imports = functools.cache(self._read)

    def digest(self, component: str) -> str:
        """Return the first 12 hex digits of the sha256 of the names and bytes of what is reached."""
        total = hashlib.sha256()
        for file in self.reached(component):
            content = (self.root / file).read_bytes()
            total.update(f"{file}\0{len(content)}\0".encode())
            total.update(content)
        return total.hexdigest()[:12]

    def reached(self, component: str) -> list[str]:
        """Return the files that the steps of a component reach, relative to the checkout, in order."""
        folder = f"components/{component}"
        waiting = [f"{folder}/{name}.py" for name in ENTRIES if (self.root / folder / f"{name}.py").is_file()]
        found: set[str] = set()
        while waiting:
            file = waiting.pop()
            if file not in found:
                found.add(file)
                waiting += self._imports(file)
        if self.keeps:
            _known().keep()
        return sorted(found)

    def _read(self, file: str) -> tuple[str, ...]:
        """Return the files that one file leads to: modules that it imports, their packages, and data that it names."""
        folders = [parent for parent in Path(file).parents if parent.name]
        found = self._beside(folders, "__init__.py")
        if file.endswith(".py"):
            for kind, *about in _known().leads((self.root / file).read_bytes()):
                if kind == FILE:
                    found += self._beside(folders, about[0])
                elif kind == BESIDE:
                    found += sorted(str(folders[0] / path.name) for path in (self.root / folders[0]).glob("*.py"))
                else:
                    names: Iterable[str] = about if kind == IMPORT else _names(*about, folder=folders[0])
                    found += [module for name in names if (module := self._module(name))]
        return tuple(dict.fromkeys(found))

    def _beside(self, folders: list[Path], name: str) -> list[str]:
        return [str(folder / name) for folder in folders if (self.root / folder / name).is_file()]

    def _module(self, name: str) -> str | None:
        """Return the file of a module or package of ours; None of others, and of a name within a module."""
        if name.partition(".")[0] not in PACKAGES:
            return None
        path = name.replace(".", "/")
        return next((file for file in (f"{path}.py", f"{path}/__init__.py") if (self.root / file).is_file()), None)


class Known:
    """What sources lead to, in whichever tree they stand: parsed once, by whichever process comes first."""

    def __init__(self, file: Path) -> None:
        self.file, self.own = file, hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
        self._found: dict[str, list[Lead]] = {}
        self._asked: set[str] = set()
        self._new = False
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # none, or a broken one
            said = json.loads(file.read_bytes())
            if said["by"] == self.own:
                self._found = {key: [tuple(lead) for lead in leads] for key, leads in said["found"].items()}

    def leads(self, source: bytes) -> list[Lead]:
        """Return what a module of this source leads to."""
        key = hashlib.sha256(source).hexdigest()
        self._asked.add(key)
        if key not in self._found:
            self._found[key], self._new = list(_run(ast.parse(source))), True
        return self._found[key]

    def keep(self) -> None:
        """Write down what is new, whole or not at all; where nothing may be written, nothing is."""
        if not self._new or sys.dont_write_bytecode:
            return
        if len(self._found) > MOST_KEPT:
            self._found = {key: self._found[key] for key in sorted(self._asked)}
        part = self.file.with_name(f"{self.file.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps({"by": self.own, "found": self._found}))
            part.replace(self.file)
        self._new = False


@functools.cache
def _known() -> Known:
    return Known(KEPT)


def _run(tree: ast.AST) -> Iterator[Lead]:
    """Yield the imports of a module, those inside functions too, and the names of files in it."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield (IMPORT, *(alias.name for alias in node.names))
        elif isinstance(node, ast.ImportFrom):
            yield (FROM, node.level, node.module or "", *(alias.name for alias in node.names))
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str) and _may_be_file(node.value):
                yield (FILE, node.value)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        else:
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
                yield (BESIDE,)
            waiting += ast.iter_child_nodes(node)


def _may_be_file(text: str) -> bool:
    return "." in text and len(text) < 100 and "/" not in text and text.isprintable() and not text.startswith(".")


def _names(level: int, module: str, *names: str, folder: Path) -> Iterator[str]:
    """Yield every module that `from module import names` may mean: modules in it, or names of the module itself."""
    above = folder.parts[: len(folder.parts) - level + 1] if level else ()
    whole = ".".join([*above, *([module] if module else [])])
    yield whole
    yield from (f"{whole}.{name}" for name in names)
