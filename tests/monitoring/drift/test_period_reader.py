"""Periods of a made world, read from the folders of a run, and the watch over them."""

import dataclasses
import datetime as dt
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from components.profiles import steps as profiles_steps
from feature_repo import columns, files
from feature_repo.errors import Refused
from feature_repo.item_vectors import ItemVectors, Part
from feature_repo.logs import request_log
from monitoring import steps
from monitoring.drift import answers_read, text_directions, watch_record, watching
from monitoring.drift.answers_read import Answers
from monitoring.drift.decision import decide
from monitoring.drift.measuring import measure, measured
from monitoring.drift.period_reader import Periods
from monitoring.drift.run_folders import Folders
from monitoring.spec import Monitoring, Signals
from tests import worlds

pytestmark = pytest.mark.world
SPLIT = json.dumps({"warmup_weeks": 4, "validate_weeks": 2, "test_weeks": 4})
RANKING = json.dumps({"train_weeks": 3, "test_every_weeks": 1})
WEEKS, USERS = 24, 60


def made(folder: Path, world: worlds.World) -> Folders:
    """Write a world's tables, and its rows as the pipeline makes them."""
    clean = world.write(folder / "clean")
    profiles_steps.run_profiles(
        "{}", SPLIT, json.dumps(worlds.VOCABULARY), clean=clean, destination=folder / "profiles"
    )
    profiles_steps.run_training_set(
        SPLIT, RANKING, clean=clean, profiles=folder / "profiles", destination=folder / "rows"
    )
    return Folders(clean, folder / "rows", clean)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return made(tmp_path_factory.mktemp("signals"), worlds.checkerboard(users=USERS, weeks=WEEKS))


@pytest.fixture(scope="module")
def periods(folders: Folders) -> Periods:
    return Periods(folders, Signals())


def test_periods_that_are_over_are_the_worlds_weeks(periods: Periods) -> None:
    assert periods.numbers == list(range(1, WEEKS + 1))
    assert periods.starts(3) == "2024-01-15T00:00:00+00:00"


def test_a_week_that_is_not_over_does_not_count(folders: Folders, tmp_path: Path) -> None:
    clean = tmp_path / "clean"
    clean.mkdir()
    files.copied(folders.clean, clean, ["events.parquet", "items.parquet"])
    told = files.read_json(folders.clean / "snapshot.json")
    files.write_json(clean / "snapshot.json", told | {"last_week_complete": False})
    assert Periods(dataclasses.replace(folders, clean=clean), Signals()).numbers[-1] == WEEKS - 1
    late = {"first": "2024-01-03T00:00:00+00:00"}
    files.write_json(clean / "snapshot.json", told | late)
    assert Periods(dataclasses.replace(folders, clean=clean), Signals()).numbers[0] == 2, "two days of it are missing"


def test_a_weeks_events_by_value(periods: Periods) -> None:
    found = {name: one.value for name, one in measure(periods.observed(9), []).items()}
    assert (found["events.volume"], found["events.users"], found["events.sessions"]) == (3 * USERS, USERS, USERS)
    assert found["events.total.value"] == 2.0 * 3 * USERS
    assert (found["events.null.value"], found["events.unknown_items"], found["events.set_aside"]) == (0, 0, 0)
    assert sum(v for name, v in found.items() if name.startswith("events.share.category.")) == pytest.approx(1)
    assert sum(v for name, v in found.items() if name.startswith("events.hour.")) == pytest.approx(1)
    assert found["events.new_items"] == 0.0


def test_prices_beside_those_of_the_twelve_weeks_before(periods: Periods) -> None:
    first, later = periods.observed(1), periods.observed(20)
    assert first.usual is not None
    assert np.isnan(first.usual).all(), "nothing was sold before"
    assert later.usual is not None
    assert later.usual.tolist() == [2.0] * (3 * USERS)
    assert (first.age, later.age) == (1, 20)


def test_a_segment_is_that_of_the_last_rows_before_the_week(folders: Folders, tmp_path: Path) -> None:
    """Rows at every third week: of week 11 those of week 9 are asked, and of a week a month after the last nobody."""
    rows = tmp_path / "rows"
    shutil.copytree(folders.rows, rows, ignore=shutil.ignore_patterns("newest.parquet"))
    table = pq.read_table(rows / "intent.parquet")
    table = table.filter(pc.is_in(table["week"], pa.array([6, 9])))
    segment = pc.cast(pc.equal(table["week"], 9), pa.int64())  # 0 of all in week 6, 1 in week 9
    table = table.set_column(table.schema.get_field_index(columns.SEGMENT), columns.SEGMENT, segment)
    pq.write_table(table, rows / "intent.parquet")
    files.write_json(rows / "segments.json", {"digest": "abcd1234", "names": ["a", "b"]})
    of = Periods(dataclasses.replace(folders, rows=rows), Signals())
    assert of.observed(5).segment is None, "nobody knew them yet"
    for week, segments in ((6, {0}), (8, {0}), (9, {1}), (11, {1}), (13, {1})):
        found = of.observed(week).segment
        assert found is not None
        assert set(found.tolist()) == segments, week
    assert of.observed(14).segment is None


