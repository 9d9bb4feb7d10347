"""A checkerboard world of intents: even users buy even categories, odd users odd ones, whenever they come.

Rows are made here by plain loops over what happened, so that encode and train are judged by a second hand.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from components.intent.context import TargetContext
from components.intent.ensemble_train import train
from components.intent.examples import Examples, load
from components.intent.networks import ENSEMBLE, NETWORKS, TREES
from components.intent.spec import Intent, IntentModel
from components.intent.train import Trained
from feature_repo import columns, files
from feature_repo.calendar import Calendar
from feature_repo.rows import UserRows
from feature_repo.vocabulary import Target, Vocabulary

CALENDAR = Calendar("2024-01-01", "UTC")  # a Monday
CATEGORIES = ("APPLES", "BREAD", "CHEESE", "DATES", "EGGS", "FISH")
VISIT = len(CATEGORIES)
USERS, WEEKS = 40, 20
SPLIT = {"train": list(range(5, 17)), "validate": [17, 18], "test": [19, 20]}
INTENTS = [Intent(name="buy", event="purchase", level="category", top=6), Intent(name="visit")]
ARCHITECTURES = (*NETWORKS, TREES, ENSEMBLE)
Happened = dict[int, list[int]]  # week: targets fulfilled
Row = dict[str, Any]


def noon(week: int) -> int:
    """Return the Wednesday noon of a week, epoch seconds."""
    return int((CALENDAR.start(week) + dt.timedelta(days=2, hours=12)).timestamp())


def start(week: int) -> int:
    """Return the first second of a week."""
    return int(CALENDAR.start(week).timestamp())


def checkerboard(seed: int = 0) -> dict[str, Happened]:
    """Let each user come in four weeks of five and buy nearly all categories of its kind."""
    rng = np.random.default_rng(seed)
    world: dict[str, Happened] = {}
    for user in range(USERS):
        came = [w for w in range(1, WEEKS + 1) if w == 1 or rng.random() < 0.8]
        mine = range(user % 2, len(CATEGORIES), 2)
        world[f"u{user:02}"] = {w: [*(c for c in mine if rng.random() < 0.9), VISIT] for w in came}
    return world


def known_row(user: str, happened: Happened, week: int) -> Row:
    """Return the row of a user as known at the start of `week`."""
    past = {w: targets for w, targets in happened.items() if w < week}
    weeks_of = {t: [w for w in sorted(past) if t in past[w]] for t in sorted({t for ts in past.values() for t in ts})}
    row: Row = dict.fromkeys(columns.profile_columns(), float(len(past)))
    row |= {
        "user_id": user, "week": week, "now": start(week), "state_at": start(week),
        "first_at": noon(min(past)), "last_at": noon(max(past)), "segment": int(user[1:]) % 2,
        "weekend_share": 0.0, "evening_share": 0.0,
        "target_ids": list(weeks_of),
        "target_weeks": [float(len(weeks)) for weeks in weeks_of.values()],
        "target_slow": [sum(0.96 ** (week - w) for w in weeks) for weeks in weeks_of.values()],
        "target_fast": [sum(0.80 ** (week - w) for w in weeks) for weeks in weeks_of.values()],
        "target_first_at": [noon(weeks[0]) for weeks in weeks_of.values()],
        "target_last_at": [noon(weeks[-1]) for weeks in weeks_of.values()],
        "recent_targets": [t for w in sorted(past) if w >= week - 16 for t in past[w]],
        "recent_weeks": [w for w in sorted(past) if w >= week - 16 for _ in past[w]],
        "label_ids": happened.get(week, []),
    }  # fmt: skip
    return row


def unknown_row(user: str, now: int) -> Row:
    """Return the row of a user whom the store does not know."""
    row: Row = known_row("u0", {1: [0]}, 2)
    empty = {name: [] for name, value in row.items() if isinstance(value, list)}
    zeros = {name: 0 for name, value in row.items() if isinstance(value, int | float)}
    return row | zeros | empty | {"user_id": user, "now": now, "state_at": None}


def table(rows: Sequence[Row]) -> pa.Table:
    """Return rows as the `rows` artifact holds them."""
    kinds: dict[str, Any] = dict.fromkeys(columns.TARGET_LISTS, pa.list_(pa.float32())) | {
        "target_ids": pa.list_(pa.int32()),
        "target_first_at": pa.list_(pa.int64()),
        "target_last_at": pa.list_(pa.int64()),
        "recent_targets": pa.list_(pa.int32()),
        "recent_weeks": pa.list_(pa.int32()),
        "label_ids": pa.list_(pa.int64()),
    }
    whole = ("week", "now", "state_at", "segment", "first_at", "last_at")
    return pa.table(
        {
            name: pa.array(
                [row[name] for row in rows],
                kinds.get(name, pa.string() if name == "user_id" else pa.int64() if name in whole else pa.float64()),
            )
            for name in rows[0]
        }
    )


def user_rows(rows: Sequence[Row]) -> UserRows:
    """Return rows as arrays."""
    return UserRows.from_arrow(table(rows).drop(["week", "label_ids"]))


def vocabulary() -> Vocabulary:
    """Return the targets; items do not matter here."""
    items = pa.table({"item_index": [0], "item_id": ["i0"], "title": ["an item"]})
    pairs = pa.table({"item_id": ["i0"], "target_id": [0], "kind": ["purchase"]})
    targets = [Target("buy", name, "purchase", "category") for name in CATEGORIES]
    return Vocabulary((*targets, Target("visit", None, None, None)), items, pairs)


def context(world: dict[str, Happened]) -> TargetContext:
    """Return the targets' shares of the active users, one and the same for all three spans."""
    weeks = np.arange(2, WEEKS + 2)
    shares = np.zeros((len(weeks), VISIT + 1, 3), dtype=np.float32)
    for i, week in enumerate(weeks):
        active = [happened[week - 1] for happened in world.values() if week - 1 in happened]
        for c in range(VISIT + 1):
            shares[i, c] = sum(c in targets for targets in active) / max(len(active), 1)
    return TargetContext(weeks, shares)


