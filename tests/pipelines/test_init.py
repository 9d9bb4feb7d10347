import datetime as dt
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from components.data.contract import validate
from components.data.ingest import ingest
from components.data.spec import Data
from components.intent.spec import Intent, IntentModel
from components.profiles.spec import Profiles
from components.ranking.spec import Ranking
from components.registry.spec import Promotion
from feature_repo.errors import DataError, SpecError
from pipelines.init import Draft, draft

START = dt.datetime(2024, 1, 1)


def write(path: Path, header: str, lines: list[str]) -> Path:
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def moments(count: int, days: int = 70) -> list[dt.datetime]:
    dice = random.Random(0)
    return sorted(START + dt.timedelta(minutes=dice.randrange(days * 24 * 60)) for _ in range(count))


def checked(made: Draft) -> dict:
    """Load a draft slice by slice, as the pipeline does."""
    text = made.text
    spec = yaml.safe_load(text)
    Data.model_validate(spec["data"])
    Profiles.model_validate(spec["profiles"])
    for intent in spec["intents"]:
        Intent.model_validate(intent)
    IntentModel.model_validate(spec["models"]["intent"])
    Ranking.model_validate(spec["models"]["ranking"])
    Promotion.model_validate(spec["promotion"])
    assert len(text.splitlines()) <= 60
    return spec


def runs(spec: dict, folder: Path) -> int:
    """Run the data steps of a draft; return the events that go on."""
    data = Data.model_validate(spec["data"])
    ingest(data, folder / "out" / "tables", key="00" * 16, base=folder)
    return validate(folder / "out" / "tables", data, folder / "out" / "clean").kept["events"]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A shop's log with times of its own format and some rows without a user, and its catalogue."""
    write(
        tmp_path / "log.csv",
        "event_time,event_type,product_id,price,user_id,user_session",
        [
            f"{at:%d/%m/%Y %H:%M},{('view', 'view', 'cart', 'purchase')[i % 4]},{i % 50},{i % 9}.5,"
            f"{'' if i % 20 == 0 else i % 30},s{i // 3}"
            for i, at in enumerate(moments(1500))
        ],
    )
    write(tmp_path / "catalogue.csv", "Product ID,Name,Category", [f"{i},Thing {i},c{i % 6}" for i in range(50)])
    return tmp_path


def test_a_draft_for_a_shop_is_guessed_and_runs(shop):
    made = draft(shop / "log.csv", shop / "catalogue.csv", name="shop", folder=shop)
    spec = checked(made)
    source = spec["data"]["source"]
    assert source["events"] == {
        "path": "log.csv",
        "columns": {
            "user_id": "user_id",
            "item_id": "product_id",
            "event": "event_type",
            "timestamp": "event_time",
            "session_id": "user_session",
            "value": "price",
        },
        "timestamps": "%d/%m/%Y %H:%M",
    }
    assert source["items"]["columns"] == {"item_id": "Product ID", "title": "Name", "category": "Category"}
    assert spec["intents"][0] == {
        "name": "buy",
        "event": "purchase",
        "level": "category",
        "top": 6,
        "horizon": "24h",
    }
    assert spec["data"]["step"] == "day"  # 30 people who come nearly every day
    assert spec["data"]["split"] == {"warmup_steps": 14, "validate_steps": 5, "test_steps": 10}
    assert "whole days; the data has 70" in made.text
    assert runs(spec, shop) == 1425


def test_a_parquet_log_without_names_for_kinds_gets_one_intent_a_value_of_its_genres(tmp_path):
    at = moments(800)
    log = {
        "Listener": [f"u{i % 40}" for i in range(800)],
        "track_id": [i % 30 for i in range(800)],
        "played": pa.array(at, pa.timestamp("us")),
    }
    pq.write_table(pa.table(log), tmp_path / "plays.parquet")
    genres = ("rock|pop", "jazz", "folk|rock")
    write(tmp_path / "tracks.csv", "id,title,genres", [f"{i},Song {i},{genres[i % 3]}" for i in range(30)])
    mapping = {"user_id": "listener"}
    spec = checked(
        draft(tmp_path / "plays.parquet", tmp_path / "tracks.csv", name="radio", folder=tmp_path, mapping=mapping)
    )
    assert spec["data"]["source"]["events"]["columns"] == {
        "user_id": "Listener",
        "item_id": "track_id",
        "timestamp": "played",
    }
    assert spec["data"]["source"]["items"]["lists"] == {"genres": "|"}
    assert spec["intents"][0] == {"name": "engage", "level": "items.genres", "top": 4, "horizon_days": 7}
    assert runs(spec, tmp_path) == 800


