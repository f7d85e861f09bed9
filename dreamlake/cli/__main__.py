"""``python -m dreamlake.cli``."""

from dreamlake.cli import main

main()
