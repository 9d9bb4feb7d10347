"""How `init` finds a file's encoding, delimiter and header: one small file for every form."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from components.data import text_files
from components.data.sniff import sniff
from feature_repo.errors import DataError

LINES = ["user,item,time", "1,tea,2024-01-01", "2,cake,2024-01-02"]


def put(folder: Path, content: str, *, encoding: str = "utf-8", name: str = "log.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("user,item,time\n1,tea,2024-01-01\n", {}),
        ("user;item;paid\n1;tea;2,50\n2;cake;3,10\n", {"delimiter": ";"}),
        ("user\titem\n1\ttea, green\n2\tcake\n", {"delimiter": "\t"}),
        ("user|item\n1|tea\n", {"delimiter": "|"}),
        ("1::1193::5::978300760\n1::661::3::978302109\n", {"delimiter": "::", "header": "none"}),
        ("1 2 1082040961\n3 4 1082155839\n", {"delimiter": "whitespace", "header": "none"}),
        ("src dst time\n1  2 1082040961\n", {"delimiter": "whitespace"}),
        ("u1,tea,2024-01-01\nu2,cake,2024-01-02\n", {"header": "none"}),
        ("u1,tea,view\nu2,cake,buy\nu1,tea,view\n", {"header": "none"}),
        ('user,item\n1,"tea, green"\n2,"say ""hi"""\n', {}),
        ('user;item;note\n1;tea;"two\nlines; ""two"""\n2;cake;\n3;bun;"and\nthree\nmore"\n', {"delimiter": ";"}),
        ('user;item;size\n1;pipe;5" wide\n2;nut;7" wide\n3;nut;9" wide\n', {"delimiter": ";"}),
        ("movie,genres\n1,comedy|drama\n2,comedy|crime\n", {}),
        ("a,b\n1,2\n1,2\n1,2\n1,2\n1,2\n1,2\n1,2\n1,2\n1,2,3\n", {}),
        ("user\n1\n2\n", {}),
    ],
)
def test_the_delimiter_and_the_header_are_found(tmp_path: Path, text: str, options: dict[str, Any]) -> None:
    assert sniff(put(tmp_path, text)).options() == options


@pytest.mark.parametrize(
    ("text", "encoding", "said"),
    [
        ("user,item\n1,café\n", "latin-1", "cp1252"),
        ("user,item\n1,5 €\n", "cp1252", "cp1252"),
        ("user,item\n1,café\n", "utf-8", None),
        ("user,item\n1,café\n", "utf-8-sig", None),
        ("user,item\n1,café\n", "utf-16", "utf-16"),
        ("user,item\n1,café\n", "utf-16-le", "utf-16-le"),
        ("user,item\n1,café\n", "utf-16-be", "utf-16-be"),
        ("用户ID,商品,时间\n1,绿茶,2024-01-01\n", "gb18030", "gb18030"),
        ("用户ID,商品,时间\n1,绿茶,2024-01-01\n", "utf-8", None),
        ("Покупатель,Товар\n1,Чай зелёный\n", "cp1251", "cp1251"),
    ],
)
def test_the_encoding_is_found(tmp_path: Path, text: str, encoding: str, said: str | None) -> None:
    found = sniff(put(tmp_path, text, encoding=encoding))
    assert found.options().get("encoding") == said
    assert found.lines[0] == text.splitlines()[0]


def test_a_letter_far_behind_in_a_file_decides_its_encoding(tmp_path: Path) -> None:
    text = "user,item\n" + "1,tea\n" * 60_000 + "1,thé\n"
    assert sniff(put(tmp_path, text, encoding="latin-1")).encoding == "cp1252"


def test_a_packed_file_is_looked_into(tmp_path: Path) -> None:
    path = tmp_path / "log.csv.gz"
    path.write_bytes(gzip.compress(b"user;item\n1;tea\n"))
    assert sniff(path).options() == {"delimiter": ";"}
    whole = gzip.compress(b"user;item\n1;tea\n" * 9)
    for broken in (whole[:20], whole[:10] + b"\xff" + whole[11:], b"\x1f\x8b" + whole):
        path.write_bytes(broken)
        with pytest.raises(DataError, match="cannot be unpacked"):
            sniff(path)
        with pytest.raises(DataError, match="cannot be unpacked"):
            text_files.as_utf8(path, "utf-8", tmp_path, place="data.source.events")


def test_objects_a_line_are_json_lines_and_other_json_is_refused(tmp_path: Path) -> None:
    assert sniff(put(tmp_path, '{"user": 1}\n{"user": 2}\n', name="log.txt")).kind == "jsonl"
    with pytest.raises(DataError, match=r"write one object a line, as `jq -c '\.\[\]' log\.json > events\.jsonl` does"):
        sniff(put(tmp_path, '[\n{"user": 1}\n]\n', name="log.json"))


@pytest.mark.parametrize("line", ["[" * 100_000, '{"user": ' + "1" * 5_000 + "}"])
def test_json_that_nobody_can_read_is_refused_in_a_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(DataError, match="looks like JSON, but its first line is no object of its own"):
        sniff(put(tmp_path, line + "\n"))


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"\xff\xfea\x00,\x00\x00\xd8b\x00", "looks like utf-16, which byte 0x00 at 6 is not; write the file as UTF-8"),
        ("имя,товар\n".encode("cp1251") * 9 + b"1,\x98\n", "looks like cp1251, which byte 0x98 at 92 is not;"),
    ],
)
def test_bytes_that_are_no_text_of_what_they_look_like_are_named(tmp_path: Path, raw: bytes, said: str) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=said):
        sniff(path)


def test_what_stands_above_a_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 1 has 1 fields and most lines have 2; drop what stands above the table"):
        sniff(put(tmp_path, "Report of May\n" + "1\t2\n" * 30))


def test_lines_without_one_number_of_fields_are_shown(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        sniff(put(tmp_path, "a\nb,c\nd,e,f\ng;h\n"))
    assert str(caught.value).endswith(
        "none of ',', ';', tab, '|', '::', blanks splits its lines into one number of fields; "
        "it starts: a / b,c / d,e,f"
    )


def test_a_file_of_blank_lines_has_no_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no rows"):
        sniff(put(tmp_path, "\n\n"))
