"""What makes vectors of texts and images, as far as an index needs to know it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from dreamlake.errors import UsageError

if TYPE_CHECKING:
    import PIL.Image

__all__ = ["Encoder", "encoder_id"]

MAX_ID = 200


class Encoder(Protocol):
    """A model that makes vectors which can be compared. An encoder of only one kind leaves the other method out.

    Attributes:
        id: what tells it from all others, such as ``openai/clip-vit-base-patch32``.
    """

    id: str

    def encode_text(self, text: str, /) -> Any:
        """(D,) the vector of a text."""

    def encode_image(self, image: PIL.Image.Image, /) -> Any:
        """(D,) the vector of an image."""


def encoder_id(encoder: Encoder | None) -> str | None:
    """The id of an encoder; None for none.

    Raises:
        UsageError: it has none, or cannot encode anything.
    """
    if encoder is None:
        return None
    text = getattr(encoder, "id", None)
    if not isinstance(text, str) or not 0 < len(text) <= MAX_ID or not text.isprintable():
        raise UsageError(f"an encoder has an id, a text of 1 to {MAX_ID} characters, by which the index knows it again")
    if not hasattr(encoder, "encode_text") and not hasattr(encoder, "encode_image"):
        raise UsageError(f"the encoder {text} has neither encode_text(text) nor encode_image(image)")
    return text
