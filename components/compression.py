"""What compression of the intent model came to: `compression.json` beside the model, and the words for it.

Training writes it, together with the model that does not serve (`variant/`); the registry keeps that one as a version
of its own, and pages say which of the two serves and why. Knows no model and no registry.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from feature_repo import files
from feature_repo.errors import DataError

FILE = "compression.json"
OTHER = "variant"  # folder below the model's: the one of both that does not serve
FULL, COMPRESSED = "full", "compressed"
FORMAT = 1
NAMES = {"map": "mAP", "macro_auroc": "macro AUROC", "bce": "BCE", "bce_all": "BCE of all intents"}
KIB = 1024


def read(folder: Path) -> dict[str, Any] | None:
    """Read the file of a model folder, None where the spec asked for no compression."""
    path = folder / FILE
    if not path.is_file():
        return None
    found = dict(files.read_json(path))
    if found.get("format") != FORMAT:
        raise DataError(f"{path}: of format {found.get('format')}, this code reads {FORMAT}; run the pipeline again")
    return found


def other(found: Mapping[str, Any]) -> str:
    """Name the one of both that does not serve."""
    return FULL if found["taken"] == COMPRESSED else COMPRESSED


def sentence(found: Mapping[str, Any]) -> str:
    """Say which model serves, and why.

    >>> sizes = {"full": {"size_bytes": 204800}, "compressed": {"size_bytes": 51200}}
    >>> sentence({"taken": "full", "verdict": "refused", "why": "mAP 0.2 is ...", "measured": sizes})
    'The full intent model was taken (200 KiB): the compressed one (50 KiB) was refused: mAP 0.2 is ...'
    """
    full, small = (f"{found['measured'][which]['size_bytes'] / KIB:.0f} KiB" for which in (FULL, COMPRESSED))
    if found["taken"] == COMPRESSED:
        return f"The compressed intent model was taken ({small} instead of {full}): {found['why']}"
    word = {"refused": "was refused", "undecided": "stayed undecided"}[found["verdict"]]
    return f"The full intent model was taken ({full}): the compressed one ({small}) {word}: {found['why']}"


def page(found: Mapping[str, Any] | None) -> str:
    """Return the Markdown section of it, '' where there is none."""
    if found is None:
        return ""
    how = [f"{found['asked']['prune']:.0%} of the hidden units dropped"] if found["asked"]["prune"] else []
    how += ["weights kept as int8"] if found["asked"]["quantize"] == "int8" else []
    lines = [
        "## Compression",
        f"{sentence(found)}. Asked for: {' and '.join(how)}. Compared on {found['rows']:,} validation rows of "
        f"{found['users']:,} users, which stopped neither training.",
        "| | full | compressed | difference | interval | may lose | verdict |\n"
        "| --- | ---: | ---: | ---: | --- | ---: | --- |\n" + "\n".join(_rows(found)),
        "CPU-ms are of the network alone on encoded rows, all threads together; encoding comes on top, alike for both.",
    ]
    return "\n\n".join(lines) + "\n"


def _rows(found: Mapping[str, Any]) -> list[str]:
    rows = []
    for metric, one in found["metrics"].items():
        between = "-" if one["interval"] is None else "{:+.4f} to {:+.4f}".format(*one["interval"])
        difference = "-" if one["difference"] is None else f"{one['difference']:+.4f}"
        values = " | ".join("-" if one[which] is None else f"{one[which]:.4f}" for which in (FULL, COMPRESSED))
        rows.append(
            f"| {NAMES[metric]} | {values} | {difference} | {between} | {one['tolerance']:.1%} | {one['verdict']} |"
        )
    full, small = (found["measured"][which] for which in (FULL, COMPRESSED))
    rows.append(f"| size, KiB | {full['size_bytes'] / KIB:.1f} | {small['size_bytes'] / KIB:.1f} | | | | |")
    for batch in [size for size in full["cpu_ms"] if size in small["cpu_ms"]]:  # torch serves one without a time
        rows.append(f"| CPU-ms, batch {batch} | {full['cpu_ms'][batch]:.3f} | {small['cpu_ms'][batch]:.3f} | | | | |")
    return rows
