"""Whether a file holds what its type promises, before it is sent anywhere."""

from __future__ import annotations

from pathlib import Path

from dreamlake.core.kinds import AUDIO, IMAGE, VIDEO, Kind
from dreamlake.errors import MediaError
from dreamlake.media.audio import probe_audio
from dreamlake.media.images import probe_image
from dreamlake.media.scan import check_video
from dreamlake.media.tracks import summarize_track

__all__ = ["check_content"]


def check_content(path: Path, kind: Kind, *, skip_bad_lines: bool = False) -> None:
    """Make sure that a file can be read as an asset of a kind. It blocks, and needs little memory however large it is.

    Args:
        path: of the file.
        kind: that it is to be. A track may be empty: it has no entries then.
        skip_bad_lines: whether lines of a track that cannot be read are no reason to refuse it.

    Raises:
        MediaError: it cannot; the message begins with the file's name.
    """
    try:
        if kind == VIDEO:
            if not path.stat().st_size:
                raise MediaError(f"{path.name}: is empty")
            check_video(path)
        elif kind == AUDIO:
            probe_audio(path)
        elif kind == IMAGE:
            probe_image(path)
        else:
            summarize_track(path, kind, skip_bad=skip_bad_lines)
    except OSError as error:
        raise MediaError(f"{path.name}: cannot be read ({error.strerror or error})") from error
