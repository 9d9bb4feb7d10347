"""Whatever a catalogue holds, a text is one line of plain words."""

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from components.content.facts import Facts
from components.content.writers.template import DEEDS

PIECES = st.sampled_from(["<", ">", "&", "lt;", "amp;", "#60;", "\n", "\u202e", "`", "](", "script", " ", "é", "\x00"])
TEXTS = st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=20).map("".join))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(title=TEXTS, brand=TEXTS)
def test_a_text_has_no_markup_and_no_control_characters(title: str, brand: str) -> None:
    text = DEEDS.write(Facts("i1", {"title": title, "brand": brand}), max_attributes=5).text
    assert not set(text) & set("<>`{}[]")
    assert all(unicodedata.category(c)[0] != "C" and (c == " " or not c.isspace()) for c in text)
    assert "  " not in text
