"""What goes over the wire when a lake is put in order: what nothing refers to, and what lost its other half."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Freed", "GcReport", "Orphan", "OrphansFound", "Repaired"]


class Freed(Struct, rename="camel"):
    """How many things went, and their size in bytes."""

    count: int = 0
    size: int = 0

    def add(self, size: int) -> None:
        """One more, with so many bytes."""
        self.count += 1
        self.size += size


class GcReport(Struct, rename="camel"):
    """What was deleted, or would have been: abandoned uploads, staged files that no asset is made of, chunks that no
    playlist names, objects of deleted assets, and temporary files of crashes. ``problems`` says what was left alone
    because something could not be read.
    """

    dry_run: bool
    uploads: Freed
    staged: Freed
    chunks: Freed
    leftovers: Freed
    temporary: Freed
    problems: list[str] = []


class Orphan(Struct, rename="camel"):
    """An asset without a name, or a name without an asset: the asset's ObjectId, and where it is or was."""

    bss_id: str
    kind: str
    namespace: str
    space: str
    name: str


class OrphansFound(Struct, rename="camel"):
    """Where the storage service and the catalog disagree, some of each."""

    unnamed: list[Orphan]
    empty: list[Orphan]


class Repaired(Struct, rename="camel"):
    """How many assets were named, how many empty names were forgotten, and what could not be done."""

    named: int
    forgotten: int
    problems: list[str]
