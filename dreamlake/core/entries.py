"""What a lake's listings consist of."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from dreamlake.core.wirecatalog import EPISODE, Named, Node

__all__ = ["Entry"]


@dataclass(frozen=True)
class Entry:
    """Something that has a name in a lake: an asset, a folder or an episode.

    Attributes:
        name: the path, such as ``/camera/front/run01.mp4``; of an episode its name.
        kind: ``video``, ``audio``, ``image``, ``label-track``, ``text-track``, ``folder`` or ``episode``.
        id: the resource id of an asset (``v-…``), and 24 hex digits of a folder or an episode.
        size: of an asset, bytes; None for others.
        created: when the asset that is there came, or when the folder or the episode was made; UTC.
        namespace: whose it is.
        space: where it lies.
        episode: where it lies in the space; None outside of all episodes.
        node: the id of its record in the catalog, 24 hex digits.
    """

    name: str
    kind: str
    id: str
    size: int | None
    created: datetime
    namespace: str
    space: str
    episode: str | None
    node: str = field(repr=False)

    @property
    def target(self) -> str:
        """What names it in every call, such as ``alice@robotics:run-042//camera/front/run01.mp4``."""
        place = f"{self.namespace}@{self.space}" + (f":{self.episode}" if self.episode is not None else "")
        return f"{place}//" if self.kind == EPISODE else f"{place}/{self.name}"

    @staticmethod
    def of(node: Node) -> Entry:
        """What the lake says of a node."""
        created = datetime.fromisoformat(node.created_at)
        return Entry(
            node.name, node.kind, node.resource_id or node.id, node.size, created, node.namespace, node.space,
            node.episode, node.id,
        )  # fmt: skip

    @staticmethod
    def of_episode(episode: Named, namespace: str, space: str) -> Entry:
        """An episode of a space."""
        created = datetime.fromisoformat(episode.created_at)
        return Entry(episode.name, EPISODE, episode.id, None, created, namespace, space, episode.name, episode.id)
