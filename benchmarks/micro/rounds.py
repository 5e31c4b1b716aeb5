"""Rounds: in each one every library does a slice of the work, one after another.

The yardstick goes first and last, so that what the machine did in between shows; the
others go in a random order, so that none always follows the same one.
"""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from benchmarks.micro.lock import measuring
from benchmarks.micro.peers import OURS, RAW
from benchmarks.micro.remote import Remote
from benchmarks.micro.rows import Figure, Row
from benchmarks.micro.timing import Slice
from valkeyctl.errors import ToolError

_SAY_EVERY = 10


@dataclass(frozen=True)
class Pace:
    """How long a row takes.

    Attributes:
        rounds: Rounds that count; one more goes before them and is thrown away.
        seconds: Of one slice.
    """

    rounds: int
    seconds: float


@dataclass
class Timed:
    """The slices of one row.

    Attributes:
        row: Which row.
        first: The yardstick's slices at the beginning of each round.
        last: Those at its end.
        arms: The other arms' slices, by title, a slice a round.
        ours: Titles of valkeyctl's arms.
        rivals: Titles of those that valkeyctl is compared with: of peers, and asynchronous.
        dropped: Why an arm has none, by title.
    """

    row: Row
    first: list[Slice] = field(default_factory=list)
    last: list[Slice] = field(default_factory=list)
    arms: dict[str, list[Slice]] = field(default_factory=dict)
    ours: list[str] = field(default_factory=list)
    rivals: list[str] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)

    def yardstick(self, figure: Figure) -> list[float]:
        """Return the yardstick's figure in each round: the geometric mean of its two slices."""
        return [
            math.sqrt(value(first, figure) * value(last, figure))
            for first, last in zip(self.first, self.last, strict=True)
        ]

    def values(self, title: str, figure: Figure) -> list[float]:
        """Return the figure of an arm in each round."""
        if title == self.row.yardstick:
            return self.yardstick(figure)
        return [value(each, figure) for each in self.arms[title]]

    def ratios(self, title: str, figure: Figure, to: str | None = None) -> list[float]:
        """Return, round by round, the figure of an arm over that of *to*, or of the yardstick."""
        under = self.values(to, figure) if to else self.yardstick(figure)
        return [over / one for over, one in zip(self.values(title, figure), under, strict=True)]

    def drift(self, figure: Figure) -> list[float]:
        """Return, round by round, the yardstick's last slice over its first."""
        return [
            value(last, figure) / value(first, figure)
            for first, last in zip(self.first, self.last, strict=True)
        ]


def value(measured: Slice, figure: Figure) -> float:
    """Return one figure of a slice."""
    return float(getattr(measured, figure))


@dataclass(frozen=True)
class _Entrant:
    title: str
    arm: str
    remote: Remote
    count: int

    async def slice(self, row: Row) -> Slice:
        answer = await self.remote.ask(
            "slice",
            self.arm,
            callers=row.callers,
            span=row.span,
            batch=row.batch,
            count=self.count,
        )
        return Slice(**cast("dict[str, int]", answer))


async def time_row(
    row: Row,
    remotes: Sequence[Remote],
    port: int,
    pace: Pace,
    rng: random.Random,
    say: Callable[[str], None],
) -> Timed | None:
    """Return the slices of *row*; None when its yardstick is not there.

    Raises:
        ToolError: The yardstick failed; another library that fails is only dropped.
    """
    timed = Timed(row)
    say(f"{row.name}: warming up")
    entrants = await _enter(row, remotes, port, pace, timed)
    try:
        yardstick = entrants.pop(row.yardstick, None)
        if yardstick is None:
            return None
        await _round(yardstick, entrants, Timed(row), rng, timed.dropped)  # everything settles
        for number in range(pace.rounds):
            if number % _SAY_EVERY == 0:
                say(f"{row.name}: round {number + 1} of {pace.rounds}")
            await _round(yardstick, entrants, timed, rng, timed.dropped)
    finally:
        await _leave(row, remotes)
    for title in timed.dropped:
        timed.arms.pop(title, None)
    return timed


async def _enter(
    row: Row, remotes: Sequence[Remote], port: int, pace: Pace, timed: Timed
) -> dict[str, _Entrant]:
    entrants = {}
    for remote in remotes:
        for arm, works in remote.introduction["arms"].items():
            title = arm + remote.peer.label
            missing = remote.introduction["missing"].get(arm, {}).get(row.work)
            if missing:
                timed.dropped[title] = missing
            if row.work not in works:
                continue
            try:
                await remote.ask("open", arm, row=row.work, port=port)
                async with measuring():
                    answer = await remote.ask(
                        "calibrate",
                        arm,
                        callers=row.callers,
                        span=row.span,
                        seconds=pace.seconds,
                    )
            except ToolError as error:
                timed.dropped[title] = str(error)
                continue
            if remote.peer.name == OURS:
                timed.ours.append(title)
            elif remote.peer.name != RAW and arm not in remote.introduction["blocking"]:
                timed.rivals.append(title)
            entrants[title] = _Entrant(title, arm, remote, int(str(answer["count"])))
    return entrants


async def _round(
    yardstick: _Entrant,
    entrants: dict[str, _Entrant],
    timed: Timed,
    rng: random.Random,
    dropped: dict[str, str],
) -> None:
    row = timed.row
    async with measuring():
        timed.first.append(await yardstick.slice(row))
        for entrant in rng.sample(list(entrants.values()), len(entrants)):
            try:
                measured = await entrant.slice(row)
            except ToolError as error:
                del entrants[entrant.title]
                dropped[entrant.title] = str(error)
            else:
                timed.arms.setdefault(entrant.title, []).append(measured)
        timed.last.append(await yardstick.slice(row))


async def _leave(row: Row, remotes: Sequence[Remote]) -> None:
    for remote in remotes:
        for arm, works in remote.introduction["arms"].items():
            if row.work in works:
                # A library that cannot even close has been dropped already.
                with contextlib.suppress(ToolError):
                    await remote.ask("close", arm)
