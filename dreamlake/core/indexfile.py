"""What the files of indexes have in common: arrays, and a header in JSON that begins with its version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, Protocol, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from dreamlake.core.npy import Npz
from dreamlake.errors import IntegrityError

__all__ = ["pack", "unpack"]


class _Index(Protocol):
    def is_consistent(self) -> bool: ...


T = TypeVar("T", bound=_Index)


class _Version(msgspec.Struct):
    """What every version of a header begins with."""

    version: int


def pack(header: Any, **arrays: Any) -> bytes:
    """A ``.npz`` file: the same index always gives the same bytes."""
    out = BytesIO()
    np.savez_compressed(out, header=np.frombuffer(msgspec.json.encode(header), np.uint8), **arrays)
    return out.getvalue()


def unpack(data: bytes, what: str, version: int, make: Callable[[bytes, Mapping[str, NDArray[Any]]], T]) -> T:
    """Read what ``pack`` has made.

    Args:
        data: the file.
        what: it is, for errors.
        version: the newest that can be read.
        make: makes the index of its header, still in JSON, and its arrays.

    Raises:
        IntegrityError: damaged, contradictory, or written by a newer Dreamlake.
    """
    try:
        arrays = Npz(data)
        header = arrays["header"].tobytes()
        found = msgspec.json.decode(header, type=_Version).version
        if found > version:
            raise IntegrityError(f"{what} has version {found}; this Dreamlake reads up to {version}")
        index = make(header, arrays)
        consistent = index.is_consistent()
    except IntegrityError:
        raise
    except Exception as error:
        raise IntegrityError(f"{what} is damaged: {error}") from error
    if not consistent:
        raise IntegrityError(f"{what} contradicts itself")
    return index
