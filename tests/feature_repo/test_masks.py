"""What is taken out of free text, by hand; and that masking twice is as masking once."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo import masks


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Far too SWEET; call +44 20 7946 0958", "far too sweet, call"),
        ("from ann@example.org, or @ann_1", "from or"),
        ("see https://example.org/a?b=1 or www.example.org/x", "see or"),
        ("order f00d1234beef99 of 2 l", "order of 2 l"),
        ("card 4111 1111 1111 1111!", "card !"),
        ("born 1984, 12 bottles", "born 1984, 12 bottles"),
        ("dry,\tplease\n\nagain", "dry, please again"),
        ("zu s\u00fc\u00df \u65e5\u672c\u8a9e", "zu s\u00fc\u00df \u65e5\u672c\u8a9e"),
        ("12 ann@example.org 345678", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_what_names_a_person_is_taken_out_and_the_rest_stays(said: str | None, kept: str) -> None:
    assert masks.written(said) == kept


def test_titles_and_texts_are_cut_where_they_are_too_long() -> None:
    assert masks.written("ab " * 99) == ("ab " * 40).strip()
    assert masks.plain("ab " * 99, 5) == "ab ab"
    assert len(masks.written("x" * 500)) == masks.LONGEST == 120


@pytest.mark.parametrize(
    "said", ["x" * 10_000, "1" * 10_000, "1 " * 5_000, "@" * 10_000, "x" * 990 + " ann@example.org"]
)
def test_what_is_long_takes_no_time(said: str) -> None:
    begun = time.process_time()
    assert "example" not in masks.written(said)
    assert time.process_time() - begun < 0.5


@settings(max_examples=200, deadline=None)
@given(said=st.text(alphabet="ab1239 @.;:/-+()\t\nwhtps_\u00fc", max_size=160))
def test_masking_twice_is_as_masking_once(said: str) -> None:
    once = masks.written(said)
    assert masks.written(once) == once
    assert not {"\t", "\n", ";"} & set(once)
