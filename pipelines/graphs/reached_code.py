"""Which files of ours a component's steps reach by imports, and their digest: the code part of a step's cache key.

Imports are read, not done: each module is parsed, and what it imports at the top or inside functions is followed
within our packages. A package's `__init__` runs before its modules, so it belongs to them. Imports for types alone
(`if TYPE_CHECKING:`) run never. A module that imports by a name it computes (`import_module`) reaches all modules
beside it: the parts that a literal tuple names are loaded so. A file beside a module, or in a folder above it, that the
module names in a string, such as a template, is data that it loads. Names and bytes make the digest, no time and no
folder: two machines agree.
"""

import ast
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("pipelines", "bentos", "monitoring", "components", "feature_repo")
# Of a component, the modules that processes begin with: Kubeflow's shells, and what torchrun and Spark start.
ENTRIES = ("component", "__main__")


class Tree:
    """A checkout. It is read once: code does not change under a process that runs it."""

    def __init__(self, root: Path) -> None:
        self.root = root
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
        return sorted(found)

    def _read(self, file: str) -> tuple[str, ...]:
        """Return the files that one file leads to: modules that it imports, their packages, and data that it names."""
        folders = [parent for parent in Path(file).parents if parent.name]
        found = self._beside(folders, "__init__.py")
        if file.endswith(".py"):
            for node in _leads((self.root / file).read_bytes()):
                if isinstance(node, ast.Constant):
                    found += self._beside(folders, str(node.value))
                elif isinstance(node, ast.Call):
                    found += sorted(str(folders[0] / path.name) for path in (self.root / folders[0]).glob("*.py"))
                else:
                    found += [module for name in _names(node, folders[0]) if (module := self._module(name))]
        return tuple(dict.fromkeys(found))

    def _beside(self, folders: list[Path], name: str) -> list[str]:
        return [str(folder / name) for folder in folders if (self.root / folder / name).is_file()]

    def _module(self, name: str) -> str | None:
        """Return the file of a module or package of ours; None of others, and of a name within a module."""
        if name.partition(".")[0] not in PACKAGES:
            return None
        path = name.replace(".", "/")
        return next((file for file in (f"{path}.py", f"{path}/__init__.py") if (self.root / file).is_file()), None)


@functools.cache
def _leads(source: bytes) -> tuple[ast.Import | ast.ImportFrom | ast.Constant | ast.Call, ...]:
    """Parse a source once, in whichever tree it stands."""
    return tuple(_run(ast.parse(source)))


def _run(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom | ast.Constant | ast.Call]:
    """Yield the imports of a module, those inside functions too, and the names of files in it."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str) and _may_be_file(node.value):
                yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        else:
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
                yield node
            waiting += ast.iter_child_nodes(node)


def _may_be_file(text: str) -> bool:
    return "." in text and len(text) < 100 and "/" not in text and text.isprintable() and not text.startswith(".")


def _names(node: ast.Import | ast.ImportFrom, folder: Path) -> Iterator[str]:
    """Yield every module that an import may mean: `from a import b` is a module a.b, or a name b of the module a."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    above = folder.parts[: len(folder.parts) - node.level + 1] if node.level else ()
    module = ".".join([*above, *([node.module] if node.module else [])])
    yield module
    yield from (f"{module}.{alias.name}" for alias in node.names)
