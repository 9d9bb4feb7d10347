"""What a model is trained under beside its rows: slices of the spec, code, vocabulary, sizes of what it reads.

Training writes the digest of each down. A refit computes its own and refuses to differ in any, so that of a judged
model and the one that serves in its place only the rows differ. Knows no model.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from feature_repo import files
from feature_repo.errors import DataError

KEY = "conditions"  # in training.json
WEIGHTS = "weights.safetensors"  # of a model folder
FILE = "refit.json"  # what a refit says of itself, beside the model
ASKED = "asked"  # in FILE: False where the spec asks for no refit, and nothing else is in the folder
JUDGED = "judged"  # in FILE: sha256 of the judged weights
OFF = "set promotion.refit: false"


def digests(**named: Any) -> dict[str, str]:
    """Return the digest of each condition by name.

    >>> digests(code="c0ffee", seed=0)
    {'code': 'c5019065b1e1', 'seed': '5feceb66ffc8'}
    """
    return {name: files.digest(value) for name, value in named.items()}


def require_same(judged: Mapping[str, Any], mine: Mapping[str, str], *, of: str) -> str:
    """Return the digest of the conditions that a judged model and its refit share; refuse one that differs.

    `judged` is the judged model's training.json.
    """
    theirs = judged.get(KEY)
    if theirs is None:
        raise DataError(
            f"{of}: the judged model does not say under which conditions it was trained; run the pipeline again, "
            f"or {OFF}"
        )
    differing = [name for name in {**theirs, **mine} if theirs.get(name) != mine.get(name)]
    if differing:
        said = ", ".join(f"{name} ({theirs.get(name, 'none')}, now {mine.get(name, 'none')})" for name in differing)
        raise DataError(
            f"{of}: only the rows of a refit may differ from the judged model's, but so does {said}; run the pipeline "
            f"again, so that both are trained alike, or {OFF}"
        )
    return files.digest(mine)


def ripe(split: Mapping[str, Any]) -> list[int]:
    """Return the label weeks of a split that lie wholly in the data.

    >>> ripe({"train": [5, 6], "validate": [7], "test": [8, 9], "incomplete": [9]})
    [5, 6, 7, 8]
    """
    weeks = {week for part in ("train", "validate", "test") for week in split[part]}
    return sorted(weeks - set(split.get("incomplete", [])))


def asked(folder: Path) -> bool:
    """Tell whether a refit's folder holds a model; else the spec asked for none."""
    return bool(files.read_json(folder / FILE)[ASKED])


def unasked(folder: Path) -> None:
    """Write the folder of a refit that the spec does not ask for."""
    with files.written_folder(folder) as aside:
        files.write_json(aside / FILE, {ASKED: False})


def proof(judged: Path, shared: str) -> dict[str, Any]:
    """Return what a refit says first: of which judged weights it is one, and under which conditions both were made."""
    return {ASKED: True, JUDGED: hashlib.sha256((judged / WEIGHTS).read_bytes()).hexdigest(), KEY: shared}
