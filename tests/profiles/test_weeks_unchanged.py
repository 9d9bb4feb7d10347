"""Weeks are what they were before there were other steps: profiles and training rows of small worlds, to five digits.

The golden file was written by the code that knew weeks only.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from components.profiles import steps
from feature_repo.checkout import ROOT
from tests import worlds

pytestmark = pytest.mark.world

GOLDEN = ROOT / "tests" / "golden" / "profiles" / "weeks.json"
WORLDS = {
    "checkerboard": (worlds.checkerboard(), worlds.SPLIT),
    "scattered": (
        worlds.scattered(3, users=12, timezone="America/New_York"),
        {"warmup_weeks": 2, "validate_weeks": 1, "test_weeks": 2},
    ),
}


def shown(value: Any) -> Any:
    """Say a value so that the last bits of a float do not count."""
    if isinstance(value, float):
        return f"{value:.5g}"
    return [shown(one) for one in value] if isinstance(value, list) else str(value)


def digest(path: Path) -> str:
    """Digest a table's columns, types and rows."""
    table = pq.read_table(path)
    rows = [[shown(value) for value in row.values()] for row in table.to_pylist()]
    text = json.dumps([table.column_names, [str(kind) for kind in table.schema.types], rows])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def test_golden_profiles_and_rows_of_weeks(tmp_path: Path, golden: Callable[[Path, str], None]) -> None:
    found: dict[str, str] = {}
    for name, (world, split) in WORLDS.items():
        folder = tmp_path / name
        clean, text = world.write(folder / "clean"), json.dumps(split)
        steps.run_profiles("{}", text, json.dumps(worlds.VOCABULARY), clean=clean, destination=folder / "profiles")
        ranking = json.dumps({"train_weeks": 3, "test_every_weeks": 1})
        steps.run_training_set(text, ranking, clean=clean, profiles=folder / "profiles", destination=folder / "rows")
        for part in ("profiles", "rows"):
            tables = sorted((folder / part).rglob("*.parquet"))
            found |= {f"{name}/{path.relative_to(folder)}": digest(path) for path in tables}
        for part in ("profiles/calendar.json", "rows/split.json", "profiles/vocabulary/targets.json"):
            found[f"{name}/{part}"] = (folder / part).read_text()
    golden(GOLDEN, json.dumps(found, indent=1, sort_keys=True) + "\n")
