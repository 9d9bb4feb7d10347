"""A user's pseudonym is the standard library's HMAC-SHA256 of the id, under keys of every length."""

import hmac

import pytest

from feature_repo.privacy.pseudonyms import LENGTH, pseudonym


@pytest.mark.parametrize("key_bytes", [0, 2, 32, 63, 64, 65, 200])
@pytest.mark.parametrize("user", ["", "1", "jos\xe9", "x" * 300])
def test_a_pseudonym_is_the_librarys_hmac(key_bytes: int, user: str) -> None:
    key = bytes(range(key_bytes))
    want = hmac.new(key, user.encode(), "sha256").hexdigest()[:LENGTH]
    assert [pseudonym(user, key.hex()) for _ in range(2)] == [want, want], "the second is begun where the first was"
