"""What a lake is started with."""

from __future__ import annotations

import getpass
from dataclasses import dataclass, field
from pathlib import Path

from dreamlake.core.targets import slugify

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """The settings of one lake.

    Attributes:
        data: the folder that holds the database, the signing key and temporary files, and everything else too when
            there is no other storage.
        public_url: what URLs in answers begin with; the request's own Host when it is None.
        hosts: that requests may be for; None for any. A page of a stranger's site may resolve its own name to this
            machine, and would be let in by a lake without keys.
        max_part_bytes: the largest part that is taken.
        max_body_bytes: the largest JSON body that is taken.
        url_seconds: how long a presigned URL is good for.
        worker_seconds: how long one lambda may run.
        worker_memory: bytes of address space that one lambda may use.
        storage: where the bytes are, as ``open_storage`` takes it; None for the folder.
        database: the URL of the database, as ``Database`` takes it; None for SQLite in the folder.
    """

    data: Path
    public_url: str | None = None
    hosts: frozenset[str] | None = None
    max_part_bytes: int = 1024**3
    max_body_bytes: int = 4 * 1024**2
    url_seconds: int = 3600
    worker_seconds: float = 4 * 3600
    worker_memory: int = 8 * 1024**3
    storage: str | None = None
    database: str | None = field(default=None, repr=False)  # it may hold a password

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
