"""Which stage is played when: warm-up, pilot, rounds, and what is counted between them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from valkeyctl.bench.arm import Node
from valkeyctl.bench.load.blocks import (
    WARMUP,
    Stage,
    block_size,
    cut,
    pilot_users,
    requests_that_fit,
    rounds_that_fit,
    stages,
)
from valkeyctl.bench.load.orders import Orders
from valkeyctl.bench.load.player import Player
from valkeyctl.bench.load.record import STAGES_FILE
from valkeyctl.bench.traffic.stream import survey

# How many times its duration a run may take before it ends with the rounds it has; and how
# long any run may.
_LIMIT, _LEAST_LIMIT = 4.0, 60.0


class Tell(Protocol):
    """Says something to the parent process."""

    def __call__(self, **message: Node) -> None:
        """Send *message*, a JSON object with an ``event``."""


class Conductor:
    """Has the stages of a plan played, one after another.

    Args:
        orders: Plan and folder.
        player: Plays a stage.
        origin: Returns what the server of an arm has counted as calls to its origin.
        tell: Tells the parent; see `Orders.progress_fd`.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        orders: Orders,
        player: Player,
        origin: Callable[[int], int | None],
        tell: Tell,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._orders = orders
        self._plan = orders.plan
        self._player = player
        self._origin = origin
        self._tell = tell
        self._clock = clock
        # Of a request in each arm, by the last stage that was played there.
        self._seconds = [0.0] * len(orders.plan.arms)

    def conduct(self) -> bool:
        """Play the whole plan; False when the warm-up had no right answer in any arm."""
        plan = self._plan
        rates = [self._warm_up(arm) for arm in range(len(plan.arms))] if plan.warmup else []
        tally = self._player.tally()
        if tally.samples and tally.failed == tally.samples:
            return False
        self._seconds = [1 / rate if rate else 0.0 for rate in rates] or self._seconds
        # An arm whose pilot had no right answer has no rate; one a second is a start. Only a
        # locustfile, whose users decide themselves, may be without a pilot.
        usable = [rate or 1.0 for rate in rates] or [1.0] * len(plan.arms)
        rounds = self._rounds(usable) if rates else plan.rounds
        requests = self._requests(usable, rounds)
        fit = requests_that_fit(plan, rates, self._player.held(), rounds)
        if fit is not None and fit < requests:
            self._tell(
                event="shortened",
                text=f"At {plan.rate:,.0f} requests a second the run would have taken far longer "
                f"than {plan.duration:g} s here, so {fit:,} of {requests:,} requests of each arm "
                "were played.",
            )
            requests = fit
        sizes = cut(requests, rounds)
        self._player.begin(sizes)
        self._tell(event="sizes", sizes=[*sizes], samples=tally.samples)
        begin, last = self._clock(), 0
        with (self._orders.folder / STAGES_FILE).open("w", encoding="utf-8") as log:
            for stage in stages(sizes, len(plan.arms)):
                if stage.round != last and self._overdue(self._clock() - begin, stage.round):
                    break
                last = stage.round
                log.write(json.dumps(self._measure(stage)) + "\n")
                log.flush()
        return True

    def _overdue(self, elapsed: float, played: int) -> bool:
        """Say whether the run has taken so long that it ends with the rounds it has.

        One that says how many requests it has, or a trace, takes as long as it takes.
        """
        plan = self._plan
        if plan.requests is not None or plan.trace is not None:
            return False
        if elapsed < max(_LEAST_LIMIT, _LIMIT * plan.duration):
            return False
        self._tell(
            event="shortened",
            text=f"The run had taken {elapsed:,.0f} s where {plan.duration:g} s were asked for, so "
            f"it ended after round {played}.",
        )
        return True

    def _warm_up(self, arm: int) -> float:
        seconds = self._plan.warmup / len(self._plan.arms)
        self._tell(event="stage", arm=arm, round=WARMUP, size=0, seconds=seconds)
        return self._player.warm_up(arm, seconds)

    def _rounds(self, rates: Sequence[float]) -> int:
        """Return how many rounds are played; *rates* are what the pilot reached."""
        plan = self._plan
        if not (plan.fewer_rounds and rates):
            return plan.rounds
        return rounds_that_fit(rates, plan.duration, plan.rounds, pilot_users(plan))

    def _requests(self, rates: Sequence[float], rounds: int) -> int:
        """Return how many requests each arm plays; *rates* are what the pilot reached."""
        plan = self._plan
        known = survey(plan).requests
        if known is not None:
            return known
        if plan.rate is not None:
            return max(rounds, round(plan.rate * plan.duration / len(plan.arms)))
        return rounds * block_size(rates, plan.duration, rounds, plan.users)

    def _measure(self, stage: Stage) -> dict[str, Node]:
        """Return the line of stages.jsonl that tells of *stage*."""
        arm = stage.arm
        scheduled = self._player.prepare(stage)
        expected = stage.size * self._seconds[arm] if scheduled is None else scheduled
        before = self._origin(arm)
        # Last, so that a fault which the parent times by it comes when it should.
        self._tell(event="stage", arm=arm, round=stage.round, size=stage.size, seconds=expected)
        played = self._player.play(stage)
        after = self._origin(arm)
        size = stage.size if played.requests is None else played.requests
        self._seconds[arm] = (played.end - played.begin) / max(1, size)
        counted = before is not None and after is not None and after >= before
        return {
            "arm": arm,
            "round": stage.round,
            "size": size,
            "begin": played.begin,
            "end": played.end,
            # A server that was started anew in between counts from zero, which tells nothing.
            "origin_calls": (after or 0) - (before or 0) if counted else None,
            "cpu": played.cpu,
            "lateness_p99_ms": played.lateness_p99_ms,
        }
