"""How objects show themselves: the parts of their reprs, and in a notebook a picture and the facts beside it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape

__all__ = ["card", "short", "short_uri"]


def card(title: str, pictures: Sequence[bytes], facts: Mapping[str, str], player: bytes = b"") -> str:
    """HTML of one object.

    Args:
        title: its repr.
        pictures: JPEG files, shown in a row; none where none can be had.
        facts: names and values, in order.
        player: an MP3 file to be played, if there is one.
    """
    images = "".join(
        f'<img style="height:120px;border-radius:4px" src="data:image/jpeg;base64,{b64encode(picture).decode()}">'
        for picture in pictures
    )
    sound = f'<audio controls src="data:audio/mpeg;base64,{b64encode(player).decode()}"></audio>' if player else ""
    rows = "".join(
        f'<tr><th style="text-align:left;padding:0 12px 0 0">{escape(name)}</th>'
        f'<td style="text-align:left">{escape(value)}</td></tr>'
        for name, value in facts.items()
    )
    return (
        '<div style="display:flex;flex-wrap:wrap;gap:6px 16px;align-items:flex-start">'
        f'<div style="display:flex;gap:4px;flex-wrap:wrap">{images}{sound}</div>'
        f'<div><code>{escape(title)}</code><table style="margin:4px 0 0">{rows}</table></div></div>'
    )


def short(seconds: float) -> str:
    """At most six digits behind the point, at least one: 60.0, 33.333333."""
    text = f"{seconds:.6f}".rstrip("0")
    return text + "0" if text.endswith(".") else text


def short_uri(uri: str) -> str:
    """The scheme and the last part."""
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://...{rest.rsplit('/', 1)[-1]}"
