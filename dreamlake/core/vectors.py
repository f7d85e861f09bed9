"""What a row of a vector index is, and how lists of hits become one (seed 1, "VectorIndex").

Vectors are float32. The id of a row is made from all that it says, so whoever adds the same again, in a retry or in a
second run, adds nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from hashlib import blake2b
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from dreamlake.errors import InvalidVectorError, UsageError

__all__ = [
    "MAX_CAPTION", "MAX_DIM", "MAX_EXTRA", "MAX_FRAMES", "MAX_ID", "NOWHERE", "RRF", "SourceColumns", "Vectors",
    "as_vector", "as_vectors", "canonical", "check_caption", "check_captions", "check_extra", "check_row_id",
    "check_vectors", "fuse", "row_ids", "tag", "tags",
]  # fmt: skip

Vectors = NDArray[np.float32]
Key = TypeVar("Key", bound=Hashable)
Name = TypeVar("Name", bound=str)

MAX_DIM = 16_384
MAX_CAPTION = 64 * 1024  # bytes of UTF-8
MAX_EXTRA = 16 * 1024  # bytes of JSON
MAX_FRAMES = 100_000  # that a clip may name one by one
MAX_ID = 256  # characters
RRF = 60  # of reciprocal-rank fusion, as in Cormack, Clarke and Büttcher, SIGIR 2009
# So long are vectors that float32 can still square.
SHORTEST, LONGEST = 1e-15, 1e15

_WANTED = "a vector is a list of numbers, a numpy array or a torch tensor"


@dataclass(frozen=True)
class SourceColumns:
    """Where a vector comes from, as its row says it.

    Attributes:
        video_id: the resource id of the video, or the URI of a file outside of the lake.
        st: seconds of the video at which the clip begins.
        et: seconds of the video at which it ends.
        fs: its first frame.
        fe: its last frame, as in the entries of tracks (seed 3).
        frames: all of its frames, where they do not follow each other; else None.
    """

    video_id: str | None = None
    st: float | None = None
    et: float | None = None
    fs: int | None = None
    fe: int | None = None
    frames: tuple[int, ...] | None = None


NOWHERE = SourceColumns()


# -- vectors -----------------------------------------------------------------------------------------------------------


def as_vector(value: Any, dim: int | None = None) -> Vectors:
    """One vector as float32.

    Args:
        value: (D,) or (1, D): a list of numbers, a numpy array or a torch tensor on any device.
        dim: how many numbers there have to be; None for any.

    Raises:
        InvalidVectorError: anything else; NaN, infinity, nothing but zeros.
    """
    plain = type(value) is np.ndarray and value.dtype == np.float32 and value.shape == (dim,)
    if plain and SHORTEST**2 < float(value.dot(value)) < LONGEST**2:  # as nearly all are; a tenth of the work
        return cast("Vectors", value)
    array = _array(value)
    if array.ndim == 2 and len(array) == 1:
        array = array[0]
    if array.ndim != 1:
        raise InvalidVectorError(f"a vector has one axis, and this has the shape {array.shape}: add_many takes several")
    vector: Vectors = check_vectors(_float32(array)[None], dim)[0]
    return vector


def as_vectors(values: Any, dim: int | None = None) -> Vectors:
    """Several vectors as float32.

    Args:
        values: (N, D) as one array or tensor, or a list of N vectors.
        dim: D; None for any.

    Raises:
        InvalidVectorError: as of ``as_vector``, or vectors of different lengths.
    """
    if isinstance(values, list | tuple) and values and not isinstance(values[0], int | float):
        rows = [as_vector(value, dim) for value in values]
        if lengths := {len(row) for row in rows} - {len(rows[0])}:
            raise InvalidVectorError(f"the vectors have different lengths: {len(rows[0])} and {min(lengths)}")
        return np.stack(rows)
    array = _float32(_array(values))
    if array.ndim != 2:
        raise InvalidVectorError(f"several vectors have the shape (N, D), and this is {array.shape}")
    return check_vectors(np.ascontiguousarray(array), dim)


def check_vectors(vectors: Vectors, dim: int | None = None, first: int = 0) -> Vectors:
    """Return the vectors when all of them can be compared.

    Args:
        vectors: (N, D) float32.
        dim: D; None for any.
        first: the number of the first one, for the message.

    Raises:
        InvalidVectorError: another D, NaN, infinity, or nothing but zeros.
    """
    width = vectors.shape[1]
    if not 0 < width <= MAX_DIM:
        raise InvalidVectorError(f"a vector has 1 to {MAX_DIM} numbers, not {width}")
    if dim is not None and width != dim:
        raise InvalidVectorError(f"the vectors of this index have {dim} numbers, and this one has {width}")
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", vectors, vectors)
        bad = np.flatnonzero(~((squares > SHORTEST**2) & (squares < LONGEST**2)))
    if not len(bad):
        return vectors
    vector: Vectors = vectors[bad[0]]
    which = f"vector {first + int(bad[0])}" if first or len(vectors) > 1 else "the vector"
    if np.isnan(vector).any():
        raise InvalidVectorError(f"{which} has a NaN in it")
    if np.isinf(vector).any():
        raise InvalidVectorError(f"{which} has an infinite number in it, or one that float32 cannot hold")
    if not vector.any():
        raise InvalidVectorError(f"{which} is all zeros, and has no direction that could be compared")
    raise InvalidVectorError(f"{which} is shorter than {SHORTEST:g} or longer than {LONGEST:g}: scale it")


def _array(value: Any) -> NDArray[Any]:
    """What is given as an array, without taking pictures and the like for vectors."""
    if hasattr(value, "detach") and hasattr(value, "cpu"):  # a tensor, and torch need not be imported to know
        try:
            return np.asarray(value.detach().cpu().float().numpy())
        except (RuntimeError, TypeError) as error:
            raise InvalidVectorError(f"this tensor cannot be read as float32: {error}") from None
    if not isinstance(value, list | tuple | np.ndarray | np.generic):
        what = f"{type(value).__module__.partition('.')[0]}.{type(value).__name__}"
        raise InvalidVectorError(f"{_WANTED}, not a {what}: give what an encoder makes of it")
    try:
        array = np.asarray(value)
    except ValueError:
        raise InvalidVectorError(f"{_WANTED}, and this list is uneven") from None
    if not array.size:
        raise InvalidVectorError("an empty vector says nothing")
    if array.dtype.kind not in "fiu":
        raise InvalidVectorError(f"{_WANTED}, and this holds {array.dtype}")
    return array


def _float32(array: NDArray[Any]) -> Vectors:
    with np.errstate(over="ignore"):  # becomes infinite, and is refused as such
        return np.asarray(array, np.float32)


# -- what goes with them -----------------------------------------------------------------------------------------------


def check_caption(caption: Any) -> str:
    """Return the caption when it is one; None is none."""
    if caption is None:
        return ""
    if not isinstance(caption, str):
        raise UsageError(f"a caption is a text, not a {type(caption).__name__}")
    try:
        size = len(caption.encode())
    except UnicodeEncodeError:
        raise UsageError("the caption holds half of a surrogate pair, which is no text") from None
    if size > MAX_CAPTION:
        raise UsageError(f"a caption has at most {MAX_CAPTION} bytes, and this has {size}")
    return caption


def check_captions(captions: Sequence[Any]) -> list[str]:
    """Return all of them when all are captions."""
    if {*map(type, captions)} <= {str} and max(map(len, captions), default=0) <= MAX_CAPTION // 4:
        with suppress(UnicodeEncodeError):
            "".join(captions).encode()
            return list(captions)
    return [check_caption(one) for one in captions]


def check_row_id(text: Any) -> str:
    """Return the id of a row when it can be one."""
    if not isinstance(text, str) or not 0 < len(text) <= MAX_ID or not text.isprintable():
        raise UsageError(f"the id of a row is a text of 1 to {MAX_ID} printable characters, not {text!r:.80}")
    return text


def check_extra(extra: Mapping[str, Any]) -> dict[str, Any]:
    """What goes with a row beside caption and source, as plain JSON values.

    Raises:
        UsageError: what JSON cannot say, or too much of it.
    """
    if not extra:
        return {}
    plain = {str(name): _plain(value, name) for name, value in extra.items()}
    size = len(canonical(plain).encode())
    if size > MAX_EXTRA:
        raise UsageError(f"what goes with a vector has at most {MAX_EXTRA} bytes as JSON, and this has {size}")
    return plain


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return check_caption(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UsageError(f"{name} is {value}, which JSON cannot say")
        return int(value) if value.is_integer() and abs(value) < 2**53 else value  # 1.0 equals 1
    if isinstance(value, list | tuple):
        return [_plain(one, name) for one in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(one, name) for key, one in value.items()}
    raise UsageError(f"{name} is a {type(value).__name__}, which JSON cannot say")


def canonical(value: Any) -> str:
    """JSON in one spelling."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def tag(name: str, value: Any) -> str:
    """A name and its value as one text, by which rows are found."""
    return canonical([name, value])