def test_epoch_times_are_recognised(tmp_path):
    lines = [f"{i % 20},{i % 10},{int(at.replace(tzinfo=dt.UTC).timestamp())}" for i, at in enumerate(moments(300))]
    write(tmp_path / "log.csv", "user,item,ts", lines)
    spec = checked(draft(tmp_path / "log.csv", None, name="small", folder=tmp_path))
    assert spec["data"]["source"]["events"]["timestamps"] == "epoch_s"
    assert spec["intents"] == [
        {"name": "engage", "level": "items.item_id", "top": 10, "horizon_days": 7},
        {"name": "visit", "horizon_days": 7},
    ]
    assert runs(spec, tmp_path) == 300


def test_what_the_events_file_says_of_items_is_used_where_there_is_no_other(tmp_path):
    lines = [f"{i % 20},{i % 10},{at:%Y-%m-%d},kind {i % 10 % 3}" for i, at in enumerate(moments(300))]
    write(tmp_path / "log.csv", "user_id,item_id,date,category", lines)
    spec = checked(draft(tmp_path / "log.csv", None, name="small", folder=tmp_path))
    assert spec["data"]["source"]["items"] == {
        "path": "log.csv",
        "columns": {"item_id": "item_id", "category": "category"},
    }
    assert runs(spec, tmp_path) == 300


@pytest.mark.parametrize(
    ("header", "mapping", "says"),
    [
        (
            "who,what,when",
            {},
            "log.csv: no column looks like user_id or item_id; read as fields split by ',', a header, utf-8: who, "
            "what, when; it starts: who,what,when / 1,2,2024-01-01 / 1,2,2024-03-01; say which is which, such as: "
            "intentflow init log.csv --map user_id=who,item_id=what",
        ),
        (
            "who,item,time",
            {"user_id": "whom"},
            "--map user_id=whom: no column 'whom' in log.csv; have who, item, time; did you mean 'who'?",
        ),
        (
            "who,item,time",
            {"userid": "who"},
            "--map userid=who: 'userid' is no column of events; have user_id, item_id, event, timestamp, created_at, "
            "session_id, quantity, value, discount, strength; did you mean 'user_id'?",
        ),
    ],
)
def test_what_cannot_be_guessed_is_asked_for(tmp_path, header, mapping, says):
    write(tmp_path / "log.csv", header, ["1,2,2024-01-01", "1,2,2024-03-01"])
    with pytest.raises(SpecError) as caught:
        draft(tmp_path / "log.csv", None, name="x", mapping=mapping, folder=tmp_path)
    assert str(caught.value) == says


def test_a_mapping_overrules_and_completes_the_guess(tmp_path):
    write(tmp_path / "log.csv", "who,what,when", [f"{i % 9},{i % 5},{at:%Y-%m-%d}" for i, at in enumerate(moments(90))])
    mapping = {"user_id": "who", "item_id": "what", "timestamp": "when"}
    spec = checked(draft(tmp_path / "log.csv", None, name="x", mapping=mapping, folder=tmp_path))
    assert spec["data"]["source"]["events"]["columns"] == mapping
    assert runs(spec, tmp_path) == len({(i % 9, i % 5, f"{at:%F}") for i, at in enumerate(moments(90))})


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["1,2,2024-01-01", "1,2,2024-01-09"], "log.csv: 2 weeks of events; at least 4 are needed"),
        (["1,2,soon"], "log.csv: no format reads all of column 'time', such as 'soon' (1 rows); "),
        ([], "data.source: events have no rows; nothing can be learnt from them"),
    ],
)
def test_data_that_cannot_be_drafted_for_is_refused_in_one_line(tmp_path, lines, says):
    write(tmp_path / "log.csv", "user,item,time", lines)
    with pytest.raises(DataError) as caught:
        draft(tmp_path / "log.csv", None, name="x", folder=tmp_path)
    assert says in str(caught.value)


def test_a_file_that_is_not_there_or_empty_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        draft(tmp_path / "log.csv", None, name="x")
    (tmp_path / "log.csv").touch()
    with pytest.raises(DataError, match=r"is empty \(0 bytes\)"):
        draft(tmp_path / "log.csv", None, name="x")


def test_a_name_that_cannot_be_one_is_refused(tmp_path):
    with pytest.raises(SpecError, match="'My Shop' must start with a letter"):
        draft(tmp_path / "log.csv", None, name="My Shop")


def test_of_several_files_one_is_asked_for(tmp_path):
    (tmp_path / "pod").mkdir()
    with pytest.raises(DataError, match="pod: is an empty folder"):
        draft(tmp_path / "pod", None, name="x")
    for part in (0, 1):
        (tmp_path / "pod" / f"part-{part}.csv").touch()
    for asked, says in (("pod", "is a folder"), ("pod/*.csv", "is a pattern, of 2 files")):
        with pytest.raises(DataError) as caught:
            draft(tmp_path / asked, None, name="x")
        one, every = tmp_path / "pod" / "part-0.csv", tmp_path / "pod" / "*.csv"
        cure = f"{says}; give init one file of it, such as {one}, then write `path: {every}` in the spec"
        assert str(caught.value) == f"{tmp_path / asked}: {cure}"
