"""One of several processes that want the same entry at the same moment.

``python -m tests.caching.stampede PORT LEASE``; it says when it is ready, gets the number of
callers and the seconds that the origin takes, and tells how long its callers waited.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.endpoint import Endpoint


def say(**words: object) -> None:
    """Tell the test something."""
    print(json.dumps(words), flush=True)


async def main(port: int, lease: float) -> None:
    """Take part in one stampede."""
    async with (
        ValkeyClient(Endpoint(port=port)) as client,
        # A generous budget, for machines that stutter.
        CacheService(client, app="t", budget=2.0, lease=lease) as cache,
    ):

        async def warm() -> int:
            return 0

        # So that connections and scripts are there when it begins, as in any process that
        # has served a request.
        await asyncio.gather(
            *(cache.get_or_load("metadata", f"{os.getpid()}-{n}", warm) for n in range(2))
        )
        say(ready=True)
        callers, origin_s = json.loads(await asyncio.to_thread(sys.stdin.readline))

        async def load() -> str:
            await client.execute("INCR", "origin")
            say(loading=True)
            await asyncio.sleep(origin_s)
            return "loaded"

        async def call() -> float:
            began = time.monotonic()
            assert await cache.get_or_load("metadata", "hot", load) == "loaded"
            return time.monotonic() - began

        waits = await asyncio.gather(*(call() for _ in range(callers)))
        say(longest_s=max(waits))
        await asyncio.to_thread(sys.stdin.readline)  # its connections stay until the count


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
