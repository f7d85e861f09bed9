"""The form that asks the engine for a prediction, encoded once for all of its tries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from dreamlake.core.bulk import PredictOptions
from dreamlake.core.wireengine import ACTIONS, FRAME, MODEL
from dreamlake.errors import RowError
from dreamlake.io.rows import encode_actions, encode_frame, load_actions

__all__ = ["Form", "make_form"]


@dataclass(frozen=True)
class Form:
    """What is sent.

    Attributes:
        body: of the request.
        content_type: of the body.
        digest: of what is in it, whatever its boundaries are.
        frames: that the rollouts will have, all together.
        spec: the model that is asked for; None for the one that the engine has.
    """

    body: bytes = field(repr=False)
    content_type: str
    digest: bytes
    frames: int
    spec: str | None


def make_form(frame: Any, sequences: Sequence[Any], spec: str | None, options: PredictOptions) -> Form:
    """Read and encode what is asked for. It may block, and take a while.

    Args:
        frame: to start from, as of ``encode_frame``.
        sequences: of actions, one for each rollout, as of ``load_actions``.
        spec: the model.
        options: of the rollouts.

    Raises:
        RowError: what cannot be sent.
    """
    import httpx

    if not sequences:
        raise RowError("there are no actions")
    picture, media_type = encode_frame(frame)
    arrays = [load_actions(actions) for actions in sequences]
    fields = options.fields() | ({} if spec is None else {MODEL: spec})
    files = [(FRAME, (f"frame.{media_type.removeprefix('image/')}", picture, media_type))]
    files += [
        (ACTIONS, (f"actions-{number:03d}.npy", encode_actions(array), "application/octet-stream"))
        for number, array in enumerate(arrays)
    ]
    request = httpx.Request("POST", "http://engine", data=fields, files=files)
    return Form(
        body=request.read(),
        content_type=request.headers["content-type"],
        digest=_digest(fields, [content for _, (_, content, _) in files]),
        frames=sum(len(array) + 1 for array in arrays),
        spec=spec,
    )


def _digest(fields: Mapping[str, str], contents: Sequence[bytes]) -> bytes:
    digest = sha256(repr(sorted(fields.items())).encode())
    for content in contents:
        digest.update(len(content).to_bytes(8))
        digest.update(content)
    return digest.digest()
