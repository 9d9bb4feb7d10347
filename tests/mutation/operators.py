"""The mutants of a source: one small fault each, by the operators of mutmut.

mutmut's own runner copies the tree, mutates undecorated functions only and keeps every variant in one module. Here a
mutant is a whole source with one edit, so that class bodies, validators and constants are mutated too. Left alone are
annotations, decorators, type variables and words that only people read: docstrings and descriptions of fields.
"""

import ast
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType

import libcst as cst
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper
from mutmut.mutation.mutators import mutation_operators

UNTOUCHED_CALLS = ("TypeVar", "cast", "isinstance", "len")
WORDS = "description"  # the keyword of words for people


@dataclass(frozen=True)
class Mutant:
    """One edit of a module, named by what it changes and not by its line, so that its name outlives other edits."""

    module: str  # as a path
    place: str  # function or class, '' at the module's top
    before: str  # the lines that change, white space collapsed
    after: str
    number: int  # among equal edits of one place
    line: int
    source: str

    @property
    def name(self) -> str:
        """Identify the mutant."""
        number = f" #{self.number}" if self.number else ""
        return f"{self.module}::{self.place}: {self.before} -> {self.after}{number}"

    def diff(self, original: str) -> str:
        """Show the edit as a unified diff."""
        lines = difflib.unified_diff(
            original.splitlines(), self.source.splitlines(), self.module, "mutant", lineterm="", n=2
        )
        return "\n".join(lines)

    def differs(self, original: str) -> bool:
        """Tell whether the mutant compiles, and to something else; it takes a while."""
        try:
            return ast.dump(ast.parse(self.source)) != ast.dump(ast.parse(original)) and bool(self._code())
        except SyntaxError:
            return False

    def _code(self) -> CodeType:
        return compile(self.source, self.module, "exec", dont_inherit=True)


def mutants(module: str, source: str) -> list[Mutant]:
    """Return all mutants of a source; a few may not compile.

    >>> [one.after for one in mutants("a.py", "def least(a, b):\\n    return a <= b\\n")]
    ['return a < b']
    """
    wrapper = MetadataWrapper(cst.parse_module(source))
    visitor = _Edits(wrapper.module, source.encode())
    wrapper.visit(visitor)
    found, seen = [], {source}
    numbers: dict[tuple[str, str, str], int] = {}
    for place, edited in visitor.found:
        if edited in seen:
            continue
        seen.add(edited)
        line, before, after = _changed(source, edited)
        number = numbers[place, before, after] = numbers.get((place, before, after), -1) + 1
        found.append(Mutant(module, place, before, after, number, line, edited))
    return found


def _changed(source: str, edited: str) -> tuple[int, str, str]:
    """Return the first line that an edit changes, and the changed lines before and after."""
    old, new = source.splitlines(), edited.splitlines()
    start = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    longest = min(len(old), len(new)) - start
    end = next((i for i in range(longest) if old[-1 - i] != new[-1 - i]), longest)
    return start + 1, *(" ".join(" ".join(part[start : len(part) - end]).split()) for part in (old, new))


class _Edits(cst.CSTVisitor):
    """Collects the edited sources, each with the place of its edit."""

    METADATA_DEPENDENCIES = (ByteSpanPositionProvider,)

    def __init__(self, module: cst.Module, source: bytes) -> None:
        super().__init__()
        self.module, self.source = module, source
        self.found: list[tuple[str, str]] = []
        self.places: list[str] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        """Collect the edits of a node; skip what is left alone."""
        if _left_alone(node) or (not self.places and _alias(node)):
            return False
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self.places.append(node.name.value)
        for edited in _edits(node):
            self.found.append((".".join(self.places), self._spliced(node, edited)))
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        """Leave a function or a class."""
        if isinstance(original_node, cst.FunctionDef | cst.ClassDef):
            self.places.pop()

    def _spliced(self, node: cst.CSTNode, edited: cst.CSTNode) -> str:
        """Return the source with a node edited; text is spliced where it can be, which is much faster."""
        span = self.get_metadata(ByteSpanPositionProvider, node, None)
        if span is not None:
            end = span.start + span.length  # without the white space that an operator owns
            if self.source[span.start : end] == self.module.code_for_node(node).strip().encode():
                text = self.module.code_for_node(edited).strip().encode()
                return (self.source[: span.start] + text + self.source[end:]).decode()
        whole = self.module.deep_replace(node, edited)
        assert isinstance(whole, cst.Module)
        return whole.code


def _edits(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    for kind, operator in mutation_operators:
        if isinstance(node, kind):
            edits = [edited for edited in operator(node) if not _of_words(node, edited)]
            # Of a text the first edit will do: upper and lower case say the same thing twice more.
            yield from edits[:1] if isinstance(node, cst.BaseString) else edits


def _left_alone(node: cst.CSTNode) -> bool:
    match node:
        case cst.Annotation() | cst.Decorator() | cst.Import() | cst.ImportFrom():
            return True
        case cst.Arg(keyword=cst.Name(value="description")):
            return True
        case cst.If(test=cst.Name(value="TYPE_CHECKING")):
            return True
        case cst.Call(func=cst.Name(value=name)) | cst.Assign(value=cst.Call(func=cst.Name(value=name))):
            return name in UNTOUCHED_CALLS
        case cst.Assign(value=cst.Call(func=cst.Attribute(attr=cst.Name(value="TypeVar")))):
            return True
        case cst.Expr(value=cst.SimpleString() | cst.ConcatenatedString()):
            return True
    return False


def _alias(node: cst.CSTNode) -> bool:
    """Tell whether a statement at the module's top names a type, as `Row = Mapping[str, Any]`."""
    return isinstance(node, cst.Assign) and isinstance(node.value, cst.Subscript)


def _of_words(node: cst.CSTNode, edited: cst.CSTNode) -> bool:
    """Tell whether an edit drops or empties only a description."""
    if isinstance(node, cst.AnnAssign) and isinstance(node.value, cst.Call):
        given = {arg.keyword.value: arg.value for arg in node.value.args if arg.keyword}
        empty = isinstance(default := given.get("default"), cst.Name) and default.value == "None"
        return empty and given.keys() == {"default", WORDS} and isinstance(edited, cst.AnnAssign)
    if not (isinstance(node, cst.Call) and isinstance(edited, cst.Call)):
        return False

    def text(call: cst.Call) -> list[str]:
        return [cst.Module([]).code_for_node(a.value) for a in call.args if a.keyword and a.keyword.value == WORDS]

    return text(node) != text(edited)
