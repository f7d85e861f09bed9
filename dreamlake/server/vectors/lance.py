"""LanceDB, which has the rows of the indexes: imported when it is needed, and not by a forked child of its user.

Its threads do not come along into a child, and what they held stays held there. It starts new ones and calls that
experimental, with a small chance of a child that hangs; a data loader that hangs once a week is worse than one that
says at once how to start its workers.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

from dreamlake.errors import DreamlakeError, MissingExtraError
from dreamlake.server.errors import Refused
from dreamlake.server.storage import Storage
from dreamlake.server.storage.base import StorageDown

__all__ = ["connect", "failures", "lancedb"]

INDEX_CACHE = 256 * 1024**2  # bytes; LanceDB would take 6 GB
METADATA_CACHE = 64 * 1024**2

_forked = False


def lancedb() -> Any:
    """The package.

    Raises:
        MissingExtraError: it is not installed.
        Refused: 409, this process was forked from one that uses it.
    """
    if _forked:
        raise Refused(
            409,
            "vector indexes of an embedded lake do not work in a process that was forked from one that used them: "
            "start workers by spawn (multiprocessing_context='spawn' of a DataLoader), or use a server",
        )
    os.environ.setdefault("LANCE_LOG", "error")  # it writes to stderr, which is its user's
    try:
        _postpone("lance_namespace_urllib3_client")
        import lancedb
        import lancedb.index
        import lancedb.query
    except ImportError as error:
        raise MissingExtraError("vectors", f"vector indexes ({error.name})") from error
    # Our guard is above: children that leave it alone need no warning.
    warnings.filterwarnings("ignore", "lancedb fork support is experimental", RuntimeWarning)
    return lancedb


def _postpone(name: str) -> None:
    """Have the body of a package run when somebody wants what is in it, and not when something below it is imported.

    LanceDB imports the types of a client of its servers, and with them comes all of that client, which takes
    nearly as long to make as all the rest. Tables in a folder or a bucket need none of it.
    """
    spec = None if name in sys.modules else importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        return
    package, loader = importlib.util.module_from_spec(spec), spec.loader

    def run(wanted: str) -> Any:
        package.__dict__.pop("__getattr__", None)
        loader.exec_module(package)
        return getattr(package, wanted)

    package.__dict__["__getattr__"] = run
    sys.modules[name] = package


async def connect(storage: Storage) -> Any:
    """A connection to the tables of a lake; each read sees what was written last, by whatever process."""
    lance = lancedb()
    url, options = await storage.engine_place("vectors")
    session = lance.Session(index_cache_size_bytes=INDEX_CACHE, metadata_cache_size_bytes=METADATA_CACHE)
    with failures():
        return await lance.connect_async(
            url, storage_options=options, session=session, read_consistency_interval=timedelta(0)
        )


@contextmanager
def failures() -> Iterator[None]:
    """Raise what LanceDB raises of its storage as the errors of a storage."""
    try:
        yield
    except (DreamlakeError, Refused, StorageDown):
        raise
    except (RuntimeError, OSError) as error:
        first = str(error).partition("\n")[0][:300]
        raise StorageDown(errno.EIO, f"the vectors cannot be reached: {first}") from error


def _start_anew() -> None:
    global _forked
    _forked = _forked or "lancedb" in sys.modules


with suppress(AttributeError):  # there is no fork on some systems
    os.register_at_fork(after_in_child=_start_anew)
