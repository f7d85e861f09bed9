# Generated from tests/unasync/data/async/branches.py by scripts/unasync.py. Edit that file, then run it.
"""What has no blocking form: branches and definitions."""

# Only blocking code needs this.
import threading

token = threading.local()
# and a last word

LIMIT = 8


class Only:
    pass


class Task:
    """Has a little of everything."""

    def run(self) -> int:
        """Run it."""
        # This stays, it tells why there are two ways.
        first = self.part()
        if first > LIMIT:
            text = f"""\
    {first} is not
        dedented"""
            second = len(
                text
                # nor lost
            ) + len(
                """
                    nor this"""
            )
        elif ASYNC_LIKE:
            second = 1
        else:
            second = 2
        first += 1  # only here

        second += 1
        # the last of it
        first -= 1

        return first + second

    def part(self) -> int:
        found = 0
        for number in range(LIMIT):
            if number:
                # Twice nested.
                found += number
            else:
                pass
        return found

    def nothing(self) -> None:
        try:
            pass
        finally:

            def part() -> None:
                """Return one.

                Its docstring moves with it.
                """

            part()


ASYNC_LIKE = False
