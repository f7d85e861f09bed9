"""The text of an API key: made, read, and told from what it is not."""

from __future__ import annotations

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamlake.core.keys import SCOPES, ApiKey, allows
from dreamlake.errors import InvalidKeyError

KEY = ApiKey.make(bytes(range(32)))


@given(st.binary(min_size=32, max_size=32))
def test_what_is_made_is_read(random: bytes) -> None:
    key = ApiKey.make(random)
    assert ApiKey.parse(key.text) == key
    assert len(key.text) == 51
    assert key.secret not in repr(key)
    assert key.secret not in key.digest


def test_no_two_are_the_same() -> None:
    assert len({ApiKey.make(secrets.token_bytes(32)).text for _ in range(1000)}) == 1000


@pytest.mark.parametrize("size", [0, 31, 33])
def test_what_it_is_made_of(size: int) -> None:
    with pytest.raises(ValueError, match="32 random bytes"):
        ApiKey.make(bytes(size))


@given(st.integers(0, len(KEY.text) - 1), st.characters(codec="utf-8"))
def test_one_wrong_character(at: int, character: str) -> None:
    wrong = KEY.text[:at] + character + KEY.text[at + 1 :]
    if wrong == KEY.text:
        return
    with pytest.raises(InvalidKeyError) as raised:
        ApiKey.parse(wrong)
    assert KEY.secret[:20] not in str(raised.value)


@pytest.mark.parametrize("text", ["", "dlk_", KEY.text[:-1], KEY.text + "A", f" {KEY.text}", f"{KEY.text}\n", "sk-1"])
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(InvalidKeyError):
        ApiKey.parse(text)


def test_scopes() -> None:
    table = {(scope, wanted): allows(scope, wanted) for scope in SCOPES for wanted in SCOPES}
    assert table == {
        ("read", "read"): True, ("read", "write"): False, ("read", "admin"): False,
        ("write", "read"): True, ("write", "write"): True, ("write", "admin"): False,
        ("admin", "read"): True, ("admin", "write"): True, ("admin", "admin"): True,
    }  # fmt: skip
