"""Several processes miss one cold key at the same moment: who loads, who asks, who waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import cast

from benchmarks.micro.lock import measuring
from benchmarks.micro.peers import OURS, Peer
from benchmarks.micro.remote import Remote
from benchmarks.micro.server import Server
from benchmarks.micro.tables import Table
from valkeyctl.errors import ToolError

ORIGIN_MS = 200.0
"""What the origin takes."""

COMMANDS = 40
"""Issue 3: the server runs at most this many for four processes of a hundred callers."""

ADDED_MS = 20.0
"""Issue 3: waiting adds less than this to the origin's time."""

_PROCESSES = 4
# Beyond this a caller counts as one that hangs.
_PATIENCE = 15.0
_HEAD_START = 0.3
_AFTERMATH = 0.1
_KILL_AFTER = ORIGIN_MS / 2000


@dataclass(frozen=True)
class Stampede:
    """One stampede.

    Attributes:
        callers: Of each process.
        killed: Whether the process that loaded first was killed at half of the origin's time.
        origin_calls: How often the origin was called, the killed process included.
        commands: What the server ran, without connections being set up.
        setting_up: Commands that set connections up.
        calls: How often which command ran.
        added_p50_ms: Median wait of the callers beyond the origin's time.
        added_max_ms: Longest such wait.
        failed: Callers that got no value within the patience, the killed ones left out.
    """

    callers: int
    killed: bool
    origin_calls: int
    commands: int
    setting_up: int
    calls: Mapping[str, int]
    added_p50_ms: float
    added_max_ms: float
    failed: int


@dataclass(frozen=True)
class Stampedes:
    """All stampedes, by title; which of them are ours; and why others are missing."""

    samples: Mapping[str, Sequence[Stampede]]
    ours: Sequence[str]
    dropped: Mapping[str, str]


@dataclass(frozen=True)
class Herds:
    """What is let loose, and how often.

    Attributes:
        callers: Of each process, one stampede after another.
        rounds: Times each.
        kills: Times with the loading process killed, with the fewest callers.
    """

    callers: Sequence[int]
    rounds: int
    kills: int


class _Processes:
    """Four workers of one library, replaced when they are killed."""

    def __init__(self, peer: Peer, python: Path) -> None:
        self._peer = peer
        self._python = python
        self.remotes: list[Remote] = []

    async def muster(self) -> list[Remote]:
        """Return four that live."""
        missing = _PROCESSES - len(self.remotes)
        ends = await asyncio.gather(
            *(self._recruit() for _ in range(missing)), return_exceptions=True
        )
        for failure in ends:
            if failure is not None:
                raise failure
        return self.remotes

    async def _recruit(self) -> None:
        # Not pinned: four processes on one core would wait for each other.
        self.remotes.append(await Remote.start(self._peer, self._python, frozenset()))

    async def bury(self, remote: Remote) -> None:
        """Take leave of one that was killed."""
        self.remotes.remove(remote)
        await remote.end()

    async def dismiss(self) -> None:
        """End them all."""
        await asyncio.gather(*(remote.end() for remote in self.remotes))


async def time_stampedes(
    crew: Sequence[Remote], server: Server, herds: Herds, say: Callable[[str], None]
) -> Stampedes:
    """Return what stampedes cost with each library, one library after another.

    Args:
        crew: A worker of each library, which tells what it can do; others are started.
        server: Where.
        herds: How many callers and how often.
        say: Takes progress.
    """
    samples: dict[str, list[Stampede]] = {}
    dropped: dict[str, str] = {}
    ours = []
    plan = [(callers, False) for callers in herds.callers for _ in range(herds.rounds)]
    plan += [(min(herds.callers), True)] * herds.kills
    for remote in crew:
        arms = remote.introduction["herds"]
        if remote.peer.name == OURS:
            ours += [arm + remote.peer.label for arm in arms]
        processes = _Processes(remote.peer, remote.python)
        try:
            for arm in arms:
                title = arm + remote.peer.label
                for callers, kill in plan:
                    say(f"stampede: {title}, 4 x {callers}{', the holder killed' if kill else ''}")
                    sample = await _stampede(processes, arm, server, callers, kill=kill)
                    samples.setdefault(title, []).append(sample)
        except ToolError as error:
            dropped[remote.peer.name + remote.peer.label] = str(error)
        finally:
            await processes.dismiss()
    server.empty()
    return Stampedes(samples, ours, dropped)