def test_rows_at_a_weeks_end_agree_with_its_events(periods: Periods) -> None:
    history = measured(map(periods.observed, periods.numbers))
    for week in (WEEKS - 2, WEEKS):  # of the newest too, whose labels nobody knows
        found = {name: one.value for name, one in history[week].items()}
        agreeing = {name: value for name, value in found.items() if name.startswith("features.agree.")}
        assert {"features.agree.sessions_7d", "features.agree.value_28d", "features.agree.events_91d"} <= set(agreeing)
        assert list(agreeing.values()) == pytest.approx([1.0] * len(agreeing))


def test_rows_of_a_run_that_wrote_no_newest_are_read_without(folders: Folders, tmp_path: Path) -> None:
    shutil.copytree(folders.rows, tmp_path / "rows", ignore=shutil.ignore_patterns("newest.parquet"))
    before = Periods(dataclasses.replace(folders, rows=tmp_path / "rows"), Signals())
    assert before.observed(WEEKS).frame is None
    assert before.observed(WEEKS - 1).frame is not None


def test_labels_are_those_that_the_week_completed(periods: Periods, folders: Folders) -> None:
    of = periods.observed(12)
    rows = pq.read_table(folders.rows / "intent.parquet").filter(pc.field("week") == 12)
    visit = len(periods.vocabulary.targets) - 1
    done = sum(visit in labels for labels in rows["label_ids"].to_pylist())
    assert of.labels is not None
    assert of.labels.done[:, of.labels.intents.index("visit")].sum() == done == USERS


def test_scores_are_of_the_rows_at_the_weeks_end(folders: Folders) -> None:
    asked: list[int] = []

    def predict(rows):
        asked.extend(np.unique(rows.now).tolist())
        return np.full((len(rows), 5), 0.25, dtype=np.float32)

    periods = Periods(folders, Signals(), predict=predict)
    of = periods.observed(12)
    assert asked == [int(periods.calendar.start(at).timestamp()) for at in (13, 12)]
    assert of.scores is not None
    assert of.scores["buy"].tolist() == pytest.approx([1.0] * USERS)
    assert of.labels is not None
    assert of.labels.expected is not None


def test_forecasts_are_of_the_same_rows_as_scores(folders: Folders) -> None:
    class Says:
        def watched(self, rows):
            return {"spend": rows.now.astype(float), "next.none": np.full(len(rows), 0.5)}

    periods = Periods(folders, Signals())
    assert periods.observed(12).forecasts is None, "no model is at hand"
    periods = Periods(folders, Signals())
    periods.__dict__["_forecaster"] = Says()
    found = periods.observed(12).forecasts
    assert found is not None
    assert found["spend"].tolist() == [periods.calendar.start(13).timestamp()] * USERS
    assert list(found.columns) == ["spend", "next.none"]


def test_days_are_watched_by_the_day_where_the_spec_says_so(folders: Folders) -> None:
    periods = Periods(folders, Signals(period="day"))
    assert (periods.days, len(periods.numbers)) == (1, 7 * WEEKS)
    assert len(periods.observed(8).events) == len(periods.observed(1).events)
    assert sum(len(periods.observed(day).events) for day in range(1, 8)) == 3 * USERS


def test_the_days_of_a_week_that_is_not_over_are_over(folders: Folders, tmp_path: Path) -> None:
    clean = tmp_path / "clean"
    clean.mkdir()
    files.copied(folders.clean, clean, ["events.parquet", "items.parquet"])
    told = files.read_json(folders.clean / "snapshot.json")
    thursday = dt.datetime.fromisoformat(Periods(folders, Signals()).starts(WEEKS)) + dt.timedelta(days=3, hours=9)
    files.write_json(clean / "snapshot.json", told | {"last_week_complete": False, "last": thursday.isoformat()})
    part = dataclasses.replace(folders, clean=clean)
    assert Periods(part, Signals(period="day")).numbers[-1] == 7 * (WEEKS - 1) + 3, "Monday to Wednesday"
    assert Periods(part, Signals()).numbers[-1] == WEEKS - 1


