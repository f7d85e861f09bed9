"""Resource ids: `{type_prefix}-{16 base62 chars}`, derived from the ObjectId and stored nowhere (seed 1)."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from dreamlake.core.ids import is_object_id, make_object_id, object_id, parse_resource_id, resource_id
from dreamlake.core.kinds import AUDIO, IMAGE, KINDS, LABEL_TRACK, TEXT_TRACK, VIDEO, Kind
from dreamlake.core.targets import AssetUri, parse_source
from dreamlake.errors import DreamlakeError, InvalidIdError

from ._helpers import examples

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
END = 62**16  # one more than 16 base62 digits can say

kinds = st.sampled_from(KINDS)
numbers = st.one_of(st.integers(0, END - 1), st.integers(0, 4000), st.integers(END - 4000, END - 1))


def hexed(number: int) -> str:
    return f"{number:024x}"


# -- the seed's ids


@pytest.mark.parametrize(
    ("text", "kind"),
    [("v-BV1bW411n7fY9x01", VIDEO), ("tt-Kx9mP2qR4tWn8vZy", TEXT_TRACK), ("tt-3fHj7kLm0pQs5uXw", TEXT_TRACK)],
)
def test_ids_of_the_seed_name_what_the_seed_says(text: str, kind: Kind) -> None:
    parsed = parse_resource_id(text)
    assert parsed.kind is kind
    assert is_object_id(parsed.object_id)
    assert resource_id(parsed.kind, parsed.object_id) == text
    assert object_id(text, kind) == parsed.object_id


def test_each_kind_has_the_prefix_of_the_seed() -> None:
    prefixes = {"v-": VIDEO, "a-": AUDIO, "i-": IMAGE, "lt-": LABEL_TRACK, "tt-": TEXT_TRACK}
    assert {resource_id(kind, "0" * 24)[:-16]: kind for kind in KINDS} == prefixes


# -- there and back


@examples(150)
@given(kinds, numbers)
@example(VIDEO, 0)
@example(VIDEO, END - 1)
def test_every_object_id_up_to_2051_comes_back(kind: Kind, number: int) -> None:
    text = resource_id(kind, hexed(number))
    digits = text.removeprefix(f"{kind.prefix}-")
    assert len(digits) == 16
    assert sum(BASE62.index(digit) * 62**place for place, digit in enumerate(reversed(digits))) == number
    assert parse_resource_id(text) == (kind, hexed(number))


@examples(150)
@given(kinds, numbers, st.one_of(numbers, st.integers(-3, 3)))
def test_the_order_of_the_texts_is_the_order_of_the_numbers(kind: Kind, one: int, other: int) -> None:
    other = one + other if -3 <= other <= 3 else other
    assume(0 <= other < END)
    texts = [resource_id(kind, hexed(number)) for number in (one, other)]
    assert (texts[0] < texts[1]) == (one < other)
    assert (texts[0] == texts[1]) == (one == other)


@examples(100)
@given(kinds, st.one_of(st.integers(END, 2**96 - 1), st.integers(END, END + 1000)))
@example(VIDEO, END)
@example(VIDEO, 2**96 - 1)
def test_what_no_longer_fits_is_refused_and_never_truncated(kind: Kind, number: int) -> None:
    with pytest.raises(InvalidIdError, match="2051"):
        resource_id(kind, hexed(number))


def test_the_last_id_is_of_the_year_2051() -> None:
    last = int(hexed(END - 1)[:8], 16)
    assert datetime.fromtimestamp(last, UTC).year == 2051
    assert resource_id(VIDEO, hexed(END - 1)) == "v-zzzzzzzzzzzzzzzz"
    assert resource_id(VIDEO, make_object_id(last - 1, b"\xff" * 5, 0xFFFFFF)) < "v-zzzzzzzzzzzzzzzz"
    with pytest.raises(InvalidIdError):
        resource_id(VIDEO, make_object_id(last + 1, b"\0" * 5, 0))


# -- malformed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "v",
        "v-",
        "vBV1bW411n7fY9x01",
        "BV1bW411n7fY9x01",
        "-BV1bW411n7fY9x01",
        "V-BV1bW411n7fY9x01",
        "x-BV1bW411n7fY9x01",
        "t-BV1bW411n7fY9x01",
        "video-BV1bW411n7fY9x01",
        "v-BV1bW411n7fY9x0",
        "v-BV1bW411n7fY9x011",
        "v--BV1bW411n7fY9x0",
        "v-BV1bW411n7fY9x0-",
        "v-BV1bW411n7fY9x0_",
        "v-BV1bW411n7fY9x0 ",
        " v-BV1bW411n7fY9x01",
        "v-BV1bW411n7fY9x01\n",
        "v-BV1bW411n7fY9x0\0",
        "v-BV1bW411n7fY9x0\N{FULLWIDTH DIGIT ONE}",
        "v-BV1bW411n7fY9x0\N{ARABIC-INDIC DIGIT ONE}",
        "v\N{EN DASH}BV1bW411n7fY9x01",
        "69e7264a69e7264a69e7264a",
    ],
)
def test_malformed_ids_are_refused(text: str) -> None:
    with pytest.raises(InvalidIdError) as caught:
        parse_resource_id(text)
    assert repr(text) in str(caught.value)
    assert isinstance(caught.value, DreamlakeError)
    assert isinstance(caught.value, ValueError)


@examples(150)
@given(st.one_of(st.text(max_size=24), st.from_regex(r"\A(v|a|i|lt|tt|x)-?[0-9A-Za-z_-]{15,17}\Z")))
def test_any_text_is_one_id_or_refused(text: str) -> None:
    try:
        parsed = parse_resource_id(text)
    except InvalidIdError:
        return
    assert resource_id(*parsed) == text


@examples(100)
@given(kinds, numbers, st.integers(0, 15), st.characters())
def test_one_foreign_character_spoils_an_id(kind: Kind, number: int, place: int, character: str) -> None:
    assume(character not in BASE62)
    at = len(kind.prefix) + 1 + place
    text = resource_id(kind, hexed(number))
    with pytest.raises(InvalidIdError):
        parse_resource_id(text[:at] + character + text[at + 1 :])


# -- ids of one kind


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("wanted", KINDS, ids=lambda kind: kind.name)
def test_an_id_of_another_kind_is_refused_and_both_are_named(kind: Kind, wanted: Kind) -> None:
    text = resource_id(kind, "69e7264a0123456789abcdef")
    if kind is wanted:
        assert object_id(text, wanted) == "69e7264a0123456789abcdef"
        return
    with pytest.raises(InvalidIdError, match=f"{kind.phrase}, and {wanted.phrase} is wanted"):
        object_id(text, wanted)


@pytest.mark.parametrize("wanted", KINDS, ids=lambda kind: kind.name)
def test_an_object_id_is_taken_for_any_kind(wanted: Kind) -> None:
    assert object_id("69e7264a0123456789abcdef", wanted) == "69e7264a0123456789abcdef"
    with pytest.raises(InvalidIdError):
        object_id("69e7264a", wanted)


def test_a_kind_that_travelled_to_another_process_is_the_same_kind() -> None:
    uri = pickle.loads(pickle.dumps(parse_source("v-BV1bW411n7fY9x01")))
    assert isinstance(uri, AssetUri)
    assert uri.kind == VIDEO
    assert object_id("v-BV1bW411n7fY9x01", uri.kind) == uri.object_id


# -- ObjectIds


def test_an_object_id_is_seconds_random_bytes_and_a_counter() -> None:
    assert make_object_id(0x69E7264A, b"\x01\x23\x45\x67\x89", 0xABCDEF) == "69e7264a0123456789abcdef"
    assert make_object_id(0, bytes(5), 0) == "0" * 24
    assert make_object_id(2**32 - 1, b"\xff" * 5, 2**24 - 1) == "f" * 24


@examples(100)
@given(st.integers(0, 2**32 - 1), st.binary(min_size=5, max_size=5), st.integers(0, 2**40))
def test_the_counter_wraps_and_the_rest_stays(seconds: int, random: bytes, counter: int) -> None:
    made = make_object_id(seconds, random, counter)
    assert is_object_id(made)
    assert int(made[:8], 16) == seconds
    assert bytes.fromhex(made[8:18]) == random
    assert int(made[18:], 16) == counter % 2**24


@examples(100)
@given(kinds, st.integers(0, (END >> 64) - 2), st.binary(min_size=5, max_size=5), st.integers(0, 2**24 - 2))
def test_text_order_is_time_order(kind: Kind, seconds: int, random: bytes, counter: int) -> None:
    made = [make_object_id(seconds, random, counter), make_object_id(seconds, random, counter + 1)]
    later = make_object_id(seconds + 1, random, 0)
    assert sorted(resource_id(kind, one) for one in (later, *made)) == [
        resource_id(kind, one) for one in (*made, later)
    ]


@pytest.mark.parametrize(
    ("seconds", "random"), [(-1, bytes(5)), (2**32, bytes(5)), (0, bytes(4)), (0, bytes(6)), (0, b"")]
)
def test_parts_that_do_not_fit_an_object_id_are_refused(seconds: int, random: bytes) -> None:
    with pytest.raises(InvalidIdError):
        make_object_id(seconds, random, 0)


@pytest.mark.parametrize(
    "text", ["", "69e7264a", "g" * 24, "A" * 24, "0" * 23, "0" * 25, "0" * 23 + "\n", "0" * 24 + "\n", " " + "0" * 23]
)
def test_an_object_id_is_24_lower_case_hex_digits(text: str) -> None:
    assert not is_object_id(text)
    with pytest.raises(InvalidIdError, match="ObjectId"):
        resource_id(VIDEO, text)
