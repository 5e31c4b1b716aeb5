"""When a fault is made, and that it is undone whatever happens."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from valkeyctl.bench.plan import Plan
from valkeyctl.bench.services.disturber import Disturber
from valkeyctl.bench.traffic.scenario import Disturbance
from valkeyctl.errors import StartError, ToolError, UsageError

ROUNDS, SIZE = 5, 100
TOTAL = 2 * ROUNDS * SIZE
MIDDLE = 2


class FakeFault:
    """A fault that lasts until it is told to be over."""

    def __init__(self, *, breaks: bool = False, stuck: bool = False) -> None:
        self.log: list[str] = []
        self.inflicted = threading.Event()
        self.mended = threading.Event()
        self.long_enough = False
        self._breaks = breaks
        self._stuck = stuck

    def inflict(self) -> str:
        self.log.append("inflict")
        self.inflicted.set()
        if self._breaks:
            raise UsageError("cannot be done")
        return "killed"

    def over(self, elapsed: float) -> bool:
        assert elapsed >= 0
        return self.long_enough

    def mend(self) -> str:
        self.log.append("mend")
        self.mended.set()
        if self._stuck:
            raise StartError("does not start again")
        return "started"


class Faults:
    """One fault for each time that one is made ready."""

    def __init__(self, **how: bool) -> None:
        self.ready: list[tuple[int, FakeFault]] = []
        self._how = how
        self._changed = threading.Condition()

    def __call__(self, arm: int) -> FakeFault:
        fault = FakeFault(**self._how)
        with self._changed:
            self.ready.append((arm, fault))
            self._changed.notify_all()
        return fault

    def __getitem__(self, number: int) -> FakeFault:
        """Return the fault that is made ready as number *number*, once it is."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.ready) > number, 10)
        return self.ready[number][1]


def disturber(faults: Faults, at: float = 0.5) -> Disturber:
    plan = Plan.of(rounds=ROUNDS)
    scenario = replace(plan.scenario, during=Disturbance("kill", at))
    return Disturber(replace(plan, scenario=scenario), faults)


def play(one: Disturber, *, upto: int = TOTAL, step: int = 10) -> Iterator[int]:
    """Tell *one* how far a run is, by samples; two arms, A B B A."""
    for done in range(0, upto, step):
        number, within = divmod(done, 2 * SIZE)
        first = within < SIZE
        arm = "cached" if first == (number % 2 == 0) else "uncached"
        one.observe(arm, number, done, TOTAL, 0.0)
        yield done


def test_each_arm_gets_its_fault_at_the_same_share_of_the_middle_round() -> None:
    """Neither before nor in another round; each is undone by the end of its block."""
    faults = Faults()
    one = disturber(faults)
    for done in play(one):
        if done in {440, 540}:
            number = (done - 400) // 100
            assert not faults[number].inflicted.is_set()
            assert len(one.made) == number
        if done in {450, 550}:
            assert faults[(done - 400) // 100].inflicted.wait(10)
    one.complete()

    assert [arm for arm, _ in faults.ready] == [0, 1]
    assert [fault.log for _, fault in faults.ready] == [["inflict", "mend"]] * 2
    assert [(made.arm, made.round, made.kind) for made in one.made] == [
        ("cached", MIDDLE, "kill"),
        ("uncached", MIDDLE, "kill"),
    ]
    for made in one.made:
        assert (made.made, made.undone) == ("killed", "started")
        assert made.undone_s is not None
        assert made.undone_s >= made.at_s
    assert one.made[1].at_s >= (one.made[0].undone_s or 0)


def test_a_fault_that_has_lasted_long_enough_is_undone_within_its_block() -> None:
    """It does not wait for the end of the block."""
    faults = Faults()
    one = disturber(faults, at=0.0)

    for done in play(one, upto=500):
        if done == 400:
            fault = faults[0]
            assert fault.inflicted.wait(10)
            fault.long_enough = True
            assert fault.mended.wait(10)

    one.end()
    assert len(one.made) == 1


def test_where_the_time_of_a_block_is_known_the_fault_comes_by_the_clock() -> None:
    """Progress comes a few times a second, which is coarse for a short block."""
    faults = Faults()
    one = disturber(faults)

    one.observe("cached", MIDDLE, 400, TOTAL, 0.02)

    assert faults[0].inflicted.wait(10)
    one.end()
    assert faults[0].log == ["inflict", "mend"]


def test_in_an_open_loop_what_was_sent_ahead_brings_no_fault_forward() -> None:
    """Samples beyond those of the blocks so far may be of an arm's next one."""
    faults = Faults()
    plan = Plan.of(rounds=ROUNDS, rate=100.0)
    scenario = replace(plan.scenario, during=Disturbance("kill", 0.5))
    one = Disturber(replace(plan, scenario=scenario), faults)

    one.observe("cached", MIDDLE, 400 + SIZE, TOTAL, 3600.0)

    assert not faults[0].inflicted.wait(0.1)
    one.end()
    assert faults[0].log == []


def test_a_run_that_ends_in_the_middle_of_a_fault_undoes_it() -> None:
    """Ending is quiet, and waits until nothing is in force."""
    faults = Faults()
    one = disturber(faults, at=0.0)
    for done in play(one, upto=410):
        if done == 400:
            assert faults[0].inflicted.wait(10)

    one.end()
    one.end()

    assert faults[0].log == ["inflict", "mend"]


def test_a_run_that_ends_before_its_fault_makes_none() -> None:
    """It was ready, and is left alone."""
    faults = Faults()
    one = disturber(faults, at=1.0)
    list(play(one, upto=450))

    one.end()

    assert faults[0].log == []
    assert one.made == []


@pytest.mark.parametrize(
    ("faults", "message"),
    [(Faults(breaks=True), "cannot be done"), (Faults(stuck=True), "does not start again")],
)
def test_a_fault_that_fails_ends_the_run(faults: Faults, message: str) -> None:
    """Its samples are of something else than what was asked for; undoing it was tried."""
    one = disturber(faults, at=0.0)

    with pytest.raises((UsageError, StartError), match=message):
        for done in play(one):
            if done == 400:
                faults[0].long_enough = True
                assert faults[0].mended.wait(10)

    assert faults[0].log == ["inflict", "mend"]


def test_a_block_that_is_too_short_for_its_fault_ends_the_run() -> None:
    """A run without its fault would look like one that nothing can shake."""
    one = disturber(Faults(), at=0.95)

    with pytest.raises(ToolError, match="arm 'cached' in round 3 was over before its fault"):
        list(play(one, step=50))


def test_a_block_that_nobody_heard_of_is_not_passed_over() -> None:
    """Progress comes a few times a second; a block may begin and end in between."""
    faults = Faults()
    one = disturber(faults, at=0.0)
    one.observe("cached", MIDDLE, 400, TOTAL, 0.0)
    assert faults[0].inflicted.wait(10)

    with pytest.raises(ToolError, match="arm 'uncached' in round 3 was over"):
        one.complete()


def test_what_cannot_be_disturbed_is_refused_before_the_load() -> None:
    """Every arm is asked, and nothing is done."""
    faults = Faults()

    disturber(faults).check()

    assert [(arm, fault.log) for arm, fault in faults.ready] == [(0, []), (1, [])]
