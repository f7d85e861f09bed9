"""Chunked upload: S3 multipart with resumable state (seed 4)."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamlake.core.parts import (
    CONCURRENCY,
    HASH_DIGITS,
    MAX_PARTS,
    MIN_PART_SIZE,
    PART_SIZE,
    CompletedPart,
    Part,
    UploadState,
    part_size_for,
    plan_parts,
)

from ._helpers import examples

MB = 1024**2
GB = 1024**3
TB = 1024**4


def test_the_constants_of_the_seed() -> None:
    assert PART_SIZE == 10 * MB
    assert MIN_PART_SIZE == 5 * MB  # S3's, except for the last part
    assert CONCURRENCY == 4
    assert HASH_DIGITS == 16
    assert MAX_PARTS == 10_000  # S3's


def test_the_twelve_parts_of_the_seed() -> None:
    plan = plan_parts(12 * PART_SIZE - 1, part_size_for(12 * PART_SIZE - 1))
    assert [part.number for part in plan] == list(range(1, 13))
    assert plan[0] == Part(number=1, offset=0, size=10 * MB)
    assert plan[-1] == Part(number=12, offset=110 * MB, size=10 * MB - 1)


@pytest.mark.parametrize(
    ("size", "parts"),
    [
        (0, 1),
        (1, 1),
        (10 * MB - 1, 1),
        (10 * MB, 1),
        (10 * MB + 1, 2),
        (20 * MB, 2),
        (20 * MB + 1, 3),
        (9500 * 10 * MB, 9500),
        (10_000 * 10 * MB, 10_000),
    ],
)
def test_the_number_of_parts_is_the_size_over_10_mb_rounded_up(size: int, parts: int) -> None:
    assert part_size_for(size) == PART_SIZE
    assert len(plan_parts(size, part_size_for(size))) == parts


def test_an_empty_file_has_one_empty_part() -> None:
    assert plan_parts(0, PART_SIZE) == [Part(1, 0, 0)]


@pytest.mark.parametrize("size", [12_000 * PART_SIZE, 100 * GB + 1, 10_000 * PART_SIZE + 1, 5 * TB - 1, 5 * TB])
def test_very_large_files_grow_their_parts(size: int) -> None:
    part_size = part_size_for(size)
    plan = plan_parts(size, part_size)
    assert part_size > PART_SIZE
    assert part_size % MB == 0
    assert len(plan) <= MAX_PARTS
    assert -(-size // (part_size - MB)) > MAX_PARTS  # no larger than they must be
    assert sum(part.size for part in plan) == size
    assert plan[-1].offset + plan[-1].size == size


sizes = st.one_of(
    st.integers(0, 5 * TB),
    st.integers(0, 100 * MB),
    st.builds(lambda parts, near: max(0, parts * PART_SIZE + near), st.integers(0, 20_000), st.integers(-1, 1)),
)


@examples(200)
@given(sizes)
def test_no_file_up_to_5_tb_has_more_than_10_000_parts(size: int) -> None:
    part_size = part_size_for(size)
    assert max(1, -(-size // part_size)) <= MAX_PARTS
    assert PART_SIZE <= part_size <= 5 * GB  # S3's largest part
    assert part_size % MB == 0


@examples(200)
@given(sizes, sizes)
def test_a_larger_file_never_has_smaller_parts(one: int, other: int) -> None:
    small, large = sorted((one, other))
    assert part_size_for(small) <= part_size_for(large)


@examples(200)
@given(st.integers(0, 3000), st.integers(1, 400))
def test_parts_tile_the_file(size: int, part_size: int) -> None:
    plan = plan_parts(size, part_size)
    assert [part.number for part in plan] == list(range(1, len(plan) + 1))
    content = bytes(index % 251 for index in range(size))
    assert b"".join(content[part.offset : part.offset + part.size] for part in plan) == content
    assert sum(part.size for part in plan) == size
    assert all(part.size == part_size for part in plan[:-1])
    assert plan[-1].size > 0 or size == 0


# -- the state on disk

SEED_STATE = {
    "uploadId": "s3-multipart-upload-id",
    "key": "alice/robotics/staging/abc123def456",
    "totalParts": 12,
    "completedParts": [{"partNumber": 1, "etag": '"abc..."'}, {"partNumber": 2, "etag": '"def..."'}],
}
OURS = {
    "sha256": "ab" * 32,
    "size": 12 * 10 * MB,
    "partSize": 10 * MB,
    "lake": "http://localhost:10234",
    "mtime": 1.5,
    "mtimeNs": 1_776_756_298_000_000_000,
    "inode": 42,
}


def test_the_state_file_is_the_seeds_with_what_we_add() -> None:
    state = msgspec.json.decode(json.dumps(SEED_STATE | OURS), type=UploadState)
    assert state.completed_parts == [CompletedPart(1, '"abc..."'), CompletedPart(2, '"def..."')]
    assert state.total_parts == 12
    written = json.loads(msgspec.json.encode(state))
    assert {name: written[name] for name in SEED_STATE} == SEED_STATE
    assert list(written)[:4] == list(SEED_STATE)
    assert {name: written[name] for name in ("sha256", "size", "partSize", "lake")} == {
        name: OURS[name] for name in ("sha256", "size", "partSize", "lake")
    }


def test_the_state_records_which_file_it_was() -> None:
    """DESIGN, 5: "also records the file's size, mtime and inode"."""
    names = {field.encode_name for field in msgspec.structs.fields(UploadState)}
    assert {"size", "inode"} <= names
    assert names & {"mtime", "mtimeNs"}


@pytest.mark.parametrize("missing", [*SEED_STATE, "sha256", "size", "partSize", "lake"])
def test_a_state_that_lacks_a_field_is_refused(missing: str) -> None:
    document = SEED_STATE | OURS
    del document[missing]
    with pytest.raises(msgspec.ValidationError, match=missing):
        msgspec.json.decode(json.dumps(document), type=UploadState)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("uploadId", 7),
        ("key", None),
        ("totalParts", "12"),
        ("completedParts", {}),
        ("completedParts", [{"partNumber": 1}]),
        ("completedParts", [{"partNumber": "1", "etag": "x"}]),
        ("sha256", None),
        ("size", 1.5),
    ],
)
def test_a_damaged_state_is_refused(field: str, value: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json.dumps(SEED_STATE | OURS | {field: value}), type=UploadState)


@pytest.mark.parametrize("cut", [0, 1, 40, -1])
def test_a_state_that_was_cut_short_is_refused(cut: int) -> None:
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(json.dumps(SEED_STATE | OURS)[:cut], type=UploadState)
