"""The peers are what they are called: TIFU-KNN by hand on three users; changes of the drift cases by hand."""

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import drift, tifu

MONDAY = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


def basket(user: str, day: int, *items: str) -> list[dict[str, object]]:
    at = MONDAY + dt.timedelta(days=day)
    return [
        {"user_id": user, "session_id": f"{user}{day}", "item_id": i, "event": "purchase", "timestamp": at}
        for i in items
    ]


@pytest.fixture
def baskets(tmp_path: Path) -> tifu.Baskets:
    lines = [
        *basket("ann", 0, "bread"),
        *basket("ann", 1, "bread", "tea", "a thing that is not ranked"),
        *basket("ben", 2, "tea"),
        *basket("cid", 40, "jam"),
    ]
    pq.write_table(pa.Table.from_pylist(lines), tmp_path / "events.parquet")
    return tifu.Baskets.read(tmp_path / "events.parquet", ["bread", "tea", "jam"], event="purchase")


def test_a_basket_fades_with_those_that_follow(baskets: tifu.Baskets) -> None:
    vectors = baskets.vectors(int((MONDAY + dt.timedelta(days=30)).timestamp()), 3).toarray()
    assert vectors == pytest.approx(np.array([[1.9, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]) / 7), (
        "cid's jam is of a later day"
    )


def test_who_never_bought_is_shown_what_the_others_buy(baskets: tifu.Baskets) -> None:
    known = tifu.Tifu.at(baskets, int((MONDAY + dt.timedelta(days=30)).timestamp()), n_items=3)
    assert tifu.best(known.scores(np.array(["cid"])), 3).tolist() == [[1, 0, -1]]
    assert tifu.best(known.scores(np.array(["ann"])), 1).tolist() == [[0]]


def frame() -> pd.DataFrame:
    users, weeks = [f"u{n}" for n in range(10)], range(1, 7)
    index = pd.MultiIndex.from_product([users, weeks], names=["user_id", "week"])
    return pd.DataFrame(
        {
            "recency_days": 1.0,
            "log_sessions_7d": np.log1p(1.0),
            "log_value_7d": np.log1p(9.0),
            "log_value_per_unit": np.log1p(3.0),
            "mix_buy": "SOUP",
        },
        index=index,
    )


def test_prices_move_amounts_of_money_and_nothing_else() -> None:
    dear = drift.priced(frame(), 2.0)
    assert np.expm1(dear["log_value_7d"]).round(6).unique().tolist() == [18.0]
    assert np.expm1(dear["log_value_per_unit"]).round(6).unique().tolist() == [6.0]
    assert dear["log_sessions_7d"].equals(frame()["log_sessions_7d"])


def test_silent_users_have_no_visits_and_nothing_a_visit() -> None:
    silent = drift.silenced(frame(), np.random.default_rng(0))
    gone = silent["log_sessions_7d"] == 0
    assert gone.groupby(level="user_id").mean().tolist().count(1.0) == 3, "30 % of ten users, in all their weeks"
    assert silent.loc[gone, "log_value_per_unit"].isna().all()
    assert silent.loc[gone, "mix_buy"].isna().all()
    assert silent.loc[~gone].equals(frame().loc[~gone])


def test_parts_cover_the_weeks_and_leave_the_rest() -> None:
    pairs = drift.parts(frame(), 3)
    assert [sorted(part.index.get_level_values("week").unique()) for part, _ in pairs] == [[1, 2], [3, 4], [5, 6]]
    assert all(len(part) + len(rest) == len(frame()) for part, rest in pairs)
