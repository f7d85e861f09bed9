"""The prefix context: say the space and the folder once instead of on every call (seed 1, "Prefix Context").

The state is one context variable holding an immutable stack, so that tasks and threads each have their own, and
one Prefix object may be entered twice or in several tasks at once.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType

from dreamlake.core.targets import (
    Space,
    check_name,
    is_target,
    join_path,
    parse_episode,
    parse_folder,
    parse_space,
)
from dreamlake.errors import InvalidTargetError

__all__ = ["Place", "Prefix", "in_prefix", "resolve_asset", "resolve_name", "resolve_place"]


@dataclass(frozen=True)
class Place:
    """A resolved place: a space (and episode) and an absolute folder in it."""

    space: Space
    folder: str


_stack: ContextVar[tuple[Place, ...]] = ContextVar("dreamlake_prefix", default=())


class Prefix:
    """Give every call inside the ``with`` block a space and a folder.

    Args:
        space: ``space@namespace``, or a space of your own namespace; the outer one holds when it is None.
        prefix: a folder. Relative ones are appended to the outer prefix, absolute ones replace it.

    Example:
        >>> with dl.Prefix(space="robotics@alice", prefix="/2026/04"):
        ...     with dl.Prefix(prefix="run-042"):
        ...         dl.upload("./video.mp4", path="camera/front")
        ...         # resolves to: /2026/04/run-042/camera/front
    """

    def __init__(self, space: str | None = None, prefix: str | None = None) -> None:
        self.space = space
        self.prefix = prefix
        resolve_place(space=space, prefix=prefix)  # a mistake is reported where it was written

    def __enter__(self) -> Prefix:
        _stack.set((*_stack.get(), resolve_place(space=self.space, prefix=self.prefix)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _stack.set(_stack.get()[:-1])

    def __repr__(self) -> str:
        return f"Prefix(space={self.space!r}, prefix={self.prefix!r})"


def resolve_place(
    *,
    space: str | None = None,
    prefix: str | None = None,
    path: str | None = None,
    episode: str | None = None,
) -> Place:
    """The place that these arguments name inside the prefix in force.

    Args:
        space: ``space@namespace`` or ``space``.
        prefix: a folder, below the prefix in force unless it is absolute.
        path: a folder or full name below all that, unless it is absolute.
        episode: ``namespace@space:episode``, ``space:episode`` or ``episode``.

    Raises:
        InvalidTargetError: malformed, or a space and an episode that contradict each other.
    """
    outer = _stack.get()[-1] if _stack.get() else Place(Space(None, None), "/")
    named = parse_space(space) if space is not None else outer.space
    if episode is not None:
        named = _within(parse_episode(episode), named, explicit=space is not None)
    folder = join_path(join_path(outer.folder, prefix), path)
    return Place(named, folder if folder == "/" else check_name(folder))


def in_prefix() -> bool:
    """Whether a Prefix is in force."""
    return bool(_stack.get())


def resolve_name(name: str | None, *, space: str | None = None, episode: str | None = None) -> Place:
    """The place of something in a lake: a target, or a path below the Prefix in force unless it is absolute.

    Args:
        name: ``namespace@space:episode//path``, whose parts before the ``//`` may be left out, or a path.
        space: ``space@namespace`` or ``space``, for a path.
        episode: ``namespace@space:episode``, ``space:episode`` or ``episode``, for a path.

    Raises:
        InvalidTargetError: malformed, or a target and a space or an episode besides.
    """
    if name is not None and "://" in name:
        raise InvalidTargetError(
            f"{name!r} is a URI, where a path in a lake is wanted, or namespace@space:episode//path"
        )
    if name is None or not is_target(name):
        return resolve_place(space=space, path=name, episode=episode)
    if space is not None or episode is not None:
        raise InvalidTargetError(f"{name!r} says itself in which space and episode it is")
    target = parse_folder(name)
    outer = resolve_place().space
    if target.space.space is None:
        return Place(outer, target.path)
    return Place(
        Space(target.space.namespace or outer.namespace, target.space.space, target.space.episode), target.path
    )


def resolve_asset(name: str) -> Place:
    """The same of an asset, which is not the root of anything."""
    place = resolve_name(name)
    if place.folder == "/":
        raise InvalidTargetError(f"{name!r} names no asset: that is namespace@space:episode//path")
    return place


def _within(episode: Space, space: Space, *, explicit: bool) -> Space:
    """An episode inside a space: what the episode leaves out comes from the space."""
    for own, other in ((episode.space, space.space), (episode.namespace, space.namespace)):
        if explicit and own and other and own != other:
            raise InvalidTargetError(f"the episode says {own!r} where space= says {other!r}")
    return Space(episode.namespace or space.namespace, episode.space or space.space, episode.episode)
