"""Image files: whether all of one can be decoded, how large the picture is when it is shown, and its pixels."""

from __future__ import annotations

import io
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ImageOps, JpegImagePlugin, PngImagePlugin, WebPImagePlugin
from PIL.Image import Image
from PIL.Image import fromarray as image_of
from PIL.ImageFile import ImageFile

from dreamlake.errors import MediaError

__all__ = ["MAX_PIXELS", "ImageFacts", "StoredImage", "pixels_of", "probe_image", "read_picture", "shown", "small"]

ImageFormat: TypeAlias = Literal["jpeg", "png", "webp"]

MAX_PIXELS = 178_956_970  # above that Pillow takes a picture for a decompression bomb
MAX_BYTES = 1024**3  # decoders keep all in memory that a file carries besides the picture
ORIENTATION = 0x0112  # of EXIF
TURNED = frozenset({5, 6, 7, 8})  # a quarter, so that width and height change places
EIGHT_BITS = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})  # modes of Pillow
SCALE = 8  # a JPEG is decoded this much smaller, which reads all of it and takes little memory

_READERS: dict[ImageFormat, Callable[[BinaryIO], ImageFile]] = {
    "jpeg": JpegImagePlugin.JpegImageFile,
    "png": PngImagePlugin.PngImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
}

_one_at_a_time = threading.Lock()  # a picture of the largest size takes 700 MB


@dataclass(frozen=True)
class ImageFacts:
    """What a sidecar says of an image: width and height in pixels, as it is shown."""

    width: int
    height: int
    format: ImageFormat


@dataclass(frozen=True)
class StoredImage:
    """The bytes of an image file."""

    data: bytes

    @property
    def nbytes(self) -> int:
        """Of memory."""
        return len(self.data)


def shown(data: bytes, name: str) -> Image:
    """The picture of an image file, turned as its EXIF orientation says.

    Raises:
        MediaError: it cannot be decoded.
    """
    form = _format(data[:16])
    if form is None:
        raise MediaError(f"{name}: is not a JPEG, PNG or WebP image")
    try:
        return ImageOps.exif_transpose(_open(BytesIO(data), form, name))
    except MediaError:
        raise
    except Exception as error:  # a decoder that is fed nonsense raises whatever it meets
        raise MediaError(f"{name}: cannot be read as an image ({error or type(error).__name__})") from error


def pixels_of(data: bytes, name: str) -> NDArray[Any]:
    """(H, W, 3) uint8 RGB, or (H, W) uint16 of pictures with 16 bits of grey.

    Raises:
        MediaError: it cannot be decoded.
    """
    picture = shown(data, name)
    if picture.mode.startswith("I"):
        return np.asarray(picture).astype(np.uint16)
    return np.array(picture.convert("RGB"))


def small(picture: Image, size: tuple[int, int]) -> Image:
    """A picture for a notebook, at most so many pixels wide and high."""
    if picture.mode.startswith("I"):
        # Depth is shown from the nearest to the farthest.
        values = np.asarray(picture).astype(np.float32)
        low, high = float(values.min()), float(values.max())
        picture = image_of(((values - low) * (255.0 / max(1.0, high - low))).astype(np.uint8))
    preview = picture.convert("RGB")
    preview.thumbnail(size)
    return preview


def probe_image(path: Path, name: str | None = None) -> ImageFacts:
    """Decode an image, and measure it.

    Args:
        path: of the file.
        name: of the file, where the path does not say it.

    Raises:
        MediaError: not a JPEG, PNG or WebP, damaged, cut short, or too large.
    """
    name = name or path.name
    with path.open("rb") as file, _one_at_a_time:
        form = _format(file.read(16))
        if not file.seek(0, 2):
            raise MediaError(f"{name}: is empty")
        if form is None:
            raise MediaError(f"{name}: is not a JPEG, PNG or WebP image")
        if file.seek(0, 2) > MAX_BYTES:
            raise MediaError(f"{name}: is too large: images have {MAX_BYTES // 1024**2} MiB at most")
        file.seek(0)
        try:
            return _measured(file, form, name)
        except MediaError:
            raise
        except Exception as error:  # a decoder that is fed nonsense raises whatever it meets
            raise MediaError(f"{name}: cannot be read as an image ({error or type(error).__name__})") from error


def read_picture(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Image:
    """A PNG or JPEG as a picture in RGB, turned the way it is shown; transparency is left out.

    Args:
        data: the whole file.
        name: for messages.
        max_pixels: that it may have; its header is asked before anything is decoded.

    Raises:
        MediaError: neither, damaged, cut short, too large, or of more than 8 bits.
    """
    form = _format(data[:16])
    if form not in ("png", "jpeg"):
        raise MediaError(f"{name}: is not a PNG or JPEG image")
    try:
        with _open(io.BytesIO(data), form, name, max_pixels) as image:
            if image.mode not in EIGHT_BITS:
                raise MediaError(f"{name}: has pixels of the kind {image.mode}, and 8 bits are taken")
            image.load()
            return ImageOps.exif_transpose(image).convert("RGB")
    except MediaError:
        raise
    except Exception as error:  # a decoder that is fed nonsense raises whatever it meets
        raise MediaError(f"{name}: cannot be read as an image ({error or type(error).__name__})") from error


def _format(head: bytes) -> ImageFormat | None:
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    return None


def _measured(file: BinaryIO, form: ImageFormat, name: str) -> ImageFacts:
    if form == "webp":
        ends = 8 + struct.unpack_from("<I", file.read(8), 4)[0]
        if ends > (size := file.seek(0, 2)):
            raise MediaError(f"{name}: cut short: the image reaches to byte {ends}, and the file has {size}")
    with _open(file, form, name) as image:
        if form == "png":
            image.verify()  # the checksums of all chunks, also behind the picture
            image = _open(file, form, name)
        width, height = image.size
        turned = _orientation(image) in TURNED
        image.draft(None, (max(1, width // SCALE), max(1, height // SCALE)))  # only JPEG can
        image.load()
    return ImageFacts(height, width, form) if turned else ImageFacts(width, height, form)


def _open(file: BinaryIO, form: ImageFormat, name: str, max_pixels: int = MAX_PIXELS) -> ImageFile:
    """Its header, without the limit of ``Image.open``: that is a warning first, which a program may have muted."""
    file.seek(0)
    image = _READERS[form](file)
    width, height = image.size
    if width * height > max_pixels:
        raise MediaError(f"{name}: is too large: {width} by {height} pixels, and {max_pixels} are taken at most")
    return image


def _orientation(image: ImageFile) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # noqa: BLE001 (EXIF that cannot be read says nothing, and the picture is as good)
        return 1
