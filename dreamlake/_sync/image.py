# Generated from dreamlake/_async/image.py by scripts/unasync.py. Edit that file, then run it.
"""Image: a picture of a lake, lazy until its pixels are asked for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dreamlake._sync._runtime import demand, offload
from dreamlake._sync.asset import Asset
from dreamlake._sync.lake import Lake
from dreamlake._sync.preview import preview
from dreamlake._sync.segments import LakeKey, lake_key, lake_of, matches
from dreamlake.core.kinds import IMAGE
from dreamlake.core.notebook import card, short_uri
from dreamlake.core.wireassets import ImageMeta
from dreamlake.errors import IntegrityError, UsageError
from dreamlake.media.tensors import to_tensor

if TYPE_CHECKING:
    import PIL.Image
    import torch

__all__ = ["Image"]


class Image(Asset):
    """An image of a lake, turned as its EXIF orientation says. Nothing is fetched before it is needed.

    Args:
        lake: that has it.
        object_id: its ObjectId.
        filename: what it is called where it was found; None for the name that it was uploaded under.

    Example:
        >>> image = dl.load("i-BV1bW411n7fY9x01")
        >>> (image.numpy()).shape
        (1080, 1920, 3)
    """

    __slots__ = ("_meta",)

    def __init__(self, lake: Lake, object_id: str, filename: str | None = None) -> None:
        super().__init__(lake, IMAGE, object_id, filename)
        self._meta: ImageMeta | None = None

    @property
    def width(self) -> int:
        """Pixels, as shown."""
        return self._known().width or 0

    @property
    def height(self) -> int:
        """Pixels, as shown."""
        return self._known().height or 0

    @property
    def format(self) -> str:
        """``jpeg``, ``png`` or ``webp``."""
        return self._known().format or ""

    def load(self) -> Image:
        """Get what is known of it: its size and format. ``load`` has done so already."""
        if self._meta is None:
            self._meta = self.metadata()
        return self

    @property
    def image(self) -> PIL.Image.Image:
        """The picture as a PIL image, in the mode of the file."""
        from dreamlake.media.images import shown

        return offload(partial(shown, self._content(), self.uri))

    def numpy(self) -> NDArray[Any]:
        """The pixels as an array.

        Returns:
            (H, W, 3) uint8 RGB; of pictures with 16 bits of grey, such as maps of depth, (H, W) uint16. Transparency is
            left out: ``image`` has it.

        Raises:
            IntegrityError: stored bytes are not what they were.
            LakeUnreachableError: the lake does not answer.
        """
        from dreamlake.media.images import pixels_of

        return offload(partial(pixels_of, self._content(), self.uri))

    def tensor(self, *, layout: str = "CHW", device: Any = None) -> torch.Tensor:
        """The pixels as a torch tensor.

        Args:
            layout: ``"CHW"``, or ``"HWC"`` for channels last.
            device: to move the result to, such as ``"cuda"``.

        Returns:
            (3, H, W) or (H, W, 3) uint8 RGB; of pictures with 16 bits of grey (H, W) uint16.

        Raises:
            MissingExtraError: torch is not installed. Otherwise as ``numpy``.
        """
        if layout not in ("CHW", "HWC"):
            raise UsageError(f'a layout is "CHW" (channels first) or "HWC" (height, width, channels), not {layout!r}')
        pixels = self.numpy()
        if layout == "CHW" and pixels.ndim == 3:
            pixels = np.ascontiguousarray(pixels.transpose(2, 0, 1))
        return to_tensor(pixels, device, None)

    def __repr__(self) -> str:
        name, uri = type(self).__name__, short_uri(self.uri)
        if self._meta is None:
            return f'{name}("{uri}", not loaded)'
        return f'{name}("{uri}", {self.width}x{self.height}, {self.format})'

    def _repr_html_(self) -> str:
        """The picture and the facts, for notebooks; the async API shows the facts alone."""
        facts = {"id": self.id, "uri": self.uri}
        if self._meta is not None:
            facts["size"] = f"{self.width}x{self.height} pixels, {self.format}"
        picture = preview(lambda: self.image, "JPEG")
        return card(repr(self), [picture] if picture else [], facts)

    def _repr_png_(self) -> bytes | None:
        """The picture, for notebooks that show pictures and no HTML."""
        return preview(lambda: self.image, "PNG")

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), lake_key(self.lake), self.object_id, self.filename, self._meta)

    def _content(self) -> bytes:
        """The bytes of the file, proved to be those that were uploaded."""
        from dreamlake.media import cache, diskcache
        from dreamlake.media.images import StoredImage

        self.load()
        meta = self._known()
        key = "image", meta.sha256
        found: StoredImage | None = cache.segments.get(key)
        if found is not None:
            return found.data
        address = self.lake.address
        remote = address.data is None or address.storage is not None  # else it is on this disk already
        data = offload(lambda: diskcache.chunks().get(meta.sha256)) if remote else None
        if data is None or not offload(partial(matches, data, meta.sha256)):
            data = b"".join([piece for piece in self.lake.read(IMAGE, self.object_id, 0, meta.size)])
            if not offload(partial(matches, data, meta.sha256)):
                raise IntegrityError(f"{self.uri}: what came does not match its hash")
            fetched = data
            if remote:
                offload(lambda: diskcache.chunks().put(meta.sha256, fetched))
        cache.segments.put(key, StoredImage(data))
        return data

    def _known(self) -> ImageMeta:
        if self._meta is None:
            demand(self.load, "this image is not loaded yet: `await image.load()` first")
        assert self._meta is not None
        return self._meta


def _restore(
    kind: type[Image],
    lake: LakeKey,
    object_id: str,
    filename: str | None,
    meta: ImageMeta | None,
) -> Image:
    image = kind(lake_of(lake), object_id, filename)
    image._meta = meta
    return image
