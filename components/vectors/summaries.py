"""What the language model said of items' texts (`intentflow summaries`), read beside them before they are encoded.

The file is CSV with the columns `digest`, of the text, `summary` and `made_by`. A text without a line is read as it
stands, and so are all where the spec names no file.
"""

import csv
from collections.abc import Mapping
from pathlib import Path

from feature_repo import files
from feature_repo.errors import DataError
from feature_repo.item_vectors import LONGEST_TEXT, SUMMARY_COLUMNS

PLACE = "vectors.text.summaries"


def identity(name: str | None, base: Path) -> list[str]:
    """Return what tells one file of summaries from another, nothing where the spec names none."""
    return [] if name is None else [files.file_digest(_path(name, base))]


def read_with(texts: Mapping[str, str], name: str | None, base: Path) -> dict[str, str]:
    """Return texts by the same digests, each with its summary behind it where it has one."""
    if name is None:
        return dict(texts)
    path = _path(name, base)
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            lines = csv.DictReader(stream, strict=True)
            if tuple(lines.fieldnames or ()) != SUMMARY_COLUMNS:
                raise DataError(
                    f"{PLACE}: {path}: its columns are {', '.join(lines.fieldnames or ()) or 'none'}; "
                    f"`intentflow summaries` writes {', '.join(SUMMARY_COLUMNS)}"
                )
            said = {line["digest"]: line["summary"] or "" for line in lines}
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{PLACE}: {path}: no CSV in UTF-8 ({error}); make it again") from None
    return {key: f"{text}. {said[key]}"[:LONGEST_TEXT] if said.get(key) else text for key, text in texts.items()}


def _path(name: str, base: Path) -> Path:
    path = base / name
    if not path.is_file():
        raise DataError(f"{PLACE}: {path}: no such file; `intentflow summaries SPEC --output {name}` makes it")
    return path
