"""What a draft says of the rows that a model will learn from, and when it leaves users out."""

import datetime as dt
import re
from pathlib import Path

import pytest
import yaml

from components.profiles.spec import FEW_ROWS
from pipelines.init import draft

START = dt.datetime(2024, 1, 1)
USERS, WEEKS = 2_400, 150


def _drafted(folder: Path, *, every: int, times: int) -> tuple[dict, int]:
    """Draft a spec of users who join over the weeks and come back `times`, a day in `every` weeks apart."""
    lines = []
    for user in range(USERS):
        joined = user * (WEEKS - 20) // USERS
        weeks = range(joined, min(WEEKS, joined + every * times), every)
        lines += [f"u{user},i{(user + w) % 300},{START + dt.timedelta(weeks=w, minutes=user)}" for w in weeks]
    lines.append(f"u0,i0,{START + dt.timedelta(weeks=WEEKS - 1, days=6)}")
    (folder / "log.csv").write_text("\n".join(["user_id,item_id,timestamp", *lines]) + "\n")
    made = draft(folder / "log.csv", name="log", folder=folder)
    (rows,) = re.findall(r"about ([\d,]+) training rows and", "\n".join(made.said))
    return yaml.safe_load(made.text), int(rows.replace(",", ""))


def test_users_who_left_cost_few_rows_and_nobody_is_left_out(tmp_path: Path) -> None:
    spec, rows = _drafted(tmp_path, every=1, times=3)
    assert USERS * WEEKS / 2 > FEW_ROWS  # users x weeks: what such a file would cost unthinned
    assert rows < USERS * WEEKS / 2 / 3
    assert "train_users" not in spec["profiles"]


def test_users_who_stay_are_bounded(tmp_path: Path) -> None:
    spec, rows = _drafted(tmp_path, every=2, times=WEEKS)
    assert rows == pytest.approx(150_000, rel=0.01)
    assert 100 <= spec["profiles"]["train_users"] < USERS