def test_the_request_log_is_read_by_the_datas_clock(folders: Folders, periods: Periods, tmp_path: Path) -> None:
    events = pq.read_table(folders.clean / "events.parquet").to_pylist()
    bought = next(e for e in events if e["user_id"] == "u03" and e["timestamp"] >= periods.calendar.start(9))
    line = {
        "request_id": "r", "logged_at": "2026-01-01T00:00:00+00:00", "endpoint": "recommend", columns.USER_ID: "u03",
        "now": int(periods.calendar.start(9).timestamp()), "state_at": 0, "known": True, "rung": "fresh",
        "degraded": None, "latency_ms": 4.0, "asked": {}, "numbers": {}, "lists": {},
        "probabilities": [0.5] * len(periods.vocabulary.targets),
        "items": [
            {"item_id": item, "position": n, "score": 1.0, "source": "history", "propensity": 1.0}
            for n, item in enumerate([bought["item_id"], "nobody's"])
        ],
    }  # fmt: skip
    lines = [
        line, line | {"request_id": "s", "items": [], "rung": "popular", "sample": 0.5},
        line | {"request_id": "t", "mirrored": True},
    ]  # fmt: skip
    (tmp_path / "2026-01-01.00000.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    logged = Periods(dataclasses.replace(folders, log=tmp_path), Signals())
    found = {name: one.value for name, one in measure(logged.observed(9), []).items()}
    assert (found["requests.volume"], found["requests.users"], found["requests.modelled"]) == (3, 1, 0.5)
    assert (found["shown.items"], found["rewards.rate"]) == (2, 1.0)
    assert not [name for name in measure(logged.observed(8), []) if name.startswith(("requests.", "shown."))]
    host = tmp_path / "store" / "recommender-0a1b2c3d4e5f-7d9f8b6c5-x2x9z"
    host.mkdir(parents=True)
    pq.write_table(request_log.table_of(lines), host / "2026-01-01.00000.parquet")
    shipped = Periods(dataclasses.replace(folders, store=str(tmp_path / "store")), Signals())
    assert {name: one.value for name, one in measure(shipped.observed(9), []).items()} == found, "on a cluster as here"
    after = {name: one.value for name, one in measure(logged.observed(10), []).items() if name.startswith("requests.")}
    assert after == {"requests.volume": 0.0, "requests.users": 0.0}, "nobody was answered, which is not nothing to say"
    about = {"calendar": logged.calendar, "users": logged._read.users, "items": logged._read.items, "targets": 5}
    shown_only = Answers.of_table(answers_read.kept(tmp_path), **about, by_intent=pd.DataFrame, acts=["click"])
    assert shown_only is not None
    assert shown_only.of(9, logged.observed(9).events).shown["acted"].max() == 0.0, "an impression is no act"


def test_texts_are_those_of_the_champions_vectors(folders: Folders, tmp_path: Path) -> None:
    vectors = np.eye(4, dtype=np.float16)[:2]
    ids = ["i1", "i0", "elsewhere"]
    place = np.asarray([1, 0, -1], np.int32)
    about = {"digest": "abcdef", "spec": {}}
    digests = {"text": ("a", "b", ""), "image": ("", "", "")}
    ItemVectors(about, Part(vectors, place), Part.none(3), digests).save(tmp_path / "ranking" / "vectors", ids)
    (tmp_path / "intent").mkdir()
    periods = Periods(dataclasses.replace(folders, intent=tmp_path / "intent"), Signals(), predict=lambda rows: rows)
    texts = periods._texts
    assert texts is not None
    assert texts.names[0] == "abcd.1"
    items = periods._read.items.to_pylist()
    along = text_directions.directions("abcdef", 4)
    assert texts.seen[items.index("i0")] == pytest.approx(along[0], abs=1e-3)
    assert texts.seen[items.index("i1")] == pytest.approx(along[1], abs=1e-3)
    assert np.isnan(texts.seen[items.index("i2")]).all()
    assert Periods(folders, Signals())._texts is None


# The watch ---------------------------------------------------------------------------------------------------------


def changed(folders: Folders, folder: Path, change) -> Folders:
    """Copy the clean tables with other events."""
    folder.mkdir(parents=True)
    files.copied(folders.clean, folder, ["items.parquet", "users.parquet", "snapshot.json"])
    pq.write_table(change(pq.read_table(folders.clean / "events.parquet")), folder / "events.parquet")
    return dataclasses.replace(folders, clean=folder)


def without_values(events: pa.Table, *, since: dt.datetime) -> pa.Table:
    late = pc.greater_equal(events["timestamp"], pa.scalar(since, pa.timestamp("us", tz="UTC")))
    values = pc.if_else(late, pa.scalar(None, pa.float64()), events["value"])
    return events.set_column(events.schema.get_field_index("value"), "value", values)


def test_a_world_that_stands_still_asks_for_nobody(folders: Folders, tmp_path: Path) -> None:
    record, history = watching.watch("shop", folders, Monitoring(), release="1", home=tmp_path, at=5)
    assert (record.reason, record.verdicts, record.period) == ("none", (), WEEKS)
    assert record.judged > 25
    assert (len(history), history[-1].starts) == (WEEKS, record.starts)
    assert not list(tmp_path.iterdir()), "nothing is written"


def test_the_record_counts_and_not_what_a_later_snapshot_says_of_the_past(folders: Folders, tmp_path: Path) -> None:
    _, history = watching.watch("shop", folders, Monitoring(), release="1", home=tmp_path, at=5)
    other = [dataclasses.replace(of, values={**of.values, "events.volume": [720.0, 60.0]}) for of in history[:-1]]
    watch_record.add(tmp_path, other)
    record, _ = watching.watch("shop", folders, Monitoring(), release="2", home=tmp_path, at=6)
    assert [(v.signal, v.direction) for v in record.alarms if v.signal == "events.volume"] == [
        ("events.volume", "down")
    ]


def test_a_category_that_the_catalogue_forgot_is_gone(folders: Folders, tmp_path: Path) -> None:
    _, history = watching.watch("shop", folders, Monitoring(), release="1", home=tmp_path, at=5)
    name = "events.share.category.OLD"
    watch_record.add(
        tmp_path, [dataclasses.replace(of, values={**of.values, name: [0.2, 180.0]}) for of in history[:-1]]
    )
    record, _ = watching.watch("shop", folders, Monitoring(), release="1", home=tmp_path, at=6)
    assert [(v.signal, v.value, v.reason) for v in record.alarms] == [(name, 0.0, "data_fault")]


def test_a_week_that_lost_its_values_is_a_fault(folders: Folders, periods: Periods, tmp_path: Path) -> None:
    lost = changed(folders, tmp_path / "lost", lambda e: without_values(e, since=periods.calendar.start(WEEKS)))
    record, _ = watching.watch("shop", lost, Monitoring(), release="1", home=None, at=5)
    found = {v.signal: (v.when, v.reason, v.since) for v in record.alarms}
    assert record.reason == "data_fault"
    assert found["events.null.value"] == ("now", "data_fault", WEEKS)
    assert "features.agree.value_28d" in found, "the rows still hold what the events lost"


@pytest.mark.slow  # Evidently compares windows twice; the case above asks the signals alone
def test_the_step_says_faulty_where_the_newest_week_lost_values_and_nothing_is_trained(
    folders: Folders, periods: Periods, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTENTFLOW_EVIDENTLY", str(tmp_path / "evidently"))
    monkeypatch.setenv("INTENTFLOW_HOME", str(tmp_path / "home"))
    faulty = changed(folders, tmp_path / "faulty", lambda e: without_values(e, since=periods.calendar.start(WEEKS)))

    def watched(of: Folders, mode: str = "auto") -> dict:
        steps.watch(
            "shop", Monitoring(min_rows=50).model_dump_json(), mode=mode, release="4", rows=str(of.rows),
            clean=str(of.clean), tables=str(of.tables), verdict=str(tmp_path / "verdict"),
            report=str(tmp_path / "page"), log_metric=lambda name, value: None,
        )  # fmt: skip
        return files.read_json(tmp_path / "verdict" / "drift.json")

    dry = watched(faulty, "dry_run")
    assert dry["verdict"] == "faulty"
    assert not (tmp_path / "home").exists(), "a dry run keeps nothing"
    found = watched(faulty)
    assert (found["verdict"], found["word"], found["class"]) == ("faulty", "refused", "data_fault")
    told = "events.null.value up to 1 from 0 since 2024-06-10 (now, data_fault)"
    assert "since 2024-06-10 (now, data_fault), and 1 more signal; windows: " in found["reason"]
    record = watch_record.last(tmp_path / "home")
    assert record is not None
    assert record.document() == found["signals"]
    assert len(watch_record.history(tmp_path / "home")) == WEEKS
    mark = files.read_json(tmp_path / "home" / "marks" / "drift.json")
    assert (mark["verdict"], mark["class"], "events.null.value" in mark["alarms"]) == ("faulty", "data_fault", True)
    assert f"<li>{told}</li>" in (tmp_path / "page").read_text()
    with pytest.raises(Refused, match=r"the data is at fault .*nothing is trained on it"):
        decide(str(tmp_path / "verdict"))
