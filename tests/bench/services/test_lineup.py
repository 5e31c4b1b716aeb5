"""Applications and servers of a run: started together, counted, and ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from tests.bench.conftest import FAKE_GATEWAY
from tests.conftest import command
from valkeyctl.bench.arm import BYPASS, Arm
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.services.children import Interruptions
from valkeyctl.bench.services.lineup import Lineup
from valkeyctl.bench.services.target import Counters, Fault, Target
from valkeyctl.bench.traffic.scenario import Disturbance
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import StartError, UnreachableError, UsageError
from valkeyctl.ops.drill.throwaway import RunServer, start_for_run
from valkeyctl.ops.serverfacts import server_info

pytestmark = pytest.mark.usefixtures("nothing_left_running")

OURS = Target(serve=start_for_run, server_info=server_info, command=FAKE_GATEWAY)
SMALL, LARGE = (("maxmemory", "5mb"),), (("maxmemory", "9mb"),)


def lineup(folder: Path, target: Target, *arms: Arm, during: Disturbance | None = None) -> Lineup:
    plan = Plan.of(arms=arms)
    scenario = replace(plan.scenario, during=during)
    return Lineup(replace(plan, scenario=scenario), target, "run", folder, ttl=60)


@contextmanager
def started(one: Lineup) -> Iterator[Lineup]:
    with Interruptions() as interruptions:
        try:
            one.start(interruptions)
            yield one
        finally:
            one.end()


def servers(one: Lineup) -> list[dict[str, Any]]:
    """Return what the facts say of the servers."""
    return cast("list[dict[str, Any]]", one.facts()["servers"])


def server_of(told: dict[str, Any]) -> Endpoint:
    return Endpoint(port=int(told["address"].rpartition(":")[2]))


def test_each_arm_caches_on_the_server_that_it_asked_for(tmp_path: Path) -> None:
    """Two servers for three arms; what they are and did is in the facts."""
    arms = (Arm("small", server=SMALL), Arm("large", server=LARGE), Arm("off", (BYPASS,)))
    with started(lineup(tmp_path, OURS, *arms)) as one:
        assert len(set(one.urls())) == 2
        one.note_before()
        for told in servers(one):
            command(server_of(told), "GET", "absent")
        one.note_after()

    small, large = servers(one)
    assert (small["arms"], large["arms"]) == (["small", "off"], ["large"])
    for told, size in ((small, 5), (large, 9)):
        assert told["throwaway"] is True
        assert told["settings"]["maxmemory"] == str(size * 2**20)
        assert told["before"]["maxmemory_bytes"] == size * 2**20
        assert told["delta"]["keyspace_misses"] == 1
        assert "used_memory_bytes" not in told["delta"]
    # What both have in common is the run's; their memory is their own.
    common = cast("dict[str, str]", one.facts()["server"])
    assert (common["appendonly"], common.get("maxmemory")) == ("no", None)


def test_counters_of_a_server_that_was_started_anew_are_not_subtracted(tmp_path: Path) -> None:
    """They are of two lives."""
    readings: list[Counters] = [
        {"run_id": "a", "commands": 9.0},
        {"run_id": "b", "commands": 3.0},
    ]
    target = replace(OURS, server_info=lambda _: readings.pop(0))
    with started(lineup(tmp_path, target, Arm("a", server=SMALL))) as one:
        one.note_before()
        one.note_after()

    (told,) = servers(one)
    assert told["delta"] is None
    assert told["after"] == {"commands": 3}


def test_a_cache_that_does_not_answer_is_a_fact_less(tmp_path: Path) -> None:
    """No counter is worth a run."""

    def away(_: Endpoint) -> Counters:
        raise UnreachableError("away")

    target = replace(OURS, server_info=away)
    with started(lineup(tmp_path, target, Arm("a", server=SMALL))) as one:
        one.note_before()
        one.note_after()

    (told,) = servers(one)
    assert (told["before"], told["delta"]) == (None, None)


def test_a_server_that_refuses_its_settings_leaves_nothing_running(tmp_path: Path) -> None:
    """The arms before it have started already."""
    bad = (("maxmemory", "lots"),)
    one = lineup(tmp_path, OURS, Arm("a", server=SMALL), Arm("b", server=bad))

    with pytest.raises(StartError, match="memory value"), started(one):
        pass


def test_the_fault_is_of_the_cache_that_the_arm_uses(tmp_path: Path) -> None:
    """A throwaway server's own; else of the deployment; and nobody else's is touched."""
    asked: list[str] = []

    def disturb(kind: str) -> Fault:
        asked.append(kind)
        raise UsageError("of the deployment")

    kill = Disturbance("kill")
    target = replace(OURS, cache=Endpoint(port=1), disturb=disturb)
    with started(
        lineup(tmp_path, target, Arm("own", server=SMALL), Arm("given"), during=kill)
    ) as one:
        fault = one.fault(0)
        assert asked == []
        with pytest.raises(UsageError, match="of the deployment"):
            one.fault(1)
        server = server_of(servers(one)[0])
        command(server, "SET", "a", "1")
        assert fault.inflict() == "throwaway server killed"
        assert (fault.over(0.5), fault.over(1.5)) == (False, True)
        assert fault.mend() == "started again, empty"
        assert command(server, "GET", "a") == b"$-1\r\n"
    assert asked == ["kill"]
    named = Arm("named", env=(("VALKEYCTL_URL", "redis://127.0.0.1:1"),))
    for one in (
        lineup(tmp_path, target, named, during=kill),
        lineup(tmp_path, replace(target, disturb=None), Arm("named"), during=kill),
    ):
        with pytest.raises(UsageError, match="'named' is no deployment of ours"):
            one.check_faults()
    lineup(tmp_path, replace(OURS, disturb=None), Arm("own", server=SMALL)).check_faults()


@pytest.fixture
def server() -> Iterator[RunServer]:
    started = start_for_run({})
    yield started
    started.close()


@pytest.mark.parametrize("kind", ["kill", "hang", "failover", "restart"])
def test_every_fault_of_a_throwaway_server_is_undone(server: RunServer, kind: str) -> None:
    """Afterwards it answers where it did; also one that was never made."""
    server.fault(kind).mend()
    fault = server.fault(kind)

    fault.inflict()
    fault.mend()

    assert command(server.endpoint, "PING") == b"+PONG\r\n"


def test_a_throwaway_server_has_no_other_faults(server: RunServer) -> None:
    """Loopback is one network for all, and nobody has heard of an earthquake."""
    with pytest.raises(UsageError, match="cannot be cut off"):
        server.fault("partition")
    with pytest.raises(UsageError, match="no fault 'earthquake'"):
        server.fault("earthquake")
