"""Many videos at once in async code: python examples/async_service.py first.mp4 second.mp4 …"""

import asyncio
import sys

import dreamlake.aio as adl


async def middle_frame(path: str) -> str:
    video = await adl.upload(path, prefix="/examples", progress=False)
    image = await video.thumbnail
    return f"{video.id}: {video.frames} frames, the middle one is {image.width}x{image.height}"


async def main() -> None:
    for line in await asyncio.gather(*(middle_frame(path) for path in sys.argv[1:])):
        print(line)


asyncio.run(main())
