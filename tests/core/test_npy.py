"""Heads of .npy files, by many threads at once."""

from __future__ import annotations

import gc
import io
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from dreamlake.core.npy import load_npy


def file(array: Any, **options: Any) -> bytes:
    target = io.BytesIO()
    np.lib.format.write_array(target, array, **options)
    return target.getvalue()


@pytest.fixture
def hurried() -> Iterator[None]:
    """Threads take turns as often as they can, and within the parser too, where the garbage is collected."""
    interval, threshold = sys.getswitchinterval(), gc.get_threshold()

    def collected(_phase: str, _info: dict[str, int]) -> None:
        for _ in range(50):
            pass

    gc.callbacks.append(collected)
    sys.setswitchinterval(1e-6)
    gc.set_threshold(5)
    yield
    gc.set_threshold(*threshold)
    sys.setswitchinterval(interval)
    gc.callbacks.remove(collected)


def test_no_good_file_is_refused_because_others_are_read_meanwhile(hurried: None) -> None:
    """numpy's own reader refuses some of these in Python 3.11 (python/cpython#106905)."""
    files = [file(np.full((rows, 2), rows, np.float32)) for rows in range(1, 101)]
    found: list[list[Any]] = [[] for _ in range(4)]

    def read(mine: list[Any]) -> None:
        for data in files:
            try:
                mine.append(load_npy(data)[-1, 0])
            except BaseException as error:  # noqa: BLE001 (whatever it is, it is one too many)
                mine.append(error)

    threads = [threading.Thread(target=read, args=(mine,)) for mine in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [list(range(1, 101))] * 4


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_arrays_are_what_they_were(version: tuple[int, int]) -> None:
    whole = np.arange(24, dtype=">f8").reshape(2, 3, 4)
    for array in (
        whole,
        np.asfortranarray(whole),
        whole[:0],
        np.float32(3.5),
        np.ones((2,), [("a", "i2"), ("b", "f4")]),
    ):
        found = load_npy(file(np.asanyarray(array), version=version))
        np.testing.assert_array_equal(found, array)
        assert found.dtype == np.asanyarray(array).dtype


@pytest.mark.parametrize(
    "data", [b"\x93NUMPY", b"\x93NUMPY\x01\x00\x10\x00{}", file(np.ones(9))[:-1], b"\x93NUMPY\x09\x00"]
)
def test_what_is_none_is_refused(data: bytes) -> None:
    with pytest.raises((ValueError, EOFError)):
        load_npy(data)


def test_objects_of_python_are_refused() -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        load_npy(file(np.array([{}], object)))
