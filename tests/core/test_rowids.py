"""Names of files for rows, and whether an mp4 is whole."""

from __future__ import annotations

import re
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamlake.core.boxes import count_samples
from dreamlake.core.rowids import file_id, numbered_id, positional_id
from dreamlake.errors import MediaError
from tests.predictions import mp4, rollout


@pytest.mark.parametrize("name", ["run-0001", "row_00000012", "a.b", "A", "0", "x" * 120])
def test_what_is_safe_stays_as_it_is(name: str) -> None:
    assert file_id(name) == name


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a/b", "", ".", "..", "a b", "con", "NUL.mp4", "-rf", "x" * 121, "é"]
)
def test_what_is_not_gets_another_name_and_a_hash(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*-[0-9a-f]{10}", file_id(name))


@given(st.text(), st.text())
def test_ids_stay_in_their_folder_and_apart(one: str, other: str) -> None:
    made = file_id(one)
    for kind in (PurePosixPath, PureWindowsPath):
        assert kind(f"{made}.mp4").parts == (f"{made}.mp4",)
    assert len(made) <= 131
    assert (made == file_id(other)) == (one == other)


def test_rows_without_names_are_numbered() -> None:
    assert positional_id(7) == "row-000007"
    assert numbered_id("run", 2) == "run-2"


def test_a_whole_mp4_says_how_many_frames_it_has() -> None:
    assert count_samples(mp4(13)) == 13
    assert count_samples(rollout(5)) == 4


def test_no_part_of_an_mp4_is_taken_for_all_of_it() -> None:
    video = mp4(4)
    for end in range(len(video)):
        with pytest.raises(MediaError):
            count_samples(video[:end])


@given(st.binary(max_size=200))
def test_bytes_are_no_mp4(data: bytes) -> None:
    with pytest.raises(MediaError):
        count_samples(data)
