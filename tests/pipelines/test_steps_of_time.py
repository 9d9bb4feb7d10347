"""A rhythm that weeks cannot see is learnt by a clock of hours, or of days: from files to a trained intent model."""

import csv
import datetime as dt
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from components.data.contract import validate
from components.data.ingest import ingest
from components.data.spec import Data
from components.intent import baselines, metrics
from components.intent import examples as intent_examples
from components.intent.evaluate import evaluate
from components.intent.score import IntentScorer
from components.intent.train import train
from components.profiles import steps
from feature_repo.errors import DataError
from pipelines import spec
from pipelines.graphs import parameters

pytestmark = pytest.mark.world

KEY = "00" * 16
ZONE = ZoneInfo("Europe/Berlin")
NOW = dt.datetime(2024, 9, 1, tzinfo=dt.UTC)
USERS, COMES = 30, 0.9  # probability of a user to come when it is their time


def mornings_and_evenings(user: int, at: dt.datetime) -> bool:
    """Tell whether an hour is a user's: even users come at eight, odd ones at twenty."""
    return at.hour == (8 if user % 2 == 0 else 20)


def every_other_day(user: int, at: dt.datetime) -> bool:
    """Tell whether a day is a user's: even users come on Monday, Wednesday and Friday, odd ones on the days after."""
    return at.weekday() in ((0, 2, 4) if user % 2 == 0 else (1, 3, 5))


