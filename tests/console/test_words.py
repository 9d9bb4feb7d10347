"""Every word is there in both languages, and every key that templates and pages name is a word."""

import re
import string
from pathlib import Path

import pytest

from bentos.console import words

CONSOLE = Path(words.__file__).parents[1]
TEMPLATES = sorted((CONSOLE / "templates").glob("*.jinja"))
PAGES = sorted(CONSOLE.rglob("*.py"))
PREFIXES = "|".join(sorted({key.partition(".")[0] for key in words.WORDS["en"]}))
KEY = re.compile(rf"""["']((?:{PREFIXES})\.[a-z_0-9]*[a-z0-9])["'](?!\s*~)""")


def test_both_languages_have_the_same_keys() -> None:
    english, chinese = words.WORDS["en"], words.WORDS["zh"]
    assert sorted(english.keys() ^ chinese.keys()) == []
    assert set(words.WORDS) == set(words.LANGUAGES)


def test_both_languages_fill_the_same_values() -> None:
    def names(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}

    for key, text in words.WORDS["en"].items():
        assert names(text) == names(words.WORDS["zh"][key]), key


def test_no_word_is_empty_and_chinese_is_chinese() -> None:
    assert [key for every in words.WORDS.values() for key, text in every.items() if not text.strip()] == []
    assert [
        key for key, text in words.WORDS["zh"].items() if not re.search(r"[一-鿿]", text) and key != "frame.utc"
    ] == []


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_templates_name_words_that_are_there(template: Path) -> None:
    named = KEY.findall(template.read_text(encoding="utf-8"))
    assert named or template.name.startswith("_")
    assert [key for key in named if key not in words.WORDS["en"]] == []


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_templates_hold_no_inline_script_or_style_and_escape_everything(template: Path) -> None:
    source = template.read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|<script(?![^>]*\ssrc=)", source)
    assert "autoescape" not in source
    for form in re.findall(r"<form\b[^>]*method=\"post\".*?</form>", source, flags=re.S):
        assert 'name="csrf" value="{{ csrf }}"' in form


def test_pages_say_keys_that_are_there() -> None:
    named = {key for path in PAGES for key in KEY.findall(path.read_text(encoding="utf-8"))}
    assert sorted(key for key in named if key not in words.WORDS["en"]) == []


def test_a_key_that_is_none_is_loud() -> None:
    with pytest.raises(KeyError):
        words.text("en", "people.nothing_of_that_name")
