"""The checkerboard as clean events: even users spend much and begin with even categories, odd users little and odd."""

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.intent.examples import Examples
from components.intent.forecasts.learn import Learnt, learn
from components.intent.forecasts.spec import Forecast, ForecastModel, ForecastRule
from tests.intent.conftest import CATEGORIES, VISIT, checkerboard, noon

MUCH, LITTLE = 10.0, 2.0
SPEND = Forecast(name="spend", kind="regression", event="purchase", value="value", unit="EUR")
RANGE = SPEND.model_copy(update={"name": "range", "loss": "quantile", "quantiles": (0.1, 0.5, 0.9)})
NEXT = Forecast(name="next", kind="multiclass", column="category", top=6)
RULE = ForecastRule(
    intents=(SPEND, RANGE, NEXT), model=ForecastModel(width=16, epochs=30, batch_size=64, learning_rate=1e-2)
)


@pytest.fixture(scope="session")
def events() -> pa.Table:
    """Give the purchases: one a category, an hour apart, in the order of categories."""
    rng = np.random.default_rng(5)
    lines = [
        (user, f"i{c}", noon(week) + 3600 * n, (LITTLE if int(user[1:]) % 2 else MUCH) * float(rng.uniform(0.8, 1.2)))
        for user, happened in checkerboard().items()
        for week, targets in happened.items()
        for n, c in enumerate(t for t in targets if t != VISIT)
    ]
    users, items, seconds, value = zip(*lines, strict=True)
    at = pa.array([dt.datetime.fromtimestamp(s, dt.UTC) for s in seconds], pa.timestamp("us", tz="UTC"))
    return pa.table(
        {
            "user_id": list(users), "item_id": list(items), "event": ["purchase"] * len(lines),
            "timestamp": at, "created_at": at, "value": list(value),
        }
    )  # fmt: skip


@pytest.fixture(scope="session")
def items() -> pa.Table:
    """Give an item a category."""
    return pa.table({"item_id": [f"i{c}" for c in range(len(CATEGORIES))], "category": list(CATEGORIES)})


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory, events: pa.Table, items: pa.Table) -> Path:
    """Give the `clean` folder."""
    folder = tmp_path_factory.mktemp("forecasts") / "clean"
    folder.mkdir()
    pq.write_table(events, folder / "events.parquet")
    pq.write_table(items, folder / "items.parquet")
    return folder


@pytest.fixture(scope="session")
def learnt(events: pa.Table, items: pa.Table, examples: Examples) -> Learnt:
    """Fit and judge the three forecasts once."""
    return learn(events, items, RULE, examples)
