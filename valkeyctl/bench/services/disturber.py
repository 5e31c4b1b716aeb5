"""Faults in the middle of a run: made at their moment in every arm, and always undone.

A fault is made while the load goes on, so each has a thread of its own. What it left in
force at the end of its block is undone then: it must not weigh on another arm.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from valkeyctl.bench.arm import Node
from valkeyctl.bench.load.blocks import cut, order
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.services.target import Fault
from valkeyctl.errors import ToolError

_POLL = 0.05


@dataclass
class Disturbed:
    """One fault that was made.

    Attributes:
        kind: Which one.
        arm: Name of the arm whose block it was made in.
        round: Of that block, from 0.
        at_s: When it was made, on the samples' clock.
        undone_s: When it was undone; None when it could not be.
        made: What was done.
        undone: What was done to undo it.
    """

    kind: str
    arm: str
    round: int
    at_s: float
    undone_s: float | None = None
    made: str = ""
    undone: str = ""

    def to_json(self) -> dict[str, Node]:
        """Return plain data."""
        return asdict(self)


class Disturber:
    """Makes the fault of a scenario in every arm's block of the middle round.

    Args:
        plan: With a scenario that has one.
        faults: From an arm's index to its fault, with nothing done yet.
        clock: The samples' clock; all processes of a machine read the same one.

    Attributes:
        made: The faults so far.
    """

    def __init__(
        self,
        plan: Plan,
        faults: Callable[[int], Fault],
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if plan.scenario.during is None:
            raise AssertionError("a run without a fault needs no disturber")
        self.made: list[Disturbed] = []
        self._plan = plan
        self._during = plan.scenario.during
        self._round = plan.rounds // 2
        self._faults = faults
        self._clock = clock
        self._one: _Making | None = None

    def check(self) -> None:
        """Prove that the fault can be made in every arm; nothing is done yet.

        Raises:
            ValkeyctlError: It cannot; now is better than in the middle of the run.
        """
        for arm in range(len(self._plan.arms)):
            self._faults(arm)

    def observe(self, arm: str, number: int, done: int, total: int, seconds: float) -> None:
        """Take in how far the run is; make the fault when it is time.

        That is when the share of the block's requests, or of its time where that is
        known beforehand, has passed: whichever comes first. In an open loop it is the
        time: its samples may be of requests that earlier blocks have sent ahead.

        Args:
            arm: Name of the arm that plays.
            number: Its round, from 0.
            done: Samples so far, all arms together.
            total: How many there will be.
            seconds: How long this block will take, about; 0 when nobody knows.

        Raises:
            ValkeyctlError: The last fault could not be made, or not be undone.
            ToolError: A block was over before its fault could be made.
        """
        block = (arm, number)
        if self._one is not None and self._one.block != block:
            self._finish(self._one)
        if number != self._round:
            return
        index = [one.name for one in self._plan.arms].index(arm)
        if self._one is None:
            if any((one.arm, one.round) == block for one in self.made):
                return
            self._one = _Making(
                block,
                lambda: self._faults(index),
                self._during.kind,
                self.made,
                self._clock,
                wait=self._during.at * seconds if seconds else None,
            )
            self._one.start()
        scheduled = self._plan.load_model == "open" and seconds > 0
        played = _share(len(self._plan.arms), index, number, self._plan.rounds, done, total)
        if not scheduled and played >= self._during.at:
            self._one.due.set()
        if self._one.failure is not None:
            self._finish(self._one)

    def complete(self) -> None:
        """Return when the last fault is undone; to be called when the plan was played whole.

        Raises:
            ValkeyctlError: As `observe`.
            ToolError: A block was so short that nobody heard of it.
        """
        if self._one is not None:
            self._finish(self._one)
        made = {one.arm for one in self.made}
        for arm in self._plan.arms:
            if arm.name not in made:
                raise _too_short(arm.name, self._round)

    def end(self) -> None:
        """Undo what is in force, whatever has happened; raises nothing."""
        if self._one is not None:
            self._one.stop()

    def _finish(self, one: _Making) -> None:
        one.stop()
        self._one = None  # not before: a Ctrl-C meanwhile must leave it for `end` to undo
        if one.failure is not None:
            raise one.failure
        if not one.begun:
            raise _too_short(*one.block)


def _too_short(arm: str, number: int) -> ToolError:
    return ToolError(
        f"the block of arm {arm!r} in round {number + 1} was over before its fault could be made",
        hint="Make the blocks longer: a longer --duration, or fewer --rounds",
    )


def _share(arms: int, arm: int, number: int, rounds: int, done: int, total: int) -> float:
    """Return how much of the block of *arm* in round *number* is done, as a share."""
    sizes = cut(total // arms, rounds)
    before = arms * sum(sizes[:number]) + order(number, arms).index(arm) * sizes[number]
    return (done - before) / max(1, sizes[number])


class _Making:
    """The fault of one block, in a thread of its own.

    It is made ready at once, for that may take a while; in force when `due` is set, or
    after *wait* seconds; and undone when it has lasted long enough, or by `stop`.
    """

    def __init__(
        self,
        block: tuple[str, int],
        ready: Callable[[], Fault],
        kind: str,
        made: list[Disturbed],
        clock: Callable[[], float],
        *,
        wait: float | None,
    ) -> None:
        self.block = block
        self.due = threading.Event()
        self.begun = False
        self.failure: BaseException | None = None
        self._ready = ready
        self._kind = kind
        self._made = made
        self._clock = clock
        self._until = None if wait is None else clock() + wait
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"fault-{block[0]}")

    def start(self) -> None:
        """Begin to make it ready; apart, so that a Ctrl-C finds it noted already."""
        self._thread.start()

    def stop(self) -> None:
        """Return when nothing of it is in force any more, nor will be."""
        self._stopped.set()
        self.due.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            fault = self._ready()
            self.due.wait(None if self._until is None else max(0.0, self._until - self._clock()))
            if not self._stopped.is_set():
                self._make(fault)
        except BaseException as error:  # noqa: BLE001 - raised again by whoever asks
            self.failure = error

    def _make(self, fault: Fault) -> None:
        began = self._clock()
        arm, number = self.block
        record = Disturbed(self._kind, arm, number, began)
        self._made.append(record)
        self.begun = True
        try:
            record.made = fault.inflict()
            while not fault.over(self._clock() - began) and not self._stopped.wait(_POLL):
                pass
        finally:
            record.undone = fault.mend()
            record.undone_s = self._clock()
