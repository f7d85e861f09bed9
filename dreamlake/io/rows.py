"""What is sent for a row: a picture and its actions, in the forms that people have them in, brought into the wire's."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dreamlake.core.npy import load_npy
from dreamlake.errors import DreamlakeError, RowError

__all__ = ["encode_actions", "encode_frame", "load_actions"]

T = TypeVar("T")

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_NPY = b"\x93NUMPY"


def encode_frame(frame: Any) -> tuple[bytes, str]:
    """A picture as PNG or JPEG.

    Args:
        frame: PNG or JPEG bytes, which are sent as they are; a path; (H, W, 3) uint8; a PIL image; what ``datasets``
            gives for an image, decoded or not; anything with ``numpy()``; or a function that gives one of these.

    Returns:
        The bytes, and their media type.

    Raises:
        RowError: no picture.
    """
    return _guarded("frame", lambda: _encode_frame(frame))


def load_actions(actions: Any) -> NDArray[np.float32]:
    """Actions as an array.

    Args:
        actions: (T, A) numbers: an array, nested lists, ``.npy`` bytes, the path of such a file, anything with
            ``numpy()``, or a function that gives one of these.

    Returns:
        (T, A) float32.

    Raises:
        RowError: no actions, or not of that shape.
    """
    return _guarded("actions", lambda: _load_actions(actions))


def encode_actions(actions: NDArray[np.float32]) -> bytes:
    """An array as a ``.npy`` file."""
    file = io.BytesIO()
    np.save(file, actions, allow_pickle=False)
    return file.getvalue()


def _encode_frame(frame: Any) -> tuple[bytes, str]:
    frame = _given(frame)
    if isinstance(frame, Mapping):  # an image of `datasets` that was not decoded
        frame = frame.get("bytes") or Path(frame["path"] or "")
    if isinstance(frame, str | os.PathLike):
        frame = Path(frame).expanduser().read_bytes()
    if isinstance(frame, bytes | bytearray | memoryview):
        data = bytes(frame)
        if data.startswith(_PNG):
            return data, "image/png"
        if data.startswith(_JPEG):
            return data, "image/jpeg"
        return _png(_opened(data)), "image/png"
    if not hasattr(frame, "save"):
        frame = _picture(_numbers(frame))
    return _png(frame), "image/png"


def _opened(data: bytes) -> Any:
    from PIL import Image

    return Image.open(io.BytesIO(data))


def _picture(pixels: NDArray[Any]) -> Any:
    from PIL import Image

    if pixels.ndim == 4 and len(pixels) == 1:
        pixels = pixels[0]
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
        raise ValueError(f"a frame is (H, W, 3) uint8, and not {pixels.shape} {pixels.dtype}")
    return Image.fromarray(np.ascontiguousarray(pixels))


def _png(picture: Any) -> bytes:
    file = io.BytesIO()
    # The engine takes 8 bits of RGB; the lightest packing is several times as quick, and a third larger.
    (picture if picture.mode == "RGB" else picture.convert("RGB")).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _load_actions(actions: Any) -> NDArray[np.float32]:
    actions = _given(actions)
    if isinstance(actions, str | os.PathLike):
        actions = Path(actions).expanduser().read_bytes()
    if isinstance(actions, bytes | bytearray | memoryview):
        if bytes(actions[:6]) != _NPY:
            raise ValueError("bytes of actions are a .npy file")
        actions = load_npy(bytes(actions))
    numbers = _numbers(actions)
    if numbers.ndim != 2 or not numbers.size:
        raise ValueError(f"actions are (T, A), and not {numbers.shape}")
    if numbers.dtype.kind not in "fiub":
        raise ValueError(f"actions are numbers, and not {numbers.dtype}")
    found = np.ascontiguousarray(numbers, np.float32)
    if not np.isfinite(found).all():
        raise ValueError("actions are finite numbers")
    return found


def _given(value: Any) -> Any:
    return value() if callable(value) else value


def _numbers(value: Any) -> NDArray[Any]:
    numpy = getattr(value, "numpy", None)
    return np.asarray(value if numpy is None or isinstance(value, np.ndarray) else numpy())


def _guarded(what: str, make: Callable[[], T]) -> T:
    try:
        return make()
    except RowError:
        raise
    except FileNotFoundError as error:
        raise RowError(f"{what}: there is no {error.filename}") from error
    except DreamlakeError as error:
        raise RowError(f"{what}: {error}") from error
    except Exception as error:
        # Functions of the user's own, codecs, stores: whatever it is, it is this row that cannot be read.
        raise RowError(f"{what}: {str(error) or type(error).__name__}") from error
