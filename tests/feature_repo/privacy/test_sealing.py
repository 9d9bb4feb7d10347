"""Sealed texts: read under every key at hand, and never without saying so under another."""

import pytest

from feature_repo.errors import SpecError
from feature_repo.privacy import sealing
from feature_repo.privacy.sealing import DamagedSeal, SealError, keys_of

OLD, NEW = "0a" * 32, "0b" * 32


def test_without_a_key_a_text_stays_as_it_is() -> None:
    assert keys_of("").seal(b"text") == b"text"
    assert keys_of("").open(b"text", what="x") == keys_of(NEW).open(b"text", what="x") == b"text"


def test_the_first_key_seals_and_each_opens() -> None:
    of_old = keys_of(OLD).seal(b"text")
    both = keys_of(f"{NEW}, {OLD}")
    of_new = both.seal(b"text")
    assert b"text" not in of_old + of_new
    assert both.open(of_old, what="x") == both.open(of_new, what="x") == keys_of(NEW).open(of_new, what="x") == b"text"
    assert sealing.sealed(of_new)
    assert both.newest == keys_of(NEW).newest != keys_of(OLD).newest


def test_texts_of_equal_length_have_seals_of_equal_length() -> None:
    keys = keys_of(f"{NEW},{OLD}")
    assert len(keys.seal(b"a" * 777)) == len(keys.seal(b"b" * 777)) == len(keys_of(OLD).seal(b"c" * 777))


@pytest.mark.parametrize(("given", "said"), [("", "gives no key"), (NEW, "gives [0-9a-f]{12};")])
def test_another_key_is_one_line_that_names_both(given: str, said: str) -> None:
    with pytest.raises(
        SealError, match=rf"^INTENTFLOW_DATA_KEYS: the log is encrypted under the key \w{{12}}, .*{said}"
    ):
        keys_of(given).open(keys_of(OLD).seal(b"text"), what="the log")


@pytest.mark.parametrize(
    "change", [lambda t: t[:-5], lambda t: t[:20] + b"A" + t[21:], lambda t: t[:14], lambda t: t[:9], lambda t: t[:1]]
)
def test_a_text_that_was_cut_short_or_changed_is_told_from_a_wrong_key(change: object) -> None:
    text = keys_of(NEW).seal(b"text" * 9)
    with pytest.raises(DamagedSeal, match="cut short"):
        keys_of(NEW).open(change(text), what="x")  # type: ignore[operator]


@pytest.mark.parametrize("text", ["short", "0a" * 31, "g" * 64, f"{NEW},0a"])
def test_what_is_no_key_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(SpecError, match="use 64 hex digits, as `openssl rand -hex 32` prints") as refused:
        keys_of(text)
    assert text not in str(refused.value)