def tags(extra: Mapping[str, Any]) -> list[str]:
    """The tags of a row."""
    return [tag(name, value) for name, value in extra.items()]


def row_ids(
    vectors: Iterable[bytes | memoryview],
    captions: Sequence[str],
    sources: Sequence[SourceColumns],
    extras: Sequence[str],
) -> list[str]:
    """The ids that rows have when nobody gives them one: 32 hex digits that follow from all that a row says.

    Args:
        vectors: the bytes of each.
        captions: N of them.
        sources: N of them.
        extras: N JSON objects in one spelling (``canonical``).
    """
    # Vectors are long, and nobody says what is in them; texts are anybody's, and their hash is one that nobody forges.
    from xxhash import xxh3_128_digest

    places = [b"" if one is NOWHERE or one == NOWHERE else repr(astuple(one)).encode() for one in sources]
    found = []
    for vector, caption, place, extra in zip(vectors, captions, places, extras, strict=True):
        text = caption.encode()
        said = b"%b%d %d %b%b%b" % (xxh3_128_digest(vector), len(text), len(place), text, place, extra.encode())
        found.append(blake2b(said, digest_size=16).hexdigest())
    return found


# -- lists of hits -----------------------------------------------------------------------------------------------------


def fuse(legs: Mapping[Name, Sequence[Key]], limit: int) -> list[tuple[Key, float, list[Name]]]:
    """One ranking out of several, by reciprocal ranks: what is near the top of more than one comes first.

    Args:
        legs: what each found, best first, by the leg's name.
        limit: how many are wanted.

    Returns:
        What was found with its scores and the names of the legs that found it, best first; equal scores in the order
        in which they were found.
    """
    scores: dict[Key, float] = {}
    found: dict[Key, list[Name]] = {}
    for name, ranked in legs.items():
        for rank, one in enumerate(dict.fromkeys(ranked), 1):
            scores[one] = scores.get(one, 0.0) + 1 / (RRF + rank)
            found.setdefault(one, []).append(name)
    best = sorted(scores, key=lambda one: -scores[one])[:limit]
    return [(one, scores[one], found[one]) for one in best]
