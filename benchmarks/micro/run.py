"""One run: a server, a worker for each library, and what was asked for, row by row."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.micro import cores as placement
from benchmarks.micro.environments import python_of
from benchmarks.micro.invalidation import Keyspace, clearance_table, time_invalidations
from benchmarks.micro.peers import OURS, PEERS, RAW, Peer
from benchmarks.micro.remote import Remote
from benchmarks.micro.results import Results, circumstances
from benchmarks.micro.rounds import Pace, time_row
from benchmarks.micro.rows import ROWS
from benchmarks.micro.server import Server, running
from benchmarks.micro.stampede import Herds, stampede_tables, time_stampedes
from benchmarks.micro.standings import standings
from benchmarks.micro.tables import Table
from valkeyctl.errors import ValkeyctlError

_HERE = Path(sys.executable)


@dataclass(frozen=True)
class Size:
    """How much is done.

    Attributes:
        pace: Of the rows with rounds.
        keyspace: In which a namespace is invalidated.
        clearings: How often each library does that.
        herds: The stampedes.
    """

    pace: Pace
    keyspace: Keyspace
    clearings: int
    herds: Herds


FULL = Size(Pace(40, 0.1), Keyspace(200_000, 800_000), 5, Herds((25, 100), 5, 3))
QUICK = Size(Pace(6, 0.05), Keyspace(20_000, 80_000), 1, Herds((25,), 1, 1))


@dataclass(frozen=True)
class Plan:
    """What to run.

    Attributes:
        groups: Of rows; see `rows.GROUPS`.
        peers: Names of libraries; the yardstick takes part in any case.
        size: How much.
        seed: Of the order within the rounds.
        cache: Folder of the virtual environments; None runs all in the one of this process.
        server: A valkey-server; None takes the embedded one.
        pin: Whether server and library get a core each.
        beside: Another checkout of valkeyctl to measure as well.
        out: Folder for the results; None prints them only.
    """

    groups: Collection[str]
    peers: Sequence[str]
    size: Size
    seed: int
    cache: Path | None = None
    server: Path | None = None
    pin: bool = True
    beside: Path | None = None
    out: Path | None = None


async def run(plan: Plan) -> Results:
    """Return what was measured, after printing it table by table.

    Raises:
        ValkeyctlError: The server or the yardstick failed; other libraries are left out.
    """
    cores = placement.choose(pin=plan.pin)
    with running(plan.server, cores.server) as server:
        async with _crew(plan, cores.worker) as remotes:
            pace = plan.size.pace
            results = Results(
                circumstances(
                    remotes,
                    server=server.version,
                    cores=str(cores),
                    rounds=pace.rounds,
                    slice_s=pace.seconds,
                    seed=plan.seed,
                )
            )
            await _measure(plan, server, remotes, results)
    return results


async def _measure(plan: Plan, server: Server, remotes: Sequence[Remote], results: Results) -> None:
    rng = random.Random(plan.seed)
    for row in ROWS:
        if row.group in plan.groups:
            server.empty()
            timed = await time_row(row, remotes, server.port, plan.size.pace, rng, _say)
            if timed is None:
                _say(f"{row.name}: left out, for there is no {row.yardstick}")
            else:
                results.timed.append(timed)
                _show(plan, results, standings(timed))
    if "invalidate" in plan.groups:
        size = plan.size
        cleared = await time_invalidations(remotes, server, size.keyspace, size.clearings, _say)
        results.cleared = cleared
        _show(plan, results, [clearance_table(cleared)])
    if "stampede" in plan.groups:
        results.stampedes = await time_stampedes(remotes, server, plan.size.herds, _say)
        _show(plan, results, stampede_tables(results.stampedes))


def _show(plan: Plan, results: Results, tables: Sequence[Table]) -> None:
    for table in tables:
        print(table.text(), end="\n\n", flush=True)
    # Each time, so that a run that is ended leaves what it has.
    if plan.out is not None:
        results.write(plan.out)


@contextlib.asynccontextmanager
async def _crew(plan: Plan, cores: frozenset[int]) -> AsyncIterator[list[Remote]]:
    """Run a worker for each library, in its own environment, as long as the block lasts."""
    peers = [PEERS[name] for name in dict.fromkeys((RAW, *plan.peers))]
    if plan.beside is not None:
        peers.append(Peer(OURS, PEERS[OURS].adapter, plan.beside, f" @{plan.beside.name}"))
    remotes: list[Remote] = []
    try:
        for peer in peers:
            try:
                python = await python_of(peer, plan.cache, _say) if plan.cache else _HERE
                remotes.append(await Remote.start(peer, python, cores))
            except ValkeyctlError as error:
                _say(f"left out: {error}")
        yield remotes
    finally:
        await asyncio.gather(*(remote.end() for remote in remotes))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
