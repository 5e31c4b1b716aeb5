"""A drill's fault alone, under somebody else's load."""

from __future__ import annotations

import time

import pytest

from tests.conftest import command
from tests.ops.conftest import at, fact, on_process
from tests.ops.topology.profiles import primary_of, servers, topology
from tests.runtime.conftest import unique_profile
from valkeyctl.errors import LockedError, NotFoundError, RefusedError, UsageError
from valkeyctl.ops.access import access
from valkeyctl.ops.deploy import deploy
from valkeyctl.ops.drill import undo
from valkeyctl.ops.drill.disturbance import ready_fault
from valkeyctl.ops.faultmark import Mark, read_mark, set_mark
from valkeyctl.ops.keyspace.nodes import primaries
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.runtime.ready import ask


def test_a_kill_is_marked_and_locked_until_it_is_undone(state: StateFolder) -> None:
    """Another command sees it, cannot come between, and could undo it."""
    profile = unique_profile()
    server = at(on_process(profile, state))
    run_id = fact(server, "run_id")
    fault = ready_fault("kill", profile, state)
    assert read_mark(state, profile.name) is None

    assert fault.inflict() == f"{profile.name} killed"
    assert ask(server) == "silent"
    mark = read_mark(state, profile.name)
    with pytest.raises(LockedError):
        undo(profile, state)
    assert fault.over(0.0)
    assert fault.mend() == f"{profile.name} started again"

    assert mark is not None
    assert (mark.drill, mark.unit) == ("kill", profile.name)
    assert read_mark(state, profile.name) is None
    assert fact(server, "run_id") != run_id
    assert not undo(profile, state).found


def test_a_hang_lasts_and_is_undone_early_where_it_must(state: StateFolder) -> None:
    """A load run ends a fault with the block that it belongs to."""
    profile = unique_profile()
    server = at(on_process(profile, state))
    fault = ready_fault("hang", profile, state)

    fault.inflict()
    assert ask(server, timeout=0.05) == "silent"
    assert not fault.over(1.0)
    assert fault.over(5.0)
    assert fault.mend() == f"{profile.name} resumed"

    assert command(server, "PING") == b"+PONG\r\n"


def test_a_fault_that_was_never_made_needs_no_undoing(state: StateFolder) -> None:
    """Nor does one that another command forestalled: what that one does is not ours."""
    profile = unique_profile()
    server = at(on_process(profile, state))
    fault = ready_fault("kill", profile, state)

    with state.lock(profile.name), pytest.raises(LockedError):
        fault.inflict()

    assert fault.mend() == ""
    assert command(server, "PING") == b"+PONG\r\n"


def test_what_may_not_be_disturbed_is_refused(state: StateFolder) -> None:
    """Production without a yes, one that still has a fault, one that nobody could take over."""
    profile = unique_profile(security={"production": True})
    with pytest.raises(NotFoundError):
        ready_fault("kill", profile, state)
    server = at(on_process(profile, state))

    with pytest.raises(RefusedError, match="labelled as production"):
        ready_fault("kill", profile, state)
    with pytest.raises(UsageError, match="nobody could take over"):
        ready_fault("failover", profile, state, yes=True)
    with pytest.raises(UsageError, match="no fault 'full-memory'"):
        ready_fault("full-memory", profile, state, yes=True)
    set_mark(state, profile.name, Mark("hang", profile.name, "", ""))
    with pytest.raises(RefusedError, match="earlier drill"):
        ready_fault("kill", profile, state, yes=True)

    assert command(server, "PING") == b"+PONG\r\n"


def test_a_restart_is_a_clean_one(state: StateFolder) -> None:
    """It is over when it returns, and there is nothing to undo."""
    profile = unique_profile(persistence="aof")
    server = at(on_process(profile, state))
    command(server, "SET", "a", "1")
    fault = ready_fault("restart", profile, state)

    fault.inflict()

    assert fault.over(0.0)
    assert fault.mend() == ""
    assert command(server, "GET", "a") == b"$1\r\n1\r\n"


@pytest.mark.slow
def test_a_killed_primary_stays_down_until_another_has_taken_over(state: StateFolder) -> None:
    """Sentinel; afterwards it is a replica of the new one."""
    profile = topology("sentinel")
    deploy(profile, state, runtime="process")
    endpoint = access(profile, state)
    before = primaries(endpoint).nodes[0]
    unit = primary_of(profile)
    fault = ready_fault("kill", profile, state)

    began = time.monotonic()
    fault.inflict()
    assert not fault.over(0.0)
    while not fault.over(time.monotonic() - began):
        time.sleep(0.1)  # sentinels agree in their own time
    took = time.monotonic() - began
    fault.mend()

    assert took < 25
    assert primaries(endpoint).nodes[0] != before
    assert ask(servers(profile)[unit]) == "ready"
