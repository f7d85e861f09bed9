"""Which kind of asset a route is for: the routers of all kinds share their handlers, and each says its own kind."""

from __future__ import annotations

from litestar.di import NamedDependency, Provide

from dreamlake.core.kinds import Kind

__all__ = ["AssetKind", "of_kind"]

AssetKind = NamedDependency[Kind]  # how a route asks for the kind that its path names


def of_kind(kind: Kind) -> dict[str, Provide]:
    """The dependency of a router whose path names a kind."""
    return {"kind": Provide(lambda: kind, sync_to_thread=False)}
