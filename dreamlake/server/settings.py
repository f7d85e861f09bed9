"""What a lake is started with."""

from __future__ import annotations

import getpass
from dataclasses import dataclass, field
from pathlib import Path

from dreamlake.core.keys import WhenAsked
from dreamlake.core.targets import slugify

__all__ = ["Limits", "Settings"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What clients may take of a server.

    Attributes:
        grace_seconds: that requests and jobs under way are given when the server ends.
        max_requests: that are worked on at once; those that wait for their clients do not count.
        max_held_bytes: of bodies that have come in part, of all requests that are no parts.
        max_connections: that are open at once.
        max_url_bytes: the longest path and query.
        max_header_bytes: the names and values of a request's header fields.
        max_headers: the number of them.
        head_seconds: within which a request's head has to come.
        body_seconds: over which the rate of a request's body is measured.
        body_rate: bytes per second that a body has to come at.
        stall_seconds: after which a client that takes nothing of its answer is cut off.
        idle_seconds: that a connection is kept open between two requests.
    """

    grace_seconds: float = 0.0
    max_requests: int = 500
    max_held_bytes: int = 256 * 1024**2
    max_connections: int = 4000
    max_url_bytes: int = 8 * 1024
    max_header_bytes: int = 16 * 1024
    max_headers: int = 100
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    body_rate: int = 500
    stall_seconds: float = 60.0
    idle_seconds: float = 30.0


@dataclass(frozen=True)
class Settings(Limits):
    """The settings of one lake.

    Attributes:
        data: the folder that holds the database, with its keys, and temporary files, and everything else too when
            there is no other storage.
        public_url: what URLs in answers begin with; the request's own Host when it is None.
        hosts: that requests may be for; None for any. A page of a stranger's site may resolve its own name to this
            machine, and would be let in by a lake without keys.
        max_part_bytes: the largest part that is taken.
        max_body_bytes: the largest JSON body that is taken.
        url_seconds: how long a presigned URL is good for.
        worker_seconds: how long one lambda may run.
        worker_memory: bytes of address space that one lambda may use.
        keys: when a request needs an API key; the embedded lake never asks for one.
        storage: where the bytes are, as ``open_storage`` takes it; None for the folder.
        database: the URL of the database, as ``Database`` takes it; None for SQLite in the folder.
        min_free_bytes: of the disk, with less of which the lake is not ready.
        max_transfers: parts that one namespace may send through the lake at once.
        max_uploads: uploads that one namespace may have under way.
        max_rows_bytes: the largest body of rows of a vector index that is taken.
        exact_rows: of a vector index, beyond which it gets an approximate one.
        vector_bytes: of vectors that are kept in memory, to compare all of them.
    """

    data: Path
    public_url: str | None = None
    hosts: frozenset[str] | None = None
    max_part_bytes: int = 1024**3
    max_body_bytes: int = 4 * 1024**2
    url_seconds: int = 3600
    worker_seconds: float = 4 * 3600
    worker_memory: int = 8 * 1024**3
    keys: WhenAsked = "never"
    storage: str | None = None
    database: str | None = field(default=None, repr=False)  # it may hold a password
    min_free_bytes: int = 256 * 1024**2
    max_transfers: int = 64
    max_uploads: int = 10_000
    max_rows_bytes: int = 64 * 1024**2
    exact_rows: int = 100_000
    vector_bytes: int = 1024**3

    def make_folder(self) -> None:
        """Make the folder, for nobody else to look into."""
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.database is None:  # it has secrets; SQLite gives what it makes beside it the same mode
            (self.data / "lake.db").touch(mode=0o600)

    @property
    def storage_location(self) -> str:
        """Of ``open_storage``."""
        return self.storage or str(self.data)

    @property
    def scratch(self) -> Path:
        """The folder for temporary files of this machine."""
        return self.data / "scratch"

    @property
    def database_url(self) -> str:
        """Of ``Database``."""
        return self.database or f"sqlite:///{self.data / 'lake.db'}"

    @property
    def namespace(self) -> str:
        """The namespace of a caller without a key: the login name of whoever runs the lake."""
        try:
            return slugify(getpass.getuser())
        except (OSError, KeyError):
            return "user"
