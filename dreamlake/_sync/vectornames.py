# Generated from dreamlake/_async/vectornames.py by scripts/unasync.py. Edit that file, then run it.
"""Vector indexes by their names."""

from __future__ import annotations

from collections.abc import Iterator

from dreamlake._sync.vectorlake import VectorLake
from dreamlake._sync.vectors import VectorIndex
from dreamlake.config import current_lake
from dreamlake.core.encoders import Encoder
from dreamlake.core.prefix import Place, resolve_place
from dreamlake.core.targets import check_slug, join_path
from dreamlake.core.wirevectors import IndexInfo
from dreamlake.errors import UsageError

__all__ = ["vec_index", "vec_indexes"]


def vec_index(
    name: str, *, space: str | None = None, prefix: str | None = None, encoder: Encoder | None = None
) -> VectorIndex:
    """A vector index by its name. It is made when the first vector is added; until then nothing is asked or sent.

    Args:
        name: of the index, in the folder of the Prefix in force; with a ``/`` in it a path, as of ``upload``.
        space: ``space@namespace`` or ``space``.
        prefix: a folder, below the Prefix in force unless it is absolute.
        encoder: what makes vectors of texts and images, so that these can be searched for. It has an ``id``, which the
            index keeps, and ``encode_text(text)`` or ``encode_image(image)`` or both.

    Raises:
        UsageError: a name or a place that cannot be, or an encoder without an id.

    Example:
        >>> index = dl.vec_index("my-experiment", space="robotics@alice")
        >>> index.add(vector=my_encoder(clip[0]), caption="a robot arm", source=clip)
        >>> results = index.search("robot picking up cup", limit=10)
    """
    if not isinstance(name, str) or not name.strip("/"):
        raise UsageError(f"a vector index has a name, not {name!r}")
    outer = resolve_place(space=space, prefix=prefix)
    folder, _, last = join_path(outer.folder, name).rpartition("/")
    check_slug(last, "a vector index")
    place = Place(outer.space, resolve_place(prefix=folder or "/").folder)
    return VectorIndex(current_lake(), place, last, encoder)


def vec_indexes(prefix: str | None = None, *, space: str | None = None) -> Iterator[IndexInfo]:
    """The vector indexes of a space, or below a folder of it, in the order of their paths.

    Args:
        prefix: a folder, below the Prefix in force unless it is absolute.
        space: ``space@namespace`` or ``space``.
    """
    return VectorLake(current_lake()).indexes(resolve_place(space=space, prefix=prefix))
