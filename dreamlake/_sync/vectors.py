# Generated from dreamlake/_async/vectors.py by scripts/unasync.py. Edit that file, then run it.
"""VectorIndex: vectors with captions and the clips that they were made of, found again by vector or by words (seed 1).

Rows that are added one by one are grouped by ``vectorbuffer``, and many at once go by their columns. A row's id follows
from what it says, so a group that is sent again, or a run that is repeated, adds nothing twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakSet

from msgspec import UNSET

from dreamlake._sync._runtime import demand, offload
from dreamlake._sync.searchresult import SearchResult
from dreamlake._sync.vectorbuffer import VectorBuffer, send_rows
from dreamlake._sync.vectorinput import asked, columns_of, condition_of, rows_of
from dreamlake._sync.vectorlake import VectorLake
from dreamlake._sync.video import Video
from dreamlake.config import LakeAddress
from dreamlake.core.arrowrows import arrow, make_row, read_rows
from dreamlake.core.encoders import Encoder, encoder_id
from dreamlake.core.prefix import Place
from dreamlake.core.vectors import (
    NOWHERE,
    Vectors,
    as_vector,
    as_vectors,
    check_caption,
    check_extra,
    check_row_id,
)
from dreamlake.core.wirevectors import IndexInfo, SearchVectors, UpdateRow
from dreamlake.errors import DreamlakeError, InvalidVectorError, MissingExtraError, NotFoundError, UsageError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["VectorIndex", "flush_all"]

AT_ONCE = 2  # bodies on their way to a server; an embedded lake has our cores, and is not faster by two


def flush_all() -> None:
    """Commit what was added to any index of this process."""
    for index in list(_used):
        index.flush()


class VectorIndex:
    """Vectors, each with a caption, the clip that it was made of, and whatever else is known of it.

    What was added is sent in the background, and by ``flush``, by the end of a ``with`` block, and at the end of the
    program. ``count`` and ``search`` see all that this object has added.

    Args:
        address: of the lake.
        place: the space and the folder that it is in.
        name: in the folder.
        encoder: of texts and images; None for none.
    """

    def __init__(self, address: LakeAddress, place: Place, name: str, encoder: Encoder | None = None) -> None:
        self.name = name
        self._place = place
        self._encoder = encoder
        self._encoder_id = encoder_id(encoder)
        self._lake = VectorLake(address)
        self._namespace: str | None = None
        self._seen: IndexInfo | None = None
        self._dim: int | None = None
        self._buffer = VectorBuffer(name, self._send)

    # -- what is known of it -----------------------------------------------------------------------------------------

    @property
    def space(self) -> str:
        """``space@namespace``, as far as they were named."""
        space = self._place.space
        return (space.space or "default") + (f"@{space.namespace}" if space.namespace else "")

    @property
    def prefix(self) -> str:
        """The folder that it is in."""
        return self._place.folder

    @property
    def count(self) -> int:
        """How many vectors there are, with all that this object has added."""
        self.flush()
        found = self._info()
        return 0 if found is None else found.count

    @property
    def dim(self) -> int | None:
        """How many numbers a vector has; None before the first one."""
        if self._dim is None:
            self._info()
        return self._dim

    def info(self) -> IndexInfo:
        """What the lake knows of it: count, dim, encoder, when it was made, and its approximate index.

        Raises:
            NotFoundError: nothing was added yet.
        """
        self.flush()
        return self._fetch()

    def __repr__(self) -> str:
        def look() -> None:
            self.flush()
            self._info()

        with suppress(DreamlakeError):  # a repr never fails; where nothing can be awaited it says what was seen last
            demand(look, "a repr cannot wait for the lake")
        count = (self._seen.count if self._seen is not None else 0) + len(self._buffer)
        return f'{type(self).__name__}("{self.name}", count={count}, dim={self._dim})'

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._lake.address, self._place, self.name, self._encoder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.flush()

    # -- adding ------------------------------------------------------------------------------------------------------

    def add(
        self,
        vector: Any,
        caption: str | None = None,
        source: Video | None = None,
        *,
        id: str | None = None,  # noqa: A002 (what it is called everywhere)
        **extra: Any,
    ) -> str:
        """Add a vector.

        Args:
            vector: (D,) a list of numbers, a numpy array, or a torch tensor on any device and of any float type.
            caption: what is to be found by words.
            source: the clip that it was made of; its video, seconds and frames are kept.
            id: of the row; a row with the same one is replaced. None for one that follows from all the rest, so that
                the same row is there once.
            extra: what else is known of it, as JSON can say it: ``camera="front"``. Rows are found by it.

        Returns:
            The id of the row.

        Raises:
            InvalidVectorError: not a vector; NaN, infinity or nothing but zeros in it; not as long as the others.
            UsageError: a caption, a source, an id or an extra that cannot be. Nothing was added.
            LakeError: the lake has refused rows that were added before; they wait, and ``flush`` sends them again.

        Example:
            >>> index.add(vector=my_encoder(clip[0]), caption=my_vlm(clip[0]), source=clip, camera="front")
        """
        one = as_vector(vector, self._dim)
        text, plain = check_caption(caption), check_extra(extra)
        if id is not None:
            check_row_id(id)
        columns = NOWHERE if source is None else columns_of(source, self._lake)
        self._agree(one)
        self._buffer.make_room()
        row = make_row(one, text, columns, plain, id)
        self._buffer.add(row)
        return row.id

    def add_many(
        self,
        vectors: Any,
        captions: Sequence[str | None] | None = None,
        sources: Sequence[Video | None] | None = None,
        *,
        ids: Sequence[str] | None = None,
        extras: Sequence[Mapping[str, Any]] | None = None,
        **extra: Any,
    ) -> list[str]:
        """Add many vectors, and commit them.

        Args:
            vectors: (N, D) an array or a tensor, or a list of vectors.
            captions: N of them.
            sources: N clips, or a VideoArray.
            ids: N of them.
            extras: what else is known of each.
            extra: what else is known of all.

        Returns:
            The N ids.

        Raises:
            As ``add``. All are looked at before the first one is sent.
        """
        rows = rows_of(self._lake, as_vectors(vectors, self._dim), captions, sources, ids, extras, extra)
        self._agree(rows.vectors[0])
        self.flush()
        return send_rows(rows, self._send, 1 if self._lake.address.data is not None else AT_ONCE)

    def flush(self) -> None:
        """Commit all that was added.

        Raises:
            LakeError: the lake refuses it; the rows wait for the next try.
            LakeUnreachableError: no answer.
        """
        self._buffer.flush()

    # -- finding -----------------------------------------------------------------------------------------------------

    def search(
        self, query: Any, limit: int = 10, *, where: Mapping[str, Any] | None = None, exact: bool = False
    ) -> list[SearchResult]:
        """Find rows.

        Args:
            query: a vector, for the rows nearest to it by the cosine; a text, for those whose captions have its words,
                by BM25, and with an encoder those nearest to it too, in one ranking by reciprocal ranks; with an
                encoder also a PIL image, or a Video, of which the middle frame is taken.
            limit: how many, at most 1000.
            where: only rows for which this holds: ``video`` (a Video, an id, or a list of them), ``st`` and ``et`` (a
                range of seconds that the row's clip overlaps), and any extra, by its value or a list of values.
            exact: compare all vectors, also of an index so large that it has an approximate index.

        Returns:
            What was found, best first.

        Raises:
            UsageError: a query that cannot be meant, or an image without an encoder.
            InvalidVectorError: as of ``add``.
            NotFoundError: nothing was added to this index yet.

        Example:
            >>> for r in index.search("robot picking up cup", limit=10, where={"camera": "front"}):
            ...     print(r.score, r.caption, r.video)
        """
        if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= 1000:
            raise UsageError(f"limit is 1 to 1000, not {limit!r}")
        condition = condition_of(where)
        self.flush()
        if self._encoder is not None and self._seen is None:
            self._fetch()  # whose vectors they are
        vector, text = asked(query, self._encoder, self._dim, self.name)
        numbers = None if vector is None else vector.astype(float).tolist()
        body = SearchVectors(vector=numbers, text=text, limit=limit, where=condition, exact=exact)
        hits = self._lake.search_rows(self._owner(), self._place, self.name, body)
        return [SearchResult(self._lake, hit) for hit in hits]

    def to_arrow(self) -> pa.Table:
        """All rows as a table of Arrow, as they are at one moment.

        Returns:
            id, vector, caption, videoId, st, et, fs, fe (the last frame), frames (where they do not follow each other)
            and extra (JSON).
        """
        arrow()
        self.flush()
        body = self._lake.rows(self._owner(), self._place, self.name)
        return offload(partial(read_rows, body))

    def to_pandas(self) -> pd.DataFrame:
        """The same as a DataFrame of pandas."""
        try:
            import pandas as pd  # noqa: F401 (Arrow uses it)
        except ImportError as error:
            raise MissingExtraError("tables", "to_pandas()") from error
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame

    # -- changing ----------------------------------------------------------------------------------------------------

    def delete(self, ids: str | Sequence[str] | None = None, *, where: Mapping[str, Any] | None = None) -> int:
        """Delete rows.

        Args:
            ids: of the rows.
            where: as of ``search``; with ids only those of them for which it holds.

        Returns:
            How many were there.

        Raises:
            UsageError: neither.
        """
        if ids is None and where is None:
            raise UsageError("say which rows are to be deleted: their ids, or where=…; drop() deletes all of the index")
        self.flush()
        condition, owner = condition_of(where), self._owner()
        every = None if ids is None else [check_row_id(one) for one in ([ids] if isinstance(ids, str) else ids)]
        return self._lake.delete_rows(owner, self._place, self.name, every, condition)

    def update(
        self,
        id: str,  # noqa: A002 (what it is called everywhere)
        *,
        vector: Any = None,
        caption: str | None = None,
        **extra: Any,
    ) -> None:
        """Change a row; what is not named stays.

        Args:
            id: of the row, which it keeps.
            vector: the new one.
            caption: the new one.
            extra: names that get a new value.

        Raises:
            NotFoundError: there is no such row.
        """
        self.flush()
        changed: Any = UNSET
        if vector is not None:
            changed = as_vector(vector, self.dim).astype(float).tolist()
        body = UpdateRow(
            check_row_id(id),
            UNSET if caption is None else check_caption(caption),
            changed,
            check_extra(extra) if extra else UNSET,
        )
        self._lake.update_row(self._owner(), self._place, self.name, body)

    def optimize(self, *, ann: bool = False) -> IndexInfo:
        """Do now what the lake does by itself in time: join what came in small groups, and index it.

        Args:
            ann: make an approximate index, however few vectors there are, and measure how good it is.

        Returns:
            What is known of the index then; ``ann.recall`` is what was measured.
        """
        self.flush()
        self._seen = self._lake.optimize(self._owner(), self._place, self.name, ann=ann)
        return self._seen

    def drop(self) -> None:
        """Delete the index with all of its rows, those too that were not committed yet."""

        def drop() -> None:
            with suppress(NotFoundError):
                self._lake.drop(self._owner(), self._place, self.name)
            self._seen = self._dim = None

        self._buffer.clear(drop)

    # -- how ---------------------------------------------------------------------------------------------------------

    def _owner(self) -> str:
        if self._namespace is None:
            self._namespace = self._lake.namespace_of(self._place)
        return self._namespace

    def _fetch(self) -> IndexInfo:
        found = self._lake.index(self._owner(), self._place, self.name)
        if self._encoder_id is not None and found.encoder not in (None, self._encoder_id):
            raise UsageError(
                f"the vectors of {self.name} are made by {found.encoder}, and cannot be compared with those of "
                f"{self._encoder_id}"
            )
        self._seen, self._dim = found, found.dim
        return found

    def _info(self) -> IndexInfo | None:
        try:
            return self._fetch()
        except NotFoundError:
            self._seen = None
            return None

    def _agree(self, vector: Vectors) -> None:
        """See that the index takes such vectors; the first one says how long they are."""
        if self._dim is None:
            arrow()  # without it nothing could be sent
            self._info()
            _used.add(self)
            self._dim = self._dim or len(vector)
        if len(vector) != self._dim:
            raise InvalidVectorError(f"the vectors of {self.name} have {self._dim} numbers, and this has {len(vector)}")

    def _send(self, body: bytes) -> None:
        self._lake.add_rows(self._owner(), self._place, self.name, body, self._encoder_id)


_used: WeakSet[VectorIndex] = WeakSet()
