"""What a row of the benchmark has to work with."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from benchmarks.keyspace.contents import Size, reference
from benchmarks.keyspace.figures import Section
from benchmarks.keyspace.processes import Processes
from benchmarks.keyspace.stage import Stage
from benchmarks.micro.cores import Cores

REFERENCE = "reference"
_ATTEMPTS = 3
_QUIET = 0.5  # percent
T = TypeVar("T")


@dataclass(frozen=True)
class Scene:
    """What a row has to work with.

    Attributes:
        stage: The server.
        processes: Starts commands on it.
        cores: Which core each part runs on.
        size: How many keys.
        rounds: How often.
        rng: Draws.
        say: Tells a person how far it is.
        disturbed: For each thing that was timed, the percentage of its time that other
            processes had the server's core when the server wanted it.
    """

    stage: Stage
    processes: Processes
    cores: Cores
    size: Size
    rounds: int
    rng: random.Random
    say: Callable[[str], None]
    disturbed: list[float] = field(default_factory=list)

    def timed(self, prepare: Callable[[], None], work: Callable[[], T]) -> T:
        """Return what *work* returned, which is done again when the machine was too busy.

        That is when other processes had the server's core for more than half a percent of the
        time; at most twice, then the least disturbed one counts. *prepare* goes before each.
        """
        best: tuple[float, T] | None = None
        for _ in range(_ATTEMPTS):
            prepare()
            before, began = self.stage.schedule(), time.monotonic()
            done = work()
            after, ended = self.stage.schedule(), time.monotonic()
            share = 0.0
            if before is not None and after is not None:
                share = after.held_up_since(before) / (ended - began) * 100
            if best is None or share < best[0]:
                best = (share, done)
            if share <= _QUIET:
                break
        assert best is not None  # noqa: S101 # there was at least one attempt
        self.disturbed.append(best[0])
        return best[1]

    def put_back_reference(self) -> None:
        """Let the server hold the reference keyspace and nothing else."""
        if not self.stage.kept(REFERENCE):
            self.say(f"storing {self.size.keys:,} keys")
            self.stage.keep(REFERENCE, reference(self.size))
        self.stage.put_back(REFERENCE)

    def without_peer(self) -> str:
        """Return why valkey-cli cannot be measured, or nothing."""
        return "" if shutil.which("valkey-cli") else "no valkey-cli on this machine"


Row: TypeAlias = Callable[[Scene], list[Section]]
