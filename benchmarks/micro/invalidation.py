"""A namespace of many keys in a larger keyspace is made unreadable: what it costs whom."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.micro.lock import measuring
from benchmarks.micro.peers import OURS
from benchmarks.micro.remote import REPOSITORY, Remote
from benchmarks.micro.server import Server
from benchmarks.micro.tables import Table, short
from valkeyctl.errors import ToolError

SECONDS = 0.001
"""Issue 3: it takes at most this long."""

PING_MS = 2.0
"""Issue 3: nobody else waits longer for a PING meanwhile."""

_IDLE = 0.5
_AFTERMATH = 0.1


@dataclass(frozen=True)
class Keyspace:
    """How many keys there are.

    Attributes:
        cleared: In the namespace that is invalidated.
        others: Of nobody's, beside them.
    """

    cleared: int
    others: int


@dataclass(frozen=True)
class Cleared:
    """One invalidation.

    Attributes:
        seconds: Until the call returned.
        worst_ping_ms: Longest that another client waited for a PING from its beginning to
            a tenth of a second after its end.
        idle_ping_ms: Longest such wait in the half second before, when nothing went on.
        commands: What the server ran for it, without PINGs and connections being set up.
        keys_left: Keys of the namespace that are still stored.
        served: Entries of a sample of two hundred that the library still returns.
    """

    seconds: float
    worst_ping_ms: float
    idle_ping_ms: float
    commands: int
    keys_left: int
    served: int


@dataclass(frozen=True)
class Clearances:
    """All invalidations: by title, one a round; and which of them are ours."""

    samples: Mapping[str, Sequence[Cleared]]
    ours: Sequence[str]
    dropped: Mapping[str, str]
    keyspace: Keyspace


class _Pinger:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def stop(self) -> list[tuple[float, float]]:
        """Return when each PING was sent, and the milliseconds until its answer."""
        written, _ = await self._process.communicate(b"\n")
        return [(began, ms) for began, ms in json.loads(written.splitlines()[-1])]


@contextlib.asynccontextmanager
async def _pinging(port: int) -> AsyncIterator[_Pinger]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.micro.pinger", str(port)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=REPOSITORY,
        limit=2**26,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None  # noqa: S101 # it was asked for
        if not await process.stdout.readline():
            raise ToolError("the process that PINGs ended before it began")
        yield _Pinger(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def time_invalidations(
    remotes: Sequence[Remote],
    server: Server,
    keyspace: Keyspace,
    rounds: int,
    say: Callable[[str], None],
) -> Clearances:
    """Return what each library's invalidations cost, *rounds* times each, in turn."""
    samples: dict[str, list[Cleared]] = {}
    dropped: dict[str, str] = {}
    ours = []
    for number in range(rounds):
        for remote in remotes:
            for arm in remote.introduction["clearings"]:
                title = arm + remote.peer.label
                if title in dropped:
                    continue
                say(f"invalidate: round {number + 1} of {rounds}, {title}")
                try:
                    cleared = await _clear(remote, arm, server, keyspace)
                except ToolError as error:
                    dropped[title] = str(error)
                    continue
                samples.setdefault(title, []).append(cleared)
                if remote.peer.name == OURS and title not in ours:
                    ours.append(title)
    server.empty()
    return Clearances(samples, ours, dropped, keyspace)


async def _clear(remote: Remote, arm: str, server: Server, keyspace: Keyspace) -> Cleared:
    server.empty(keyspace.others)
    filled = await remote.ask("fill", arm, port=server.port, keys=keyspace.cleared)
    if filled["served"] != 200 or server.keys() < keyspace.others + keyspace.cleared:
        raise ToolError(f"{arm} could not be filled: it serves {filled['served']} of 200")
    async with measuring(), _pinging(server.port) as pinger:
        await asyncio.sleep(_IDLE)
        before = server.counts()
        answer = await remote.ask("clear", arm)
        spent = server.counts().since(before)
        await asyncio.sleep(_AFTERMATH)
        pings = await pinger.stop()
    began, ended = float(str(answer["began"])), float(str(answer["ended"]))
    over = ended + _AFTERMATH
    left = server.keys() - keyspace.others
    served = await remote.ask("served", arm)
    return Cleared(
        seconds=ended - began,
        worst_ping_ms=max(ms for sent, ms in pings if sent + ms / 1000 >= began and sent <= over),
        idle_ping_ms=max(ms for sent, ms in pings if sent + ms / 1000 < began),
        commands=spent.total - spent.setting_up - spent.calls.get("ping", 0),
        keys_left=left,
        served=int(str(served["served"])),
    )


def clearance_table(found: Clearances) -> Table:
    """Return what clearing cost, in each way; ours against the targets."""
    keyspace = found.keyspace
    rows = []
    notes = []
    for title, samples in found.samples.items():
        seconds = median(sample.seconds for sample in samples)
        ping = median(sample.worst_ping_ms for sample in samples)
        idle = median(sample.idle_ping_ms for sample in samples)
        rows.append(
            (
                title,
                short(seconds * 1000),
                short(ping),
                short(idle),
                f"{median(sample.commands for sample in samples):,.0f}",
                f"{max(sample.keys_left for sample in samples):,}",
                f"{max(sample.served for sample in samples)}",
            )
        )
        if title in found.ours:
            quick = "PASS" if seconds < SECONDS else "MISS"
            calm = "PASS" if ping <= PING_MS else "MISS"
            if calm == "MISS" and idle > PING_MS:
                calm = "MISS?, for an idle server took as long"
            notes.append(
                f"{title}: under {SECONDS * 1000:g} ms: {quick}; "
                f"worst PING at most {PING_MS:g} ms: {calm}."
            )
    rounds = max((len(samples) for samples in found.samples.values()), default=0)
    notes.append(
        f"Medians of n = {rounds}. PING: the worst of another client meanwhile, in ms; idle: "
        "in the half second before. Left: keys still stored, the most seen. Served: entries of "
        "a sample of 200 that the library still returns, the most seen."
    )
    notes += [f"{title}: {reason}." for title, reason in found.dropped.items()]
    return Table(
        f"Invalidate {keyspace.cleared:,} of {keyspace.cleared + keyspace.others:,} keys",
        ("", "ms", "PING", "idle", "cmds", "left", "served"),
        rows,
        notes,
    )
