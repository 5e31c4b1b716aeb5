"""Single-flight over real processes, counted by the server."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.caching.origin import is_awaited, until
from valkeyctl.caching import ValkeyClient
from valkeyctl.endpoint import Endpoint

ROOT = Path(__file__).parents[2]
# What the test itself and its origin ask, and what sets connections up.
NOT_COUNTED = {"cmdstat_config|resetstat", "cmdstat_hello", "cmdstat_incr", "cmdstat_info"}


class Member:
    """A process of the crowd."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def hear(self, word: str) -> object:
        """Return what it says next under *word*."""
        assert self.process.stdout is not None
        while True:
            line = await asyncio.wait_for(self.process.stdout.readline(), 20)
            said = json.loads(line)
            if word in said:
                return said[word]

    def tell(self, *words: object) -> None:
        """Send it a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(words).encode() + b"\n")


@asynccontextmanager
async def crowd(endpoint: Endpoint, size: int, *, lease: float) -> AsyncIterator[list[Member]]:
    """Start so many processes that are ready for a stampede."""
    command = (sys.executable, "-m", "tests.caching.stampede", str(endpoint.port), str(lease))
    pipe = asyncio.subprocess.PIPE
    members = [
        Member(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, cwd=ROOT))
        for _ in range(size)
    ]
    try:
        await asyncio.gather(*(member.hear("ready") for member in members))
        yield members
    finally:
        for member in members:
            if member.process.returncode is None:
                member.process.kill()
            await member.process.communicate()


async def ran(client: ValkeyClient) -> dict[str, int]:
    """Return how often the server ran which command since its counters were reset.

    What scripts run inside counts as well.
    """
    return {
        name: int(fields.partition(",")[0].removeprefix("calls="))
        for name, fields in (await client.info("commandstats")).items()
        if name not in NOT_COUNTED
    }


async def test_four_processes_of_a_hundred_callers_cost_the_origin_one_call(
    endpoint: Endpoint, client: ValkeyClient
) -> None:
    """And the server at most 40 commands; nobody waits much longer than the origin takes."""
    async with crowd(endpoint, 4, lease=5) as members:
        await client.execute("CONFIG", "RESETSTAT")

        for member in members:
            member.tell(100, 0.2)
        longest = [await member.hear("longest_s") for member in members]
        calls = await ran(client)

    assert await client.get("origin") == b"1"
    added_ms = (max(map(float, longest)) - 0.2) * 1000  # type: ignore[arg-type]
    print(f"{sum(calls.values())} commands, waiting adds at most {added_ms:.0f} ms: {calls}")
    assert sum(calls.values()) <= 40
    assert added_ms < 150  # 20 on a quiet machine


async def test_when_the_loading_process_is_killed_one_other_loads(
    endpoint: Endpoint, client: ValkeyClient
) -> None:
    """Exactly one more call, and nobody hangs longer than the lease."""
    lease = 1.0
    async with crowd(endpoint, 3, lease=lease) as members:
        holder, *others = members
        holder.tell(20, 30.0)
        await holder.hear("loading")
        for other in others:
            other.tell(20, 0.2)
        await until(lambda: is_awaited(client, "t:~load:metadata:hot"))

        holder.process.kill()
        longest = [await other.hear("longest_s") for other in others]

    assert await client.get("origin") == b"2"
    print(f"the longest wait was {max(map(float, longest)):.2f} s")  # type: ignore[arg-type]
    assert max(map(float, longest)) < lease + 0.2 + 0.5  # type: ignore[arg-type]
