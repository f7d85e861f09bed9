"""The traps of video: small files, each with one property that makes readers give a wrong frame.

Importing the package registers every trap. ``make`` writes a trap's file once in a folder and gives its path.
"""

from tests.corpus import changes, codecs, fields, gops, streams, times
from tests.corpus.traps import TRAPS, Trap, make

__all__ = ["TRAPS", "Trap", "changes", "codecs", "fields", "gops", "make", "streams", "times"]
