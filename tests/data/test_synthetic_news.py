"""The made-up news site: what is counted in its log is what its truth says, and the truth beats simple baselines."""

from pathlib import Path

import duckdb
import numpy as np
import pytest

from components.data import synthetic_news as news
from components.data.ingest import ingest
from components.data.spec import Data

pytestmark = pytest.mark.world
KEY = "00" * 16
ASKED = {
    "users": 300, "days": 6, "stories_per_day": 60, "topics": 8, "half_life_hours": 6.0, "visits_per_day": 4.0,
    "seed": 7,
}  # fmt: skip
PLANT = {"days": ASKED["days"], "seed": ASKED["seed"]}


@pytest.fixture(scope="module")
def planted() -> news.Planted:
    return news.plant(**ASKED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("news")
    news.write_events(made, **ASKED)
    return made


def test_interest_in_stories_halves_every_half_life(planted: news.Planted) -> None:
    """Of stories of one age, as many are shown a visit as the half-life says; none after LIFE hours."""
    shown, could = np.zeros(news.LIFE + 2), np.zeros(news.LIFE + 2)
    for hour, visitors, seen, _clicked in news.hours(planted, **PLANT):
        age = hour - planted.born
        plain = (age >= 0) & (age < len(shown)) & (planted.quality < 1.5)  # below the cap on how often one is shown
        np.add.at(shown, age[plain], seen[:, plain].sum(axis=0))
        np.add.at(could, age[plain], len(visitors))
    rate = shown / could
    assert rate[6:10].mean() / rate[0:4].mean() == pytest.approx(0.5, abs=0.06)
    assert rate[12:16].mean() / rate[0:4].mean() == pytest.approx(0.25, abs=0.05)
    assert rate[news.LIFE - 1] > 0
    assert rate[news.LIFE :].sum() == 0


def test_clicks_on_what_is_shown_are_the_planted_affinities(planted: news.Planted) -> None:
    topics = ASKED["topics"]
    shown, clicked = np.zeros((ASKED["users"], topics)), np.zeros((ASKED["users"], topics))
    for _hour, visitors, seen, read in news.hours(planted, **PLANT):
        for into, which in ((shown, seen), (clicked, read)):
            visit, story = np.nonzero(which)
            np.add.at(into, (visitors[visit], planted.topic[story]), 1)
    for low, high in ((0.0, 0.1), (0.2, 0.4), (0.4, 0.7)):
        here = (planted.affinity >= low) & (planted.affinity < high)
        expected = (planted.affinity * shown)[here].sum() / shown[here].sum()
        assert clicked[here].sum() / shown[here].sum() == pytest.approx(expected, abs=0.02)


def test_nobody_clicks_a_story_twice_or_unseen_or_before_it_is_published(folder: Path) -> None:
    twice = f"""SELECT user_id, item_id FROM '{folder}/events/*.parquet' WHERE event = 'click'
        GROUP BY ALL HAVING count(*) > 1"""
    assert duckdb.sql(twice).fetchall() == []
    early = f"""FROM '{folder}/events/*.parquet' e JOIN '{folder}/items.parquet' i USING (item_id)
        WHERE e.timestamp < i.first_seen OR e.timestamp >= i.first_seen + INTERVAL 24 HOUR"""
    assert duckdb.sql(early).fetchall() == []
    unseen = f"""FROM '{folder}/events/*.parquet' c WHERE event = 'click' AND NOT EXISTS (
        FROM '{folder}/events/*.parquet' s WHERE s.event = 'impression' AND s.user_id = c.user_id
        AND s.item_id = c.item_id AND s.session_id = c.session_id AND s.timestamp < c.timestamp)"""
    assert duckdb.sql(unseen).fetchall() == []


def test_the_true_chances_rank_better_than_what_is_popular(planted: news.Planted) -> None:
    """On the last day, the truth finds more clicks in its first ten than the last hour's or the last day's clicks."""
    users, stories = len(planted.affinity), len(planted.topic)
    read, by_hour, gained = np.zeros((users, stories), dtype=bool), [], {"truth": 0.0, "now": 0.0, "day": 0.0}
    for hour, visitors, _seen, clicked in news.hours(planted, **PLANT):
        if hour >= (ASKED["days"] - 1) * news.DAY_H:
            day = np.sum(by_hour[-24:], axis=0)
            scores = {"truth": planted.chance(hour, read), "now": by_hour[-1] + 1e-3 * day, "day": day}
            for name, score in scores.items():
                ranked = np.where(read, -1.0, score)[visitors]
                best = np.argsort(-ranked, axis=1, kind="stable")[:, :10]
                hits = np.take_along_axis(clicked, best, axis=1)
                gained[name] += float((hits / np.log2(np.arange(2, 12))).sum())
        read[visitors] |= clicked
        by_hour.append(clicked.sum(axis=0))
    assert gained["truth"] > 2 * gained["now"] > 0
    assert gained["now"] > gained["day"]  # freshness is planted: the last hour says more than the last day


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    small = ASKED | {"users": 20, "days": 2}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        news.write_events(tmp_path / name, **(small | {"seed": seed}))
    a, b, c = (sorted((tmp_path / name).rglob("*.parquet")) for name in "abc")
    assert [x.read_bytes() for x in a] == [x.read_bytes() for x in b]
    assert a[0].read_bytes() != c[0].read_bytes()


def test_the_source_brings_its_truth_and_its_clock(tmp_path: Path, rows) -> None:
    source = {"type": "synthetic_news", "users": 20, "days": 3, "stories_per_day": 12, "visits_per_day": 6}
    split = {"warmup_steps": 12, "validate_steps": 6, "test_steps": 6}
    data = Data.model_validate({"source": source, "step": "hour", "split": split})
    snapshot = ingest(data, tmp_path / "tables", key=KEY, base=tmp_path)
    assert snapshot.weeks in (71, 72)
    truth, users = rows(tmp_path / "tables" / "truth.parquet"), rows(tmp_path / "tables" / "users.parquet")
    assert truth[0]["user_id"] == users[0]["user_id"]
    assert len(truth[0]["affinity"]) == 10
