"""Sources and sinks of bulk inference: where rows come from, and where their rollouts go.

    >>> from dreamlake.io import frames_from_dir, RolloutSink
    >>> client.predict_many(frames_from_dir("./episodes"), RolloutSink.dir("./out"), spec="dreamdojo-2b-gr1")

The same objects serve the blocking client and the async one.
"""

from dreamlake.io.hf import frames_from_hf
from dreamlake.io.lake import frames_from_lake
from dreamlake.io.pairs import frames_from_dir, frames_from_s3
from dreamlake.io.sink import RolloutSink
from dreamlake.io.source import IterableSource, SourceRow

__all__ = [
    "IterableSource",
    "RolloutSink",
    "SourceRow",
    "frames_from_dir",
    "frames_from_hf",
    "frames_from_lake",
    "frames_from_s3",
]

for _name in __all__:  # tracebacks and help() show where users find a thing, not where it is written
    globals()[_name].__module__ = __name__
