"""The made-up listening log: repeats fade as planted, and the true chances beat simple baselines."""

from pathlib import Path

import duckdb
import numpy as np
import pytest

from components.data import synthetic_music as music
from components.data.ingest import ingest
from components.data.spec import Data

pytestmark = pytest.mark.world
KEY = "00" * 16
DAYS, SEED = 90, 7
ASKED = {
    "users": 200, "tracks": 240, "genres": 8, "days": DAYS, "half_life_days": 10.0, "discoveries_per_week": 2.0,
    "seed": SEED,
}  # fmt: skip


@pytest.fixture(scope="module")
def planted() -> music.Planted:
    return music.plant(**ASKED)


@pytest.fixture(scope="module")
def heard(planted: music.Planted) -> np.ndarray:
    """Whether each discovery was played on each day, bool [N, D]."""
    which, day = music.played(planted, days=DAYS, seed=SEED)
    found = np.zeros((len(planted.user), DAYS), dtype=bool)
    found[which, day] = True
    return found


@pytest.fixture(scope="module")
def active(planted: music.Planted) -> np.ndarray:
    """Whether each listener was active on each day, bool [U, D]: the draws that `played` begins each day with."""
    dice, found = np.random.default_rng([SEED, 1]), []
    for _day in range(DAYS):
        found.append(dice.random(len(planted.active)) < planted.active)
        dice.random(len(planted.user))
    return np.stack(found, axis=1)


def test_a_track_is_repeated_as_often_as_planted_and_half_as_often_a_half_life_later(planted, heard, active) -> None:
    age = np.arange(DAYS)[None] - planted.found[:, None]  # [N, D]
    here = active[planted.user]
    chance = np.stack([planted.repeat(day) for day in range(DAYS)], axis=1)
    rate = {}
    for low in (1, 11, 21):
        which = here & (age >= low) & (age < low + 5)
        assert which.sum() > 5000
        rate[low] = heard[which].mean()
        assert rate[low] == pytest.approx(chance[which].mean(), abs=0.01)
    assert rate[11] / rate[1] == pytest.approx(0.5, abs=0.04)
    assert rate[21] / rate[1] == pytest.approx(0.25, abs=0.04)


def test_nobody_plays_what_they_have_not_found(planted, heard) -> None:
    assert not (heard & (np.arange(DAYS)[None] < planted.found[:, None])).any()


def test_a_track_is_found_once_by_a_listener_and_mostly_in_their_genres(planted) -> None:
    pairs = planted.user * ASKED["tracks"] + planted.item
    assert len(np.unique(pairs)) == len(pairs)
    by_genre = np.stack([planted.finds[:, g :: ASKED["genres"]].sum(axis=1) for g in range(ASKED["genres"])], axis=1)
    assert by_genre.sum(axis=1) == pytest.approx(1.0)
    favourite = by_genre.argmax(axis=1)
    of_favourite = (planted.item % ASKED["genres"] == favourite[planted.user]).mean()
    assert 0.4 < of_favourite < 0.6  # .56 of the draws; a popular track drawn twice counts once


def test_the_true_chances_rank_better_than_repeat_last_played_and_popular(planted, heard, active) -> None:
    users, tracks = len(planted.active), ASKED["tracks"]
    gain = 1 / np.log2(np.arange(2, 12))
    count, last = np.zeros((users, tracks)), np.zeros((users, tracks))
    gained = dict.fromkeys(("truth", "repeat", "last", "popular"), 0.0)
    for day in range(DAYS):
        now = np.flatnonzero(heard[:, day])
        label = np.zeros((users, tracks), dtype=bool)
        label[planted.user[now], planted.item[now]] = True
        if day >= DAYS - 20:
            popular = count.sum(axis=0) / count.sum()
            scores = {
                "truth": planted.chance(day),
                "repeat": count + popular,
                "last": last + popular,
                "popular": np.tile(popular, (users, 1)),
            }
            for name, score in scores.items():
                best = np.argsort(-score, axis=1, kind="stable")[:, :10]
                gained[name] += float((np.take_along_axis(label, best, axis=1) * gain)[active[:, day]].sum())
        count += label
        last[label] = day + 1
    assert gained["truth"] > 1.1 * max(gained["repeat"], gained["last"], gained["popular"])
    assert min(gained["repeat"], gained["last"]) > 2 * gained["popular"]  # repeats are planted


def test_the_log_has_the_plays_and_the_truth_its_discoveries(tmp_path: Path, planted, heard) -> None:
    music.write_events(tmp_path, **ASKED)
    days = duckdb.sql(
        f"SELECT DISTINCT user_id, item_id, timestamp::DATE FROM '{tmp_path}/events/*.parquet'"
    ).fetchall()
    assert len(days) == heard.sum()
    truth = duckdb.sql(f"SELECT user_id, items, found, strength FROM '{tmp_path}/truth.parquet'").fetchall()
    assert sum(len(items) for _user, items, _found, _strength in truth) == len(planted.user)
    mine = planted.user == 4
    assert truth[4][1] == (planted.item[mine] + 1).tolist()
    assert truth[4][2] == planted.found[mine].tolist()


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    small = ASKED | {"users": 20, "days": 10}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        music.write_events(tmp_path / name, **(small | {"seed": seed}))
    a, b, c = (sorted((tmp_path / name).rglob("*.parquet")) for name in "abc")
    assert [x.read_bytes() for x in a] == [x.read_bytes() for x in b]
    assert a[0].read_bytes() != c[0].read_bytes()


def test_the_source_brings_its_truth_and_counts_days(tmp_path: Path, rows) -> None:
    source = {"type": "synthetic_music", "users": 20, "tracks": 40, "days": 30}
    data = Data.model_validate({"source": source, "step": "day", "split": {"warmup_steps": 7, "test_steps": 7}})
    snapshot = ingest(data, tmp_path / "tables", key=KEY, base=tmp_path)
    assert (snapshot.weeks, snapshot.rows["items"], snapshot.rows["users"]) == (30, 40, 20)
    assert set(rows(tmp_path / "tables" / "truth.parquet")[0]) == {"user_id", "active", "items", "found", "strength"}
