"""Pictures for notebooks: fetched where a repr can wait for them, and small."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from dreamlake._async._runtime import demand
from dreamlake.errors import DreamlakeError

if TYPE_CHECKING:
    import PIL.Image

__all__ = ["preview"]

SIZE = (960, 240)  # pixels


def preview(picture: Callable[[], Awaitable[PIL.Image.Image]], form: str) -> bytes | None:
    """A picture as a small image file; None where it cannot be had: a repr never fails.

    Args:
        picture: gets it.
        form: the format of the file, Pillow's name.
    """
    found: list[PIL.Image.Image] = []

    async def fetch() -> None:
        found.append(await picture())

    with suppress(DreamlakeError):
        demand(fetch, "a repr cannot wait for pixels")
    if not found:
        return None
    from dreamlake.media.images import small

    file = io.BytesIO()
    small(found[0], SIZE).save(file, form)
    return file.getvalue()
