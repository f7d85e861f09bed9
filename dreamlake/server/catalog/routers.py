"""All routes of the catalog."""

from __future__ import annotations

from litestar import Router

from dreamlake.core.kinds import KINDS
from dreamlake.server.catalog.assets import ASSETS, create, download
from dreamlake.server.catalog.listing import LISTING, assets_of_kind
from dreamlake.server.catalog.moving import move
from dreamlake.server.catalog.nodes import create_node
from dreamlake.server.catalog.place import ASKED
from dreamlake.server.catalog.removal import remove_node
from dreamlake.server.catalog.spaces import SPACES
from dreamlake.server.routing import of_kind

__all__ = ["catalog_routers"]


def catalog_routers() -> list[Router]:
    """The routes of the catalog."""
    handlers = [create, download, assets_of_kind]
    by_kind = [
        Router(f"/assets/{kind.name}", route_handlers=handlers, dependencies={**of_kind(kind), **ASKED})
        for kind in KINDS
    ]
    others = [*ASSETS, *LISTING, *SPACES, create_node, move, remove_node]
    return [*by_kind, Router("/", route_handlers=others, dependencies=ASKED)]
