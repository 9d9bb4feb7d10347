"""Files in all the ways that people write them: read to the known truth, every cell, or refused in one line."""

import gzip
import shutil
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from feature_repo.errors import DataError
from tests.data import zoo

COUNT, MANY = 30, 800  # 30 of this seed have every value of every dimension
SEED = 7


def _read_all(kinds: Iterable[zoo.Kind], folder: Path) -> list[zoo.Kind]:
    done = []
    for kind in kinds:
        own = folder / "files"
        own.mkdir()
        source = zoo.write(kind, own)
        try:
            found = zoo.read(source, own)
        except DataError as error:
            pytest.fail(f"{kind}: refused: {error}")
        assert found == zoo.truth(kind), str(kind)
        shutil.rmtree(own)
        done.append(kind)
    return done


@pytest.mark.world
def test_every_unambiguous_file_is_read_to_the_known_truth(tmp_path: Path) -> None:
    done = _read_all(zoo.kinds(count=COUNT, seed=SEED), tmp_path)
    print(zoo.counted(done))
    for field in fields(zoo.Kind):
        assert {getattr(kind, field.name) for kind in done} == set(zoo.DIMENSIONS[field.name]), field.name


@pytest.mark.slow
def test_many_more_files_are_read_to_the_known_truth(tmp_path: Path) -> None:
    """Every two values that can stand together do, and 99 of 100 triples of values."""
    done = _read_all(zoo.various(count=MANY, seed=2), tmp_path)
    print(zoo.counted(done))
    drawn = list(zoo.kinds(count=10 * MANY, seed=SEED))
    for size, share in ((2, 1.0), (3, 0.99)):
        can = set[tuple[Any, ...]]().union(*(zoo.together(kind, size) for kind in drawn))
        had = set[tuple[Any, ...]]().union(*(zoo.together(kind, size) for kind in done))
        assert len(can & had) >= share * len(can)


@pytest.mark.world
def test_the_default_kind_differs_by_one_dimension_at_a_time_and_is_read(tmp_path: Path) -> None:
    """So that a fault shows which dimension it is in."""
    for name, values in zoo.DIMENSIONS.items():
        for number, value in enumerate(values):
            more: dict[str, Any] = {"told": True} if value in ("::", "whitespace", False) else {}
            kind = zoo.Kind(**(more | {name: value}))
            if not zoo.possible(kind):
                continue
            folder = tmp_path / f"{name}-{number}"
            folder.mkdir()
            assert zoo.read(zoo.write(kind, folder), folder) == zoo.truth(kind), str(kind)