@dataclass(frozen=True)
class Rhythm:
    """A world by its clock: who comes when, and how its steps are laid out."""

    step: str
    of: Callable[[int, dt.datetime], bool]
    steps: int
    split: dict[str, int]
    soon: str  # horizon of one step
    later: str  # a longer one

    def write(self, folder: Path) -> None:
        """Write the events; clocks change on 31 March."""
        rng, rows = random.Random(0), []
        first = dt.datetime(2024, 3, 25, tzinfo=ZONE)
        for n in range(self.steps):
            # Hours are instants, days are local.
            hours = self.step == "hour"
            at = (
                (first.astimezone(dt.UTC) + dt.timedelta(hours=n)).astimezone(ZONE)
                if hours
                else first + dt.timedelta(days=n)
            )
            for user in range(USERS):
                if n == 0 or n == self.steps - 1 or (self.of(user, at) and rng.random() < COMES):
                    when = at + dt.timedelta(minutes=rng.randrange(50) if hours else 60 * rng.randrange(6, 23))
                    rows.append((f"u{user}", f"i{user % 4}", "play", when.astimezone(dt.UTC).isoformat()))
        with (folder / "events.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("user_id", "item_id", "event", "timestamp"), *rows])
        (folder / "items.csv").write_text("item_id,category\n" + "".join(f"i{n},C{n % 2}\n" for n in range(4)))

    def document(self) -> dict[str, Any]:
        """Return the spec."""
        return {
            "apiVersion": "intentflow/v1",
            "kind": "Recommender",
            "name": "rhythm",
            "data": {
                "source": {"type": "csv", "events": {"path": "events.csv"}, "items": {"path": "items.csv"}},
                "timezone": "Europe/Berlin",
                "step": self.step,
                "split": self.split,
            },
            "profiles": {"segments": {"k": 2}, "windows_days": [1, 7]},
            "intents": [
                {"name": "come", "horizon": self.soon},
                {"name": "later", "horizon": self.later},
            ],
            "models": {
                "intent": {"architecture": "cnn", "width": 16, "layers": 1, "epochs": 12, "batch_size": 128,
                           "learning_rate": 0.02},
                "ranking": {"min_item_sessions": 1, "min_item_users": 1, "train_weeks": 24},
            },
        }  # fmt: skip


RHYTHMS = {
    "hour": Rhythm(
        "hour",
        mornings_and_evenings,
        12 * 24,
        {"warmup_steps": 72, "validate_steps": 24, "test_steps": 24},
        soon="1h",
        later="6h",
    ),
    "day": Rhythm(
        "day",
        every_other_day,
        98,
        {"warmup_steps": 21, "validate_steps": 14, "test_steps": 14},
        soon="24h",
        later="7d",
    ),
}


# Hours take three times as long as days, and the same way: CI runs them.
@pytest.fixture(scope="module", params=["day", pytest.param("hour", marks=pytest.mark.slow)])
def learnt(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Rhythm, intent_examples.Examples, IntentScorer]:
    """Take a world through ingest, contract, profiles and training set to a trained intent model."""
    rhythm, folder = RHYTHMS[request.param], tmp_path_factory.mktemp(request.param)
    rhythm.write(folder)
    # As a pipeline's form carries it: dumped and read again.
    first = spec.parse(rhythm.document(), place="test")
    wanted = spec.parse(parameters.form(first)["spec"], place="test")
    assert wanted.digest == first.digest
    slices = parameters.spec_slices(wanted)
    tables, clean, profiles, rows = (folder / name for name in ("tables", "clean", "profiles", "rows"))
    reading = json.loads(slices["reading"])
    longest = reading.pop("horizon", 1)
    ingest(Data.model_validate(reading), tables, key=KEY, base=folder, now=NOW, horizon=longest)
    validate(tables, Data.model_validate_json(slices["data"]), clean, now=NOW)
    steps.run_profiles(slices["profiles"], slices["split"], slices["vocabulary"], clean=clean, destination=profiles)
    steps.run_training_set(slices["split"], slices["ranking_rows"], clean=clean, profiles=profiles, destination=rows)
    found = intent_examples.load(rows, wanted.intents)
    scorer = train(found, wanted.models.intent, ranking_weeks=wanted.models.ranking.train_weeks).scorer
    scorer.save(folder / "model")
    return rhythm, found, IntentScorer.load(folder / "model")


def test_steps_are_counted_and_parts_lie_one_longest_horizon_apart(
    learnt: tuple[Rhythm, intent_examples.Examples, IntentScorer],
) -> None:
    rhythm, found, scorer = learnt
    longest = {"hour": 6, "day": 7}[rhythm.step]
    assert scorer.calendar == found.calendar
    assert (found.calendar.step, found.calendar.first_day) == (rhythm.step, "2024-03-25")
    assert found.split["test"][-1] == rhythm.steps - longest + 1
    assert found.split["train"][-1] + longest == found.split["validate"][0]
    assert found.split["validate"][-1] + longest == found.split["test"][0]
    assert found.vocabulary.horizons.tolist() == [1, longest]


def test_the_model_knows_whose_time_comes_next(
    learnt: tuple[Rhythm, intent_examples.Examples, IntentScorer],
) -> None:
    rhythm, found, scorer = learnt
    test = found.part("test")
    rows, place = found.rows.take(test), found.vocabulary.target_names.index("come")
    said = scorer.predict(rows)[:, place]
    happened = found.labels[test][:, place]
    # Which user a pseudonym is shows in what they did; whose time it is, the world's own rule says.
    even = {user: rhythm_of(found, user, rhythm) for user in set(rows.user_id)}
    starts = [found.calendar.start(int(week)).astimezone(ZONE) for week in found.week[test]]
    theirs = np.asarray([rhythm.of(0 if even[user] else 1, at) for user, at in zip(rows.user_id, starts, strict=True)])
    assert happened[~theirs].sum() == 0
    assert happened[theirs].mean() == pytest.approx(COMES, abs=0.1)
    assert said[theirs].mean() > 0.7
    assert said[~theirs].mean() < 0.1


def rhythm_of(found: intent_examples.Examples, user: str, rhythm: Rhythm) -> bool:
    """Tell whether a user is an even one, by the training labels."""
    mine = np.flatnonzero((found.rows.user_id == user) & np.isin(found.week, found.split["train"]))
    came = mine[found.labels[mine][:, found.vocabulary.target_names.index("come")] == 1]
    starts = [found.calendar.start(int(week)).astimezone(ZONE) for week in found.week[came]]
    return all(rhythm.of(0, at) for at in starts)


def test_rates_a_step_cannot_see_the_rhythm_and_the_model_beats_them(
    learnt: tuple[Rhythm, intent_examples.Examples, IntentScorer],
) -> None:
    _rhythm, found, scorer = learnt
    result, place = evaluate(scorer, found), found.vocabulary.target_names.index("come")
    test = found.part("test")
    others = baselines.predictions(
        found.train_rate,
        found.rows.take(test),
        result.prior_weeks,
        calendar=found.calendar,
        horizons=found.vocabulary.horizons,
    )
    mine = result.targets["come"]["auroc"]
    theirs = metrics.single(found.labels[test][:, place], others["decayed_rate"][:, place])["auroc"]
    assert mine is not None
    assert theirs is not None
    assert mine > 0.95 > 0.75 > theirs


def test_a_row_is_answered_the_same_alone_and_among_others(
    learnt: tuple[Rhythm, intent_examples.Examples, IntentScorer],
) -> None:
    _rhythm, found, scorer = learnt
    some = found.rows.take(found.part("test")[:5])
    together = scorer.predict(some)
    for place in range(len(some)):
        np.testing.assert_allclose(scorer.predict(some.take(np.asarray([place])))[0], together[place], atol=1e-5)


def test_times_of_whole_days_are_no_clock_of_hours(tmp_path: Path) -> None:
    rhythm = RHYTHMS["day"]
    lines = ["user_id,item_id,event,timestamp"]
    lines += [f"u{n % 7},i{n % 4},play,2024-03-{1 + n % 28:02}T00:00:00+01:00" for n in range(100)]
    (tmp_path / "events.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "items.csv").write_text("item_id,category\n" + "".join(f"i{n},C{n % 2}\n" for n in range(4)))
    document = rhythm.document()
    document["data"] |= {"step": "hour"}
    document["intents"] = [{"name": "come", "horizon": "1h"}]
    wanted = spec.parse(document, place="test")
    with pytest.raises(DataError) as caught:
        ingest(wanted.data, tmp_path / "tables", key=KEY, base=tmp_path, now=NOW)
    assert (
        "data.step: hour is finer than the data's clock: every timestamp is at 00:00 (Europe/Berlin); use day"
        in str(caught.value)
    )


def test_times_of_one_day_of_the_week_are_no_clock_of_days(tmp_path: Path) -> None:
    lines = ["user_id,item_id,event,timestamp"]
    mondays = [dt.date(2024, 1, 1) + dt.timedelta(weeks=n) for n in range(28)]
    lines += [f"u{n % 7},i{n % 4},play,{mondays[n % 28]}T09:{n % 60:02}:00+01:00" for n in range(200)]
    (tmp_path / "events.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "items.csv").write_text("item_id,category\n" + "".join(f"i{n},C{n % 2}\n" for n in range(4)))
    wanted = spec.parse(RHYTHMS["day"].document(), place="test")
    with pytest.raises(
        DataError, match=r"data.step: day is finer than the data's clock: every timestamp is of a Monday"
    ):
        ingest(wanted.data, tmp_path / "tables", key=KEY, base=tmp_path, now=NOW)
