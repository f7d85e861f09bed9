# Generated from dreamlake/_async/catalog.py by scripts/unasync.py. Edit that file, then run it.
"""The names in a lake: listing, finding, moving and deleting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress

from dreamlake._sync.asset import Asset, is_lake_path, locate
from dreamlake._sync.audio import Audio
from dreamlake._sync.lake import Lake
from dreamlake._sync.video import Video
from dreamlake.config import current_lake
from dreamlake.core.entries import Entry
from dreamlake.core.kinds import KINDS, Kind
from dreamlake.core.prefix import Place, resolve_name
from dreamlake.core.targets import Space, asset_name, is_target, join_path, parse_folder
from dreamlake.core.wirecatalog import EPISODE, FOLDER, AssetItem, AssetItems, MoveNode, NamedItems, Node, Nodes
from dreamlake.errors import InvalidTargetError, NotFoundError, UsageError

__all__ = ["Catalog", "delete", "find", "info_of", "ls", "move"]

PAGE = 500  # entries of a request
_KINDS = (*(kind.name for kind in KINDS), FOLDER, EPISODE)


def ls(
    prefix: str | None = None,
    *,
    space: str | None = None,
    episode: str | None = None,
    kind: str | None = None,
    recursive: bool = False,
) -> Iterator[Entry]:
    """What lies in a folder, in the order of the names; after it the episodes, where it is the root of a space.

    Entries come from the lake page by page, while they are asked for.

    Args:
        prefix: the folder, below the Prefix in force unless it is absolute, or ``namespace@space:episode//path``. None
            is the folder of the Prefix, and else the root. A path that names an asset gives that asset.
        space: ``space@namespace``, or a space of your own namespace. Default: the space ``default``.
        episode: ``namespace@space:episode``, or the name of an episode.
        kind: only entries of this kind, which may be ``folder`` or ``episode``.
        recursive: also what lies in the folders below, and from the root of a space on in its episodes.

    Returns:
        An iterator of Entry; of nothing where there is nothing.

    Raises:
        UsageError: a place or a kind that cannot be.
        LakeUnreachableError: no lake answers.

    Example:
        >>> [entry.name for entry in dl.ls("/camera", space="robotics@alice", recursive=True)]
        ['/camera/front', '/camera/front/run01.mp4']
    """
    _check_kind(kind)
    place = resolve_name(prefix, space=space, episode=episode)
    return _ls(Catalog(current_lake()), place, kind, recursive)


def find(
    pattern: str | None = None,
    *,
    kind: str | None = None,
    prefix: str | None = None,
    space: str | None = None,
    episode: str | None = None,
) -> Iterator[Entry]:
    """What has a name like this, anywhere in a space and its episodes, or below a folder.

    Args:
        pattern: a part of the name, or a pattern with ``*`` and ``?``; with a ``/`` in it, of the whole path. ASCII
            letters match both cases. None for all names.
        kind: only entries of this kind, which may be ``folder``.
        prefix: as of ``ls``.
        space: as of ``ls``.
        episode: as of ``ls``; None for what lies outside of episodes and in all of them.

    Returns:
        An iterator of Entry, which come from the lake page by page.

    Raises:
        UsageError: a place or a kind that cannot be.
        LakeUnreachableError: no lake answers.

    Example:
        >>> videos = [dl.load_video(entry.id) for entry in dl.find("front*.mp4", kind="video")]
    """
    _check_kind(kind)
    if kind == EPISODE:
        raise UsageError("episodes are not found by patterns: ls(kind='episode') lists them")
    place = resolve_name(prefix, space=space, episode=episode)
    return Catalog(current_lake()).nodes(place, kind=kind, pattern=pattern, recursive=True)


def delete(name: str | Entry | Video | Audio | Asset, *, recursive: bool = False) -> None:
    """Delete an asset, or a folder.

    By its path a name goes, with all versions of the asset there; their bytes go with their last name. By its id an
    asset goes with all of its names. Files of this machine are never meant.

    Args:
        name: a resource id, a ``bss://`` URI, ``namespace@space:episode//path``, a path below the Prefix in force; or
            an Entry, a Video, an Audio or an Asset.
        recursive: delete a folder with all that is in it.

    Raises:
        NotFoundError: there is no such thing.
        RequestError: a folder that is not empty.

    Example:
        >>> dl.delete("alice@robotics//2026/04/run-042", recursive=True)
    """
    asset = _asset(name)
    if asset is not None:
        asset.metadata()  # says so where there is none
        lake = Catalog(asset.lake.address)
        with suppress(NotFoundError):  # it has gone meanwhile, or an answer was lost and this was the second time
            lake.delete_asset(asset.kind_info, asset.object_id)
        return
    catalog = Catalog(current_lake())
    node = catalog.node_of(name)
    with suppress(NotFoundError):
        catalog.delete_node(node.id, recursive=recursive)


def move(name: str | Entry | Video | Audio | Asset, to: str) -> Entry:
    """Move or rename an asset, or a folder with all that is in it. Nothing is written over.

    Args:
        name: as of ``delete``; an asset by its id must have one name alone.
        to: where it goes, in the same space: ``namespace@space:episode//path``, or a path, which means the episode that
            it is in. For an asset a folder, to which its filename is appended, unless the last part carries the file's
            extension; for a folder its new path. With a ``/`` at its end it is always the folder that it goes into.

    Returns:
        What it is called now.

    Raises:
        NotFoundError: there is no such thing.
        RequestError: something lies there already, or a folder would go into itself.
        UsageError: another space, or an asset with several names.

    Example:
        >>> dl.move("alice@robotics//front.mp4", "/2026/04/run-042/camera/front")
    """
    catalog = Catalog(current_lake())
    asset = _asset(name)
    node = catalog.only_name_of(asset) if asset is not None else catalog.node_of(name)
    folder, episode = _destination(node, to)
    filename = node.name.rsplit("/", 1)[-1]
    if to.endswith("/") and to.strip("/"):
        path = join_path(folder, filename)
    else:
        path = folder if node.kind == FOLDER and folder != "/" else asset_name(folder, filename)
    return Entry.of(catalog.move_node(node.id, MoveNode(path, episode)))


def info_of(name: str) -> Entry:
    """What lies at a path: an asset, or a folder.

    Args:
        name: ``namespace@space:episode//path``, or a path below the Prefix in force.

    Raises:
        NotFoundError: there is nothing.
    """
    return Entry.of(Catalog(current_lake()).lookup(resolve_name(name)))


class Catalog(Lake):
    """A lake's client for what its catalog lists and changes."""

    def nodes(
        self, place: Place, *, kind: str | None = None, pattern: str | None = None, recursive: bool = False
    ) -> Iterator[Entry]:
        """What lies in a folder, or below it; without an episode and ``recursive`` in all episodes too."""
        namespace, space = self.whole(place.space)
        query = {"namespace": namespace, "space": space, "prefix": place.folder, "limit": str(PAGE)}
        asked = {"episode": place.space.episode, "kind": kind, "pattern": pattern}
        query |= {key: value for key, value in asked.items() if value is not None}
        if recursive:
            query["recursive"] = "true"
        while True:
            page = self._call("GET", f"{self.address.remote}/nodes", Nodes, query=query)
            for node in page.items:
                yield Entry.of(node)
            if page.next_cursor is None:
                return
            query["cursor"] = page.next_cursor

    def episodes(self, place: Place) -> Iterator[Entry]:
        """The episodes of a space."""
        namespace, space = self.whole(place.space)
        url = f"{self.address.remote}/namespaces/{namespace}/spaces/{space}/episodes"
        query = {"limit": str(PAGE)}
        while True:
            page = self._call("GET", url, NamedItems, query=query)
            for episode in page.items:
                yield Entry.of_episode(episode, namespace, space)
            if page.next_cursor is None:
                return
            query["cursor"] = page.next_cursor

    def lookup(self, place: Place) -> Node:
        """What lies at a path."""
        namespace, space = self.whole(place.space)
        query = {"namespace": namespace, "space": space, "path": place.folder}
        if place.space.episode is not None:
            query["episode"] = place.space.episode
        return self._call("GET", f"{self.address.remote}/nodes/lookup", Node, query=query)

    def node(self, node_id: str) -> Node:
        """A node by its id."""
        return self._call("GET", f"{self.address.remote}/nodes/{node_id}", Node)

    def node_of(self, name: object) -> Node:
        """The node of an entry, or at a path."""
        if isinstance(name, Entry):
            return self.node(name.node)
        if not isinstance(name, str):
            raise UsageError(f"{name!r} names nothing in a lake: give an id, a path or an entry")
        return self.lookup(resolve_name(name))

    def only_name_of(self, asset: Asset) -> Node:
        """The node of an asset that has one name.

        Raises:
            UsageError: it has several, or none.
        """
        found = self._names(asset, 10)
        if len(found) == 1:
            return self.node(found[0].node_id)
        if not found:
            raise UsageError(f"{asset.id} has no name in the catalog")
        raise UsageError(f"{asset.id} has several names, and one of them is wanted: {', '.join(map(_path, found))}")

    def names_of(self, asset: Asset) -> list[str]:
        """The names of an asset in its space, with the episodes before them; the first 100."""
        return [_path(item) for item in self._names(asset, 100)]

    def _names(self, asset: Asset, limit: int) -> list[AssetItem]:
        meta = asset.metadata()
        query = {"namespace": meta.owner, "space": meta.project, "bssId": asset.object_id, "limit": str(limit)}
        return self._call("GET", f"{self.address.remote}/assets", AssetItems, query=query).items

    def spaces(self, namespace: str | None) -> Iterator[tuple[str, str]]:
        """The spaces of a namespace, or of your own, each with its namespace."""
        owner = namespace or self.me().namespace
        query = {"limit": str(PAGE)}
        while True:
            url = f"{self.address.remote}/namespaces/{owner}/spaces"
            page = self._call("GET", url, NamedItems, query=query)
            for space in page.items:
                yield owner, space.name
            if page.next_cursor is None:
                return
            query["cursor"] = page.next_cursor

    def move_node(self, node_id: str, body: MoveNode) -> Node:
        """Give a node another path."""
        return self._call("PATCH", f"{self.address.remote}/nodes/{node_id}", Node, body)

    def delete_node(self, node_id: str, *, recursive: bool) -> None:
        """Delete a node."""
        query: Mapping[str, str] = {"recursive": "true"} if recursive else {}
        self.send("DELETE", f"{self.address.remote}/nodes/{node_id}", query=query, key=True, wait=DELETE_SECONDS)

    def delete_asset(self, kind: Kind, object_id: str) -> None:
        """Delete an asset, with all of its names."""
        self.send("DELETE", self._bss(f"/{kind.route}/{object_id}"), key=True)


