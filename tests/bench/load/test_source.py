"""Blocks of the stream: the same for every arm, long or short."""

from __future__ import annotations

import pytest

from valkeyctl.bench.arm import Arm
from valkeyctl.bench.load import source as source_module
from valkeyctl.bench.load.blocks import cut, stages
from valkeyctl.bench.load.source import BlockSource
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.traffic.stream import Request

ARMS = (Arm("a"), Arm("b"))


def played(plan: Plan, sizes: list[int]) -> dict[int, list[Request]]:
    """Return what each arm asks, in order."""
    source = BlockSource(plan, "", sizes)
    asked: dict[int, list[Request]] = {0: [], 1: []}
    for stage in stages(sizes, 2):
        block = list(source.block(stage))
        assert len(block) == stage.size
        asked[stage.arm] += block
    return asked


def test_a_long_block_is_made_as_it_is_played(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same requests, of which no list is kept."""
    plan = Plan.of(arms=ARMS, requests=40, rate=100.0, rounds=3, duration=1.0)
    sizes = cut(40, 3)
    short = played(plan, sizes)
    monkeypatch.setattr(source_module, "MOST_KEPT", 5)

    long = played(plan, sizes)

    assert short[0] == short[1] == long[0] == long[1]
    assert [one.index for one in long[0]] == list(range(40))
    source = BlockSource(plan, "", sizes)
    assert not isinstance(source.block(next(stages(sizes, 2))), list)


def test_the_span_of_a_block_is_that_of_its_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    """Estimated where the block is not made yet; unknown in a closed loop."""
    plan = Plan.of(arms=ARMS, rate=100.0, arrivals="constant", rounds=2, duration=1.0)
    closed = Plan.of(arms=ARMS, requests=50, rounds=2)
    stage = next(stages([50, 50], 2))
    source = BlockSource(plan, "", [50, 50])
    source.block(stage)

    assert source.span(stage) == pytest.approx(0.49)
    assert BlockSource(closed, "", [50]).span(stage) is None
    monkeypatch.setattr(source_module, "MOST_KEPT", 5)
    assert BlockSource(plan, "", [50, 50]).span(stage) == pytest.approx(0.5)


@pytest.mark.parametrize("most", [source_module.MOST_KEPT, 15])
def test_what_an_arm_has_sent_ahead_its_next_block_lacks(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Each arm sends every request once, in order, however far it ran ahead of its blocks."""
    monkeypatch.setattr(source_module, "MOST_KEPT", most)
    plan = Plan.of(arms=ARMS, requests=60, rate=100.0, rounds=3, duration=1.0)
    sizes = [20, 20, 20]
    source = BlockSource(plan, "", sizes)
    further = {(0, 0): 5, (1, 1): 15, (0, 1): 15}
    asked: dict[int, list[int]] = {0: [], 1: []}
    lengths = []

    for stage in stages(sizes, 2):
        block = list(source.block(stage))
        lengths.append(len(block))
        ahead = source.ahead(stage)
        block += [next(ahead) for _ in range(further.get((stage.arm, stage.round), 0))]
        if block:
            ahead.put_back(block.pop())
        asked[stage.arm] += [one.index for one in block]

    # The one that is given back is a block's last one where nothing was sent ahead of it.
    assert asked == {0: list(range(59)), 1: list(range(59))}
    assert lengths == [20, 20, 21, 16, 6, 6]


def test_nothing_comes_ahead_of_the_stream_s_end() -> None:
    """The last block has no next one."""
    plan = Plan.of(arms=ARMS[:1], requests=10, rate=100.0, rounds=2, duration=1.0)
    source = BlockSource(plan, "", [5, 5])

    first, last = stages([5, 5], 1)
    source.block(first)
    assert len(list(source.ahead(first))) == 5
    assert source.block(last) == []
    assert source.first is None
    assert source.span(last) == 0.0
    assert next(source.ahead(last), None) is None
