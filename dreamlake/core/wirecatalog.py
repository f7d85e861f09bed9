"""What goes over the wire between the catalog and its clients."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from dreamlake.core.wire import MAX_BATCH, ObjectId, Problem, Slug, Text

__all__ = [
    "EPISODE", "FOLDER", "AssetCreated", "AssetFound", "AssetItem", "AssetItems", "AssetsCreated", "CreateAsset",
    "CreateAssets", "CreateNamed", "CreateNode", "Created", "MoveNode", "Named", "NamedItems", "Node", "NodeKind",
    "NodeMetadata", "Nodes",
]  # fmt: skip

FOLDER = "folder"
EPISODE = "episode"
NodeKind = Literal["video", "audio", "image", "label-track", "text-track", "folder", "episode"]
MaybeSlug = Annotated[
    str, Meta(pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,99})?$(?!\n)", description="a name, or nothing for none")
]


class NodeMetadata(Struct, rename="camel"):
    """What a node is of: the asset of the storage service. Other fields are kept."""

    bss_id: ObjectId | None = None


class Placed(Struct, rename="camel", kw_only=True):
    """What is made in a space. ``project`` is the older name of ``space``; one of them is needed."""

    namespace: Slug
    space: Slug = ""
    project: Slug | None = None

    def __post_init__(self) -> None:
        self.space = self.space or self.project or ""
        if not self.space:
            raise ValueError("Object missing required field `space`")


class CreateNode(Placed, rename="camel", kw_only=True):
    """Give an asset its name, or make a folder or an episode.

    ``project`` is the older name of ``space``; one of them is needed. Assets need ``metadata.bssId``.
    """

    episode: Slug | None = None
    kind: NodeKind
    name: Text
    metadata: NodeMetadata | None = None


class MoveNode(Struct, rename="camel"):
    """Where a node goes: its new full path, and the episode, where it leaves its own.

    An empty ``episode`` is the space itself, outside of all episodes.
    """

    name: Text
    episode: MaybeSlug | None = None


class CreateAsset(Placed, rename="camel", kw_only=True):
    """Give an asset of the storage service its name. Fields that are not named here are kept as metadata.

    ``project`` is the older name of ``space``; one of them is needed. ``replaces`` is the asset that has to be the
    newest one of that name until now; empty where there must be none.
    """

    name: Text
    episode_name: Slug | None = None
    bss_video_id: ObjectId | None = None
    bss_audio_id: ObjectId | None = None
    bss_image_id: ObjectId | None = None
    bss_label_id: ObjectId | None = None
    bss_text_track_id: ObjectId | None = None
    replaces: Annotated[str, Meta(pattern=r"^([0-9a-f]{24})?$(?!\n)")] | None = None


class AssetCreated(Struct, rename="camel"):
    """The catalog's records of an asset, and the signed URL that starts its processing."""

    id: str
    node_id: str
    project_id: str
    episode_id: str | None
    folder_id: str | None
    filename: str
    lambda_url: str | None


class CreateAssets(Struct, rename="camel"):
    """Give many assets their names; each is what ``POST /assets/{kind}`` takes, and its ``kind``."""

    items: Annotated[list[dict[str, Any]], Meta(max_length=MAX_BATCH)]


class Created(Struct, rename="camel"):
    """One that was created, or why not."""

    created: AssetCreated | None = None
    problem: Problem | None = None


class AssetsCreated(Struct, rename="camel"):
    """What became of each, in order."""

    items: list[Created]


class AssetFound(Struct, rename="camel"):
    """The asset at a path: where its bytes are, and what they are; the size in bytes."""

    url: str
    filename: str
    bss_id: str
    kind: str
    sha256: str
    size: int


class Node(Struct, rename="camel", kw_only=True):
    """A place in the catalog: an asset (the newest at its path), a folder or an episode.

    ``name`` is the path, and of an episode its name. What belongs to assets is None for others; the size is in bytes.
    ``createdAt`` is when the newest asset came there, and when a folder or an episode was made.
    """

    id: str
    kind: NodeKind
    name: str
    namespace: str
    space: str
    episode: str | None
    project_id: str
    episode_id: str | None
    parent_id: str | None
    created_at: str
    asset_id: str | None = None
    bss_id: str | None = None
    resource_id: str | None = None
    size: int | None = None
    sha256: str | None = None
    metadata: dict[str, Any] | None = None


class Nodes(Struct, rename="camel"):
    """One page of nodes in the order of their paths; ``nextCursor`` asks for the next one."""

    items: list[Node]
    next_cursor: str | None = None


class AssetItem(Struct, rename="camel", kw_only=True):
    """An asset at its path; the size in bytes."""

    id: str
    node_id: str
    name: str
    episode: str | None
    type: str
    resource_id: str
    bss_id: str
    size: int
    created_at: str
    metadata: dict[str, Any]


class AssetItems(Struct, rename="camel"):
    """One page of assets in the order of their paths; ``nextCursor`` asks for the next one."""

    items: list[AssetItem]
    next_cursor: str | None = None


class CreateNamed(Struct, rename="camel"):
    """Make a namespace, a space or an episode."""

    name: Slug


class Named(Struct, rename="camel"):
    """A namespace, a space or an episode."""

    id: str
    name: str
    created_at: str


class NamedItems(Struct, rename="camel"):
    """One page of them in the order of their names; ``nextCursor`` asks for the next one."""

    items: list[Named]
    next_cursor: str | None = None
