"""What a long benchmark has measured so far, kept in a file: a run that was broken off goes on behind its last cell.

One JSON line a cell, the first one says what is measured. Knows no benchmark.
"""

import json
from collections.abc import Callable
from pathlib import Path

from benchmarks.script import Document, note
from feature_repo.errors import SpecError

ABOUT = "about"


class Cells:
    """Cells by name: those that the file holds, and those that are measured now, which it gets at once."""

    def __init__(self, path: Path | None, about: Document) -> None:
        """Read the cells of a file, made if it is not there; SpecError where they are of something else."""
        self._path, self._found = path, dict[str, Document]()
        if path is None:
            return
        written = path.read_bytes() if path.is_file() else b""
        whole = written[: written.rfind(b"\n") + 1]  # a run that was killed may have left half a line
        try:
            lines = [json.loads(line) for line in whole.splitlines()]
            self._found = {line["name"]: line["cell"] for line in lines}
        except (ValueError, KeyError, TypeError):
            raise SpecError(f"--resume: {path} holds no cells of a benchmark; name a new file") from None
        if whole != written:
            path.write_bytes(whole)
        had = self._found.get(ABOUT)
        if had is None and self._found:
            raise SpecError(f"--resume: {path} does not say what it is of; name a new file")
        if had is None:
            self._write(ABOUT, about)
        elif odd := [key for key in about if had.get(key) != about[key]]:
            raise SpecError(
                f"--resume: {path} has {odd[0]} {had.get(odd[0])!r}, and {about[odd[0]]!r} is asked for now; name a "
                "new file"
            )
        else:
            note(f"{path}: {len(self._found) - 1} cells are there already")

    def kept(self, name: str, measure: Callable[[], Document]) -> Document:
        """Return a cell, measured and written if it is not there."""
        if name not in self._found:
            self._write(name, measure())
        return self._found[name]

    def _write(self, name: str, cell: Document) -> None:
        line = json.dumps({"name": name, "cell": cell})
        self._found[name] = json.loads(line)["cell"]
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a") as stream:
                stream.write(f"{line}\n")
