"""``.npy`` files, and ``.npz`` files of such, whose heads are parsed by one thread at a time.

numpy has Python's own parser read a head, and in Python 3.11 all threads share that parser's count of its depth
(python/cpython#106905): of some thousand good files that many threads read at once, one is refused with a SystemError.
So only one thread parses at a time, and what a head says is kept, because all rows of a source have the same.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from zipfile import ZipFile

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

__all__ = ["NpyHead", "Npz", "load_npy", "read_npy_head"]

_READERS = {b"\x01\x00": (2, npy.read_array_header_1_0), b"\x02\x00": (4, npy.read_array_header_2_0)}
_MAGIC = 8  # bytes: the name of the format and its version
_parsing = threading.Lock()


@dataclass(frozen=True)
class NpyHead:
    """What a file says of its array.

    Attributes:
        shape: of the array.
        fortran: the first index is that of neighbours, not the last.
        dtype: of its elements.
        offset: of the first of them in the file, bytes.
    """

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    offset: int


def read_npy_head(data: bytes) -> NpyHead:
    """The head of a file of version 1 or 2, as numpy writes arrays without structure.

    Args:
        data: the file.

    Raises:
        Exception: anything, if it is none: numpy's parser raises whatever it meets.
    """
    digits, _ = _READERS[data[_MAGIC - 2 : _MAGIC]]
    first = _MAGIC + digits
    end = first + int.from_bytes(data[_MAGIC:first], "little")
    with _parsing:
        return _parsed(data[:end])


@lru_cache(maxsize=64)
def _parsed(head: bytes) -> NpyHead:
    file = io.BytesIO(head)
    npy.read_magic(file)
    _, read = _READERS[head[_MAGIC - 2 : _MAGIC]]
    shape, fortran, dtype = read(file)
    return NpyHead(shape, fortran, dtype, file.tell())


def load_npy(data: bytes) -> NDArray[Any]:
    """The array of a file of any version; without a copy, so it cannot be written to.

    Args:
        data: the file.

    Raises:
        ValueError: it is none, or holds objects of Python; or another error of numpy's.
    """
    if data[_MAGIC - 2 : _MAGIC] in _READERS:
        head = read_npy_head(data)
        if not head.dtype.hasobject:
            count = int(np.prod(head.shape, dtype=np.int64))
            found = np.frombuffer(data, head.dtype, count, head.offset)
            return found.reshape(head.shape, order="F" if head.fortran else "C")
    with _parsing:
        loaded: NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
        return loaded


class Npz(Mapping[str, NDArray[Any]]):
    """The arrays of a ``.npz`` file by their names, each read when it is asked for.

    Args:
        data: the file.

    Raises:
        BadZipFile: it is none; and what ``load_npy`` raises, for an array.
    """

    def __init__(self, data: bytes) -> None:
        self._file = ZipFile(io.BytesIO(data))
        self._names = {name.removesuffix(".npy"): name for name in self._file.namelist()}

    def __getitem__(self, name: str) -> NDArray[Any]:
        return load_npy(self._file.read(self._names[name]))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