def write_rows(folder: Path, world: dict[str, Happened]) -> Path:
    """Write the `rows` artifact of a world."""
    weeks = [w for part in SPLIT.values() for w in part]
    rows = [known_row(user, happened, week) for week in weeks for user, happened in world.items()]
    folder.mkdir(parents=True)
    pq.write_table(table(rows), folder / "intent.parquet")
    vocabulary().save(folder / "vocabulary")
    context(world).save(folder / "target_state.parquet")
    files.write_json(folder / "calendar.json", {"first_day": CALENDAR.first_day, "timezone": CALENDAR.timezone})
    files.write_json(folder / "split.json", SPLIT | {"incomplete": [], "next": WEEKS + 1})
    return folder


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Let torch use one thread: tiny products gain nothing from two, and lose much on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def rows_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the `rows` artifact of the checkerboard."""
    return write_rows(tmp_path_factory.mktemp("intent") / "rows", checkerboard())


@pytest.fixture(scope="session")
def examples(rows_folder: Path) -> Examples:
    """Give the checkerboard's examples."""
    return load(rows_folder, INTENTS)


@pytest.fixture(scope="session")
def small() -> Callable[[str], IntentModel]:
    """Make the spec of a small model of an architecture."""
    network = {"width": 16, "layers": 1, "epochs": 6, "batch_size": 64, "learning_rate": 1e-2}
    trees = {"trees": {"rounds": 150, "least": 40, "leaves": 8}}
    return lambda architecture: IntentModel.model_validate(
        {"architecture": architecture}
        | (trees if architecture in (TREES, ENSEMBLE) else {})
        | ({} if architecture == TREES else network)
    )


@pytest.fixture(scope="session")
def training(examples: Examples, small: Callable[[str], IntentModel]) -> Callable[[str], Trained]:
    """Train a model of an architecture on the checkerboard, once."""
    return cache(lambda architecture: train(examples, small(architecture), ranking_weeks=4, device="cpu"))


@pytest.fixture(scope="session", params=ARCHITECTURES)
def trained(request: pytest.FixtureRequest, training: Callable[[str], Trained]) -> Trained:
    """Give a model of every architecture."""
    return training(request.param)


@pytest.fixture(scope="session", params=NETWORKS)
def trained_network(request: pytest.FixtureRequest, training: Callable[[str], Trained]) -> Trained:
    """Give a model of every architecture that is a network."""
    return training(request.param)
