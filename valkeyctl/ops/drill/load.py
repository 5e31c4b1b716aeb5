"""The load of a drill: writers and readers that feel what clients feel.

Two pairs run side by side, because they answer different questions. The *direct* pair
speaks to the primary over one plain connection per shard, asks who the primary is after
each failure, and never sends a command twice: what it counts as acknowledged the server
acknowledged, and no library's retry can hide an error. The *client* pair is
`ValkeyClient`, with its breaker, its Sentinel and Cluster following: what an application
feels. A gap of the second beyond that of the first is reconnecting, not failing over.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from valkeyctl.caching import ValkeyClient
from valkeyctl.caching.wire import Wire
from valkeyctl.errors import ServerReplyError, ValkeyctlError
from valkeyctl.ops.drill.shards import Finder, Shard
from valkeyctl.ops.drill.tally import Tally

KEY_LIFE = 1800.0  # seconds: longer than any drill, so that nothing expires before it is read
SILENCE = 0.25  # seconds that a server may be silent before a call counts as failed
_AFTER_ERROR = 0.02  # seconds until the next try, and so how precise the end of a gap is
_WAIT_MS = 200  # for replicas to confirm a write
_CLIENT_DEADLINE = 0.5
_END = 5.0
# The server refused the write and is still the one to ask.
_STAY = frozenset({"OOM", "NOREPLICAS", "MISCONF"})


class KeyNames:
    """What the keys of one drill are called.

    Args:
        app: First part of every key.
        run: A word that no other drill has.
    """

    def __init__(self, app: str, run: str) -> None:
        self.prefix = f"{app}:~drill:{run}:"

    def key(self, name: int | str) -> bytes:
        """Return the key of a numbered write."""
        return f"{self.prefix}{name}".encode()


class _Pace:
    """Calls at a rate, without catching up on those that were missed."""

    def __init__(self, rate: float) -> None:
        self._interval = 1 / rate
        self._next = time.monotonic()

    def pause(self) -> float:
        """Return the seconds until the next call."""
        now = time.monotonic()
        self._next = max(self._next + self._interval, now)
        return self._next - now


class DirectProbe:
    """Writes the numbered keys of one shard, and reads the last one, each in a thread.

    Attributes:
        shard: Whose keys.
        writes: What the writer felt.
        reads: What the reader felt.
        acknowledged: Numbers whose write was acknowledged, and whether enough replicas
            confirmed it; in order.
        stale: Reads that did not see a write acknowledged before they were sent.
    """

    def __init__(
        self, finder: Finder, shard: Shard, names: KeyNames, *, rate: float, confirm: int
    ) -> None:
        self.shard = shard
        self.writes = Tally()
        self.reads = Tally()
        self.acknowledged: dict[int, bool] = {}
        self.stale = 0
        self._finder = finder
        self._names = names
        self._rate = rate
        self._confirm = confirm
        self._number = -1
        self._last: int | None = None

    def write(self, ending: threading.Event) -> None:
        """Write until *ending*; runs in a thread of its own."""
        self._repeat(ending, self.writes, self._write_next)

    def sent(self) -> list[bytes]:
        """Return the keys of all writes, whether or not they were acknowledged."""
        return _owned_up_to(self.shard, self._number, self._names.key)

    def read(self, ending: threading.Event) -> None:
        """Read until *ending*; runs in a thread of its own."""
        self._repeat(ending, self.reads, self._read_last)

    def _repeat(self, ending: threading.Event, tally: Tally, call: Callable[[Wire], None]) -> None:
        pace = _Pace(self._rate)
        wire: Wire | None = None
        news = self._finder.news
        try:
            while not ending.is_set():
                pause = pace.pause()
                if wire is not None and news != self._finder.news:
                    wire.close()
                    wire = None
                try:
                    if wire is None:
                        news = self._finder.news
                        wire = Wire(self._finder.primary(self.shard), timeout=SILENCE)
                        wire.open()
                    call(wire)
                except ValkeyctlError as error:
                    tally.error(error)
                    pause = max(pause, _AFTER_ERROR)
                    if wire is not None and not _may_stay(error):
                        wire.close()
                        wire = None
                ending.wait(pause)
        finally:
            if wire is not None:
                wire.close()

    def _write_next(self, wire: Wire) -> None:
        number = self._number = _next_owned(self.shard, self._number, self._names.key)
        wire.call("SET", self._names.key(number), number, "PX", round(KEY_LIFE * 1000))
        # Counted before replicas are asked: should that fail, the write was acknowledged.
        self.writes.answer()
        self.acknowledged[number] = False
        self._last = number
        if self._confirm:
            confirmed = wire.call("WAIT", self._confirm, _WAIT_MS)
            self.acknowledged[number] = isinstance(confirmed, int) and confirmed >= self._confirm

    def _read_last(self, wire: Wire) -> None:
        number = self._last
        if number is None:
            wire.call("PING")
        elif wire.call("GET", self._names.key(number)) != str(number).encode():
            self.stale += 1
        self.reads.answer()


class ClientProbe:
    """Writes the numbered keys of one shard, and reads the last one, through `ValkeyClient`.

    Attributes:
        shard: Whose keys.
        writes: What the writer felt.
        reads: What the reader felt.
        acknowledged: Numbers whose write was acknowledged, in order.
    """

    def __init__(self, shard: Shard, names: KeyNames, *, rate: float) -> None:
        self.shard = shard
        self.writes = Tally()
        self.reads = Tally()
        self.acknowledged: list[int] = []
        self._names = names
        self._rate = rate
        self._number = -1

    def key(self, number: int) -> bytes:
        """Return the key of a write; none that a direct probe writes."""
        return self._names.key(f"c{number}")

    def sent(self) -> list[bytes]:
        """Return the keys of all writes, whether or not they were acknowledged."""
        return _owned_up_to(self.shard, self._number, self.key)

    async def run(self, client: ValkeyClient, ending: threading.Event) -> None:
        """Write and read until *ending*."""
        await asyncio.gather(
            self._repeat(ending, self.writes, lambda: self._write_next(client)),
            self._repeat(ending, self.reads, lambda: self._read_last(client)),
        )

    async def _repeat(
        self, ending: threading.Event, tally: Tally, call: Callable[[], Awaitable[None]]
    ) -> None:
        pace = _Pace(self._rate)
        while not ending.is_set():
            pause = pace.pause()
            try:
                await call()
                tally.answer()
            except ValkeyctlError as error:
                tally.error(error)
            await asyncio.sleep(pause)

    async def _write_next(self, client: ValkeyClient) -> None:
        number = self._number = _next_owned(self.shard, self._number, self.key)
        # Not idempotent, as far as the client knows: it is never sent twice.
        await client.execute("SET", self.key(number), number, "PX", round(KEY_LIFE * 1000))
        self.acknowledged.append(number)

    async def _read_last(self, client: ValkeyClient) -> None:
        if self.acknowledged:
            await client.execute("GET", self.key(self.acknowledged[-1]))
        else:
            await client.ping()


class Load:
    """All probes of a drill, running from entering to leaving it.

    Args:
        finder: Who takes the writes.
        names: Of the keys.
        rate: Writes a second of each pair, and as many reads; on a Cluster over all shards.
        confirm: Replicas that must confirm a write for it to count as confirmed; 0 asks none.

    Attributes:
        direct: A probe per shard.
        client: Likewise; all of them use one `ValkeyClient`.
    """

    def __init__(self, finder: Finder, names: KeyNames, *, rate: float, confirm: int) -> None:
        shards = finder.shards()
        self.names = names
        self._endpoint = finder.endpoint
        share = rate / len(shards)
        self.direct = [
            DirectProbe(finder, shard, names, rate=share, confirm=confirm) for shard in shards
        ]
        self.client = [ClientProbe(shard, names, rate=share) for shard in shards]
        self._ending = threading.Event()
        self._failures: list[BaseException] = []
        calls = [self._run_client]
        for probe in self.direct:
            calls += [probe.write, probe.read]
        self._threads = [
            threading.Thread(target=self._guarded, args=(call,), name="drill", daemon=True)
            for call in calls
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if error is None and self._failures:
            raise self._failures[0]

    def stop(self) -> None:
        """End all probes; does nothing when they have ended."""
        self._ending.set()
        for thread in self._threads:
            thread.join(_END)

    def written(self) -> dict[bytes, bytes]:
        """Return key and value of every acknowledged write."""
        found: dict[bytes, bytes] = {}
        for probe in self.client:
            found.update({probe.key(n): b"%d" % n for n in list(probe.acknowledged)})
        for other in self.direct:
            found.update({self.names.key(n): b"%d" % n for n in list(other.acknowledged)})
        return found

    def sent(self) -> set[bytes]:
        """Return the keys of all writes, those too that nobody acknowledged.

        A server that hangs has them in its buffer, and writes them when it goes on.
        """
        probes: list[DirectProbe | ClientProbe] = [*self.direct, *self.client]
        return {key for probe in probes for key in probe.sent()}

    def confirmed(self) -> set[bytes]:
        """Return the keys whose write replicas confirmed."""
        return {
            self.names.key(number)
            for probe in self.direct
            for number, confirmed in list(probe.acknowledged.items())
            if confirmed
        }

    @property
    def tallies(self) -> list[Tally]:
        """What every probe has felt."""
        probes: list[DirectProbe | ClientProbe] = [*self.direct, *self.client]
        return [tally for probe in probes for tally in (probe.writes, probe.reads)]

    def _run_client(self, ending: threading.Event) -> None:
        asyncio.run(self._client_probes(ending))

    async def _client_probes(self, ending: threading.Event) -> None:
        async with ValkeyClient(self._endpoint, deadline=_CLIENT_DEADLINE) as client:
            await asyncio.gather(*(probe.run(client, ending) for probe in self.client))

    def _guarded(self, call: Callable[[threading.Event], None]) -> None:
        try:
            call(self._ending)
        except BaseException as failure:  # noqa: BLE001 - a bug; raised where the drill ends
            self._failures.append(failure)


def _may_stay(error: ValkeyctlError) -> bool:
    """Say whether the connection may be used again after *error*."""
    return isinstance(error, ServerReplyError) and error.reply in _STAY


def _next_owned(shard: Shard, number: int, key: Callable[[int], bytes]) -> int:
    """Return the next number after *number* whose key belongs to *shard*."""
    while True:
        number += 1
        if shard.owns(key(number)):
            return number


def _owned_up_to(shard: Shard, number: int, key: Callable[[int], bytes]) -> list[bytes]:
    """Return the keys of the numbers up to *number* that belong to *shard*."""
    return [name for name in map(key, range(number + 1)) if shard.owns(name)]
