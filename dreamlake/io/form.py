"""The form that asks the engine for a prediction, encoded once for all of its tries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from dreamlake.core.bulk import PredictOptions
from dreamlake.core.wireengine import ACTIONS, FRAME, MODEL
from dreamlake.errors import RowError
from dreamlake.io.rows import encode_actions, encode_frame, load_actions

if TYPE_CHECKING:
    import httpx

__all__ = ["Form", "make_form"]


@dataclass(frozen=True)
class Form:
    """What is sent.

    Attributes:
        request: the same for all tries.
        digest: of what is in it, whatever its boundaries are.
        frames: that the rollouts will have, all together.
        spec: the model that is asked for; None for the one that the engine has.
    """

    request: httpx.Request
    digest: bytes
    frames: int
    spec: str | None


def make_form(
    build: Callable[..., httpx.Request],
    frame: Any,
    sequences: Sequence[Any],
    spec: str | None,
    options: PredictOptions,
) -> Form:
    """Read and encode what is asked for. It may block, and take a while.

    Args:
        build: makes the request, of the fields and the files of a form.
        frame: to start from, as of ``encode_frame``.
        sequences: of actions, one for each rollout, as of ``load_actions``.
        spec: the model.
        options: of the rollouts.

    Raises:
        RowError: what cannot be sent.
    """
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
    request = build(data=fields, files=files)
    request.read()  # encodes it, here and not where others wait
    return Form(
        request=request,
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
