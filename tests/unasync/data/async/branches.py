"""What has no blocking form: branches and definitions."""

from dreamlake._async import _runtime
from dreamlake._async._runtime import ASYNC, async_only
from dreamlake._async._runtime import async_property as lazy

if ASYNC:
    # Only async code needs this.
    import contextvars

    token = contextvars.ContextVar("token")
else:
    # Only blocking code needs this.
    import threading

    token = threading.local()
    # and a last word

LIMIT = 8


# Gone with what it is about.
@async_only
async def background() -> None:
    """No blocking form."""
    token.get(lazy)


class AsyncOnly:
    @_runtime.async_only
    async def background(self) -> None: ...


class AsyncTask:
    """Has a little of everything."""

    @async_only
    def __await__(self):
        return self.run().__await__()
        # the end of it

    async def run(self) -> int:
        """Run it."""
        # This stays, it tells why there are two ways.
        if ASYNC:
            first = await self.part()
            second = await self.part()
        else:
            first = await self.part()
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
        if not ASYNC:
            first += 1  # only here

            second += 1
            # the last of it
        if not ASYNC:
            first -= 1
        else:
            second -= await self.part()

        # Gone with what it is about.
        if ASYNC:
            first = second
        return first + second

    async def part(self) -> int:
        found = 0
        if ASYNC:
            found = 1
        else:
            for number in range(LIMIT):
                if number:
                    if ASYNC:
                        found += 1
                    else:
                        # Twice nested.
                        found += number
                else:
                    if ASYNC:  # nothing is left of this side
                        found += 2
        return found

    async def nothing(self) -> None:
        try:
            if ASYNC:
                await self.part()
        finally:
            if not ASYNC:

                def part() -> None:
                    """Return one.

                    Its docstring moves with it.
                    """

                part()


ASYNC_LIKE = False