async def _stampede(
    processes: _Processes, arm: str, server: Server, callers: int, *, kill: bool
) -> Stampede:
    server.empty()
    remotes = list(await processes.muster())
    await asyncio.gather(*(each.ask("gather", arm, port=server.port) for each in remotes))
    loop = asyncio.get_running_loop()
    victims: list[Remote] = []
    origin_calls = 0

    def ears(remote: Remote) -> Callable[[str], None]:
        def heard(_: str) -> None:
            nonlocal origin_calls
            origin_calls += 1
            if kill and not victims:
                victims.append(remote)
                loop.call_later(_KILL_AFTER, remote.kill)

        return heard

    async with measuring():
        before = server.counts()
        request = {
            "callers": callers,
            "origin_s": ORIGIN_MS / 1000,
            "patience_s": _PATIENCE,
            "at": time.monotonic() + _HEAD_START,
        }
        answers = await asyncio.gather(
            *(each.ask("stampede", arm, heard=ears(each), **request) for each in remotes),
            return_exceptions=True,
        )
        await asyncio.sleep(_AFTERMATH)
        spent = server.counts().since(before)
    waits: list[float] = []
    failed = 0
    for remote, answer in zip(remotes, answers, strict=True):
        if remote in victims:
            await processes.bury(remote)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            waits += cast("list[float]", answer["waits_ms"])
            failed += cast("int", answer["failed"])
            await remote.ask("scatter", arm)
    return Stampede(
        callers=callers,
        killed=kill,
        origin_calls=origin_calls,
        commands=spent.total - spent.setting_up,
        setting_up=spent.setting_up,
        calls=spent.calls,
        added_p50_ms=median(waits) - ORIGIN_MS,
        added_max_ms=max(waits) - ORIGIN_MS,
        failed=failed,
    )


def stampede_tables(found: Stampedes) -> list[Table]:
    """Return a table for each number of callers, and one for the killed holder."""
    cases = dict.fromkeys(
        (sample.callers, sample.killed) for samples in found.samples.values() for sample in samples
    )
    return [_table(found, callers, killed=killed) for callers, killed in cases]


def _table(found: Stampedes, callers: int, *, killed: bool) -> Table:
    rows = []
    notes = []
    count = 0
    for title, all_samples in found.samples.items():
        samples = [each for each in all_samples if (each.callers, each.killed) == (callers, killed)]
        if not samples:
            continue
        count = max(count, len(samples))
        rows.append(
            (
                title,
                f"{max(each.origin_calls for each in samples)}",
                f"{max(each.commands for each in samples):,}",
                f"{max(each.setting_up for each in samples):,}",
                f"{median(each.added_p50_ms for each in samples):+,.0f}",
                f"{max(each.added_max_ms for each in samples):+,.0f}",
                f"{sum(each.failed for each in samples)}",
            )
        )
        if title in found.ours:
            notes.append(f"{title}: {_verdicts(samples, killed=killed)}.")
    herd = f"{_PROCESSES} processes x {callers} callers miss one key, origin {ORIGIN_MS:g} ms"
    notes.append(
        f"n = {count} each. Origin calls, commands and set-up (commands that set connections "
        "up): the most seen. p50, max: waits beyond the origin's time, the median of the "
        "medians and the longest. Failed: callers that got no value, all together."
    )
    notes += [f"{title}: {reason}." for title, reason in found.dropped.items()]
    return Table(
        f"{herd}, holder killed" if killed else herd,
        ("", "origin", "commands", "set-up", "p50 ms", "max ms", "failed"),
        rows,
        notes,
    )


def _verdicts(samples: Sequence[Stampede], *, killed: bool) -> str:
    calls = max(each.origin_calls for each in samples)
    if killed:
        failed = sum(each.failed for each in samples)
        return f"at most 2 origin calls: {_word(calls <= 2)}; nobody hangs: {_word(failed == 0)}"
    commands = max(each.commands for each in samples)
    added = median(each.added_max_ms for each in samples)
    return (
        f"1 origin call: {_word(calls == 1)}; at most {COMMANDS} commands: "
        f"{_word(commands <= COMMANDS)}; adds under {ADDED_MS:g} ms: {_word(added < ADDED_MS)}"
    )


def _word(holds: bool) -> str:  # a single truth
    return "PASS" if holds else "MISS"