HEAD = "user_id,item_id,timestamp,quantity\n"
ROWS = "".join(f"{1000 + n},tea,2024-01-{n:02}T10:00:00Z,1\n" for n in range(1, 9))
# What cannot be read for certain: its files, what the table says, and the place and the cure that the refusal names.
AMBIGUOUS: dict[str, tuple[dict[str, str | bytes], dict[str, Any], str]] = {
    "a ragged row": (
        {"a.csv": HEAD + ROWS + "7,tea,2024-01-09T10:00:00Z\n"},
        {},
        r"a.csv: line 10 has 3 fields and the first line 4 .*mend or remove the line",
    ),
    "a row with a field too many": (
        {"a.csv": HEAD + "7,tea,2024-01-09T10:00:00Z,1,9\n" + ROWS},
        {},
        r"a.csv: line 2 has 5 fields and the first line 4",
    ),
    "a ragged row behind a quoted line break": (
        {"a.csv": HEAD + '"1","t\nea",2024-01-09T10:00:00Z,1\n7,tea\n'},
        {},
        r"a.csv: line 4 has 2 fields",
    ),
    "a footer": ({"a.csv": HEAD + ROWS + "(8 rows)\n"}, {}, r"a.csv: line 10 has 1 fields .*\(8 rows\)"),
    "a second export with one more column": (
        {"a.csv": HEAD + ROWS + HEAD.replace("\n", ",value\n") + ROWS.replace("Z,1\n", "Z,1,2\n")},
        {},
        r"a.csv: line 10 is another header, of 5 fields .*two exports in one file: write them as two",
    ),
    "a second export of the same columns": (
        {"a.csv": HEAD + ROWS + HEAD + ROWS},
        {},
        r"a.csv: line 10 is the header again: two exports in one file; write them as two",
    ),
    "a second export, its columns in another order": (
        {"a.csv": HEAD + ROWS + "item_id,user_id,timestamp,quantity\n" + ROWS},
        {},
        r"a.csv: line 10 is the header again",
    ),
    "a quote that nothing closes": (
        {"a.csv": HEAD + ROWS + '"7,tea,2024-01-09T10:00:00Z,1\n'},
        {},
        r"a.csv: line 10 opens a quote that nothing closes; mend the line",
    ),
    "Latin-1 that is not said": (
        {"a.csv": (HEAD + ROWS + "jos\u00e9,tea,2024-01-09T10:00:00Z,1\n").encode("latin-1")},
        {},
        r"a.csv: line 10 is no utf-8 \(byte 0xe9 at \d+\); say its encoding, as `encoding: cp1252`",
    ),
    "UTF-16 that is not said": (
        {"a.csv": (HEAD + ROWS).encode("utf-16")},
        {},
        r"a.csv is no UTF-8 but utf-16; say `encoding: utf-16`",
    ),
    "UTF-16 without its mark": (
        {"a.csv": (HEAD + ROWS).encode("utf-16-le")},
        {},
        r"a.csv: line 1 holds a zero byte; is it `encoding: utf-16-le`\?",
    ),
    "UTF-8 that is called Latin-1": (
        {"a.csv": HEAD + ROWS + "jos\u00e9,tea,2024-01-09T10:00:00Z,1\n"},
        {"encoding": "latin-1"},
        r"a.csv is UTF-8 and no iso8859-1; leave `encoding:` out",
    ),
    "no separator that is known": (
        {"a.csv": (HEAD + ROWS).replace(",", "::")},
        {},
        r"no column for user_id in .*; say what separates the columns as `delimiter:`",
    ),
    "no header": (
        {"a.csv": ROWS},
        {},
        r"no column for user_id in .*or `header: none` if the first line holds no names",
    ),
    "a column that a later file calls otherwise": (
        {"a.csv": HEAD + ROWS, "b.csv": (HEAD + ROWS).replace("quantity", "qty")},
        {},
        r"column 'quantity' \(for quantity\) is in 1 of 2 files of \*.csv; b.csv lacks it and has .*qty; rename",
    ),
    "offsets in one file and none in the next": (
        {"a.csv": HEAD + ROWS, "b.csv": HEAD + ROWS.replace("Z", "")},
        {},
        r"carry an offset in row 1 of a.csv and none in row 1 of b.csv; say .*`timezone: {'b.csv': ",
    ),
    "offsets in some rows": (
        {"a.csv": HEAD + ROWS + ROWS.replace("Z", "").replace("2024", "2023")},
        {},
        r"carry an offset in row 1 of a.csv and none in row 9 of a.csv",
    ),
    "a file whose zone no pattern tells": (
        {"a.csv": HEAD + ROWS, "b.csv": HEAD + ROWS},
        {"timezone": {"a.csv": "Europe/Berlin"}},
        r"timezone: no pattern fits b.csv; have a.csv; end with one for all",
    ),
    "the name of a zone behind a time": (
        {"a.csv": HEAD + ROWS + "7,tea,2024-01-09 10:00:00 EST,1\n"},
        {},
        r"holds '2024-01-09 10:00:00 EST' in row 9 of a.csv, which is no timestamp; mend the file, or say its format",
    ),
    "seconds among milliseconds": (
        {"a.csv": HEAD + "1,tea,1704715200000,1\n2,tea,1704715201,1\n"},
        {"timestamps": "epoch_ms"},
        r"holds '1704715201' in row 2 of a.csv, which is no timestamp in this unit; .*\['epoch_s', 'epoch_ms'\]",
    ),
    "ids in two forms in one file": (
        {"a.csv": HEAD + ROWS + "1001.0,tea,2024-01-09T10:00:00Z,1\n"},
        {},
        r"user_id '1001.0' of events \(\*.csv\) and '1001' of events \(\*.csv\) are one id in two forms",
    ),
    "ids in two forms in two files": (
        {"a.csv": HEAD + ROWS, "b.csv": HEAD + ROWS.replace(",tea", ".0,tea")},
        {},
        r"'1001.0' .* and '1001' .* are one id in two forms \(8 such pairs\); write ids in one form",
    ),
    "ids that a spreadsheet cut": (
        {"a.csv": HEAD + ROWS + "1.23457E+12,tea,2024-01-09T10:00:00Z,1\n"},
        {},
        r"holds '1.23457E\+12' in row 9 of a.csv, which is no exact id; write ids whole",
    ),
    "an amount that is none": (
        {"a.csv": HEAD + ROWS + "7,tea,2024-01-09T10:00:00Z,1e400\n"},
        {},
        r"holds '1e400' in row 9 of a.csv, which is no finite number up to 1e\+15; mend the file",
    ),
    "a name that stands twice": (
        {"a.csv": "user_id,item_id,timestamp,Item_ID\n1,tea,2024-01-09T10:00:00Z,7\n"},
        {},
        r"a.csv: the first line names 'item_id' twice; rename one of the columns",
    ),
    "JSON with a line that is none": (
        {"a.jsonl": '{"user_id": 1, "item_id": "tea", "timestamp": "2024-01-09"}\n{"user_id": 2,\n'},
        {},
        r"a.jsonl: line 2 is no JSON object: .*; mend the line",
    ),
    "JSON with a key twice": (
        {"a.jsonl": '{"user_id": 1, "user_id": 2, "item_id": "tea", "timestamp": "2024-01-09"}\n'},
        {},
        r"a.jsonl: line 1 is no JSON object: a key stands twice in one object; mend the line",
    ),
    "JSON with half of a character": (
        {"a.jsonl": '{"user_id": 2, "item_id": ["\\ud83c\\udf75"]}\n{"user_id": "\\uD83C"}\n'},
        {},
        r"a.jsonl: line 2 holds half of a character, such as \\ud83d; mend the line",
    ),
    "JSON ids that a float has rounded": (
        {"a.jsonl": '{"user_id": 9007199254740993.0, "item_id": "tea", "timestamp": "2024-01-09"}\n'},
        {},
        r"holds '9007199254740993.0' in row 1 of a.jsonl, which is no exact id",
    ),
    "an archive whose middle is none": (
        {"a.csv.gz": gzip.compress(HEAD.encode())[:10] + b"\xff" * 30},
        {},
        r"a.csv.gz cannot be unpacked: ",
    ),
    "a file that is no archive": ({"a.csv.gz": HEAD + ROWS}, {}, r"a.csv.gz cannot be unpacked: "),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_what_cannot_be_read_for_certain_is_refused_with_its_place_and_the_cure(case: str, tmp_path: Path) -> None:
    files, table, says = AMBIGUOUS[case]
    for name, content in files.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    pattern = "*" + "".join(Path(next(iter(files))).suffixes)
    kind = "jsonl" if "jsonl" in pattern else "csv"
    with pytest.raises(DataError, match=says) as error:
        zoo.read({"type": kind, "events": {"path": pattern} | table}, tmp_path)
    assert "\n" not in str(error.value)


CURED: dict[str, tuple[dict[str, Any], int]] = {
    "Latin-1 that is not said": ({"encoding": "cp1252"}, 9),
    "UTF-16 that is not said": ({"encoding": "utf-16"}, 8),
    "UTF-16 without its mark": ({"encoding": "utf-16-le"}, 8),
    "UTF-8 that is called Latin-1": ({"encoding": "utf-8"}, 9),
    "no separator that is known": ({"delimiter": "::"}, 8),
    "no header": ({"header": "none", "columns": {"user_id": "c1", "item_id": "c2", "timestamp": "c3"}}, 8),
    "offsets in one file and none in the next": ({"timezone": {"b.csv": "Europe/Berlin", "*": "UTC"}}, 16),
    "offsets in some rows": ({"timezone": {"*": "UTC"}}, 16),
    "seconds among milliseconds": ({"timestamps": ["epoch_s", "epoch_ms"]}, 2),
}


@pytest.mark.parametrize("case", CURED)
def test_the_cure_that_a_refusal_names_cures(case: str, tmp_path: Path) -> None:
    files, table, _ = AMBIGUOUS[case]
    for name, content in files.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    more, rows = CURED[case]
    assert len(zoo.read({"type": "csv", "events": {"path": "*.csv"} | table | more}, tmp_path)) == rows
