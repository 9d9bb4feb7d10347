"""Summaries of texts are read beside them, and vectors stand under the digest of the items' own texts."""

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from components.vectors import build
from components.vectors.build import Work
from components.vectors.spec import Vectors
from feature_repo.errors import DataError
from feature_repo.item_vectors import TEXT, text_digest

ITEMS = pa.table({"item_id": ["1", "2", "3"], "title": ["Leek soup", "Rye bread", "Oat drink"]})
PLAIN = Vectors.model_validate({"text": {}})
WITH = Vectors.model_validate({"text": {"summaries": "said.csv"}})


def said(folder: Path, summary: str = "A soup of vegetables.", *, head: str = "digest,summary,made_by") -> None:
    (folder / "said.csv").write_text(f"{head}\n{text_digest('Leek soup')},{summary},m\n", encoding="utf-8")


def made(folder: Path, spec: Vectors) -> build.ItemVectors:
    return build.build(ITEMS, np.zeros(3), spec, Work(folder, folder, time.monotonic))


def test_a_text_with_a_summary_is_read_with_it_and_the_others_as_they_stand(tmp_path: Path) -> None:
    said(tmp_path)
    own, with_ = made(tmp_path, PLAIN), made(tmp_path, WITH)
    differs = (np.abs(own.text.dense - with_.text.dense).max(axis=1) > 1e-3).tolist()
    assert differs == [True, False, False]
    assert with_.digests[TEXT] == own.digests[TEXT] == tuple(map(text_digest, ITEMS["title"].to_pylist()))
    read = Vectors.model_validate({"text": {"columns": ["read"]}})
    whole = ITEMS.append_column("read", pa.array(["Leek soup. A soup of vegetables.", "Rye bread", "Oat drink"]))
    assert np.array_equal(
        with_.text.dense, build.build(whole, np.zeros(3), read, Work(tmp_path, None, time.monotonic)).text.dense
    )


def test_other_summaries_make_other_vectors_and_none_leave_the_digest_as_it_was(tmp_path: Path) -> None:
    said(tmp_path)
    first = build.made_by(WITH, tmp_path)
    said(tmp_path, "A stew.")
    assert build.made_by(WITH, tmp_path) != first
    assert build.made_by(PLAIN, tmp_path) not in (first, build.made_by(WITH, tmp_path))
    assert "summaries" not in PLAIN.slice()["text"]
    assert "summaries" not in PLAIN.model_dump(mode="json")["text"]


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (None, "said.csv: no such file; `intentflow summaries SPEC --output said.csv` makes it"),
        (
            "item_id,theme,x",
            "its columns are item_id, theme, x; `intentflow summaries` writes digest, summary, made_by",
        ),
    ],
)
def test_a_file_that_is_absent_or_another_is_one_line(tmp_path: Path, head: str | None, told: str) -> None:
    if head is not None:
        said(tmp_path, head=head)
    with pytest.raises(DataError, match=r"vectors\.text\.summaries") as refused:
        made(tmp_path, WITH)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "said.csv").write_bytes(b"\xff\xfe\x00digest")
    with pytest.raises(DataError, match="no CSV in UTF-8"):
        made(tmp_path, WITH)