DELETE_SECONDS = 3600.0  # a folder may hold millions of assets, and the lake says nothing while they go


def _ls(catalog: Catalog, place: Place, kind: str | None, recursive: bool) -> Iterator[Entry]:
    space = place.space
    alone = Space(space.namespace, space.space, space.episode or "")
    if kind != EPISODE:
        for entry in catalog.nodes(Place(alone, place.folder), kind=kind, recursive=recursive):
            yield entry
    if place.folder != "/" or space.episode is not None:
        return
    for episode in catalog.episodes(place):
        if kind in (None, EPISODE):
            yield episode
        if recursive and kind != EPISODE:
            inside = Place(Space(episode.namespace, episode.space, episode.name), "/")
            for entry in catalog.nodes(inside, kind=kind, recursive=True):
                yield entry


def _asset(name: object) -> Asset | None:
    """The asset that is meant by itself, and not by a path."""
    if isinstance(name, Asset):
        return name
    text = name.uri if isinstance(name, Video | Audio) else name
    if not isinstance(text, str) or is_lake_path(text):
        return None
    return locate(text)


def _destination(node: Node, to: str) -> tuple[str, str | None]:
    """The path that a text means, and the episode, where it is not that of the node."""
    if not is_target(to):
        return resolve_name(to).folder, None
    space = parse_folder(to).space
    if space.space is None:
        return resolve_name(to).folder, None
    if (space.namespace or node.namespace, space.space) != (node.namespace, node.space):
        raise InvalidTargetError(f"{to!r} is in another space: what is in {node.namespace}@{node.space} stays in it")
    return resolve_name(to).folder, space.episode or ""


def _path(item: AssetItem) -> str:
    return item.name if item.episode is None else f"{item.episode}/{item.name}"


def _check_kind(kind: str | None) -> None:
    if kind is not None and kind not in _KINDS:
        raise UsageError(f"{kind!r} is not a kind of entry: {', '.join(_KINDS)}")
