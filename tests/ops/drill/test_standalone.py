"""Drills of one server on the process runtime."""

from __future__ import annotations

import pytest

from tests.conftest import command
from tests.ops.conftest import at, fact, on_process
from tests.ops.drill.conftest import drilled
from tests.runtime.conftest import unique_profile
from valkeyctl.errors import MissingError, NotFoundError, RefusedError, UsageError
from valkeyctl.ops.deploy import deploy
from valkeyctl.ops.deployment import Deployment
from valkeyctl.ops.drill import plan_drill, take_aim, undo
from valkeyctl.ops.faultmark import Mark, mark_warning, set_mark
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.status import status
from valkeyctl.profile import Profile
from valkeyctl.runtime.select import runtime_named

pytestmark = pytest.mark.slow  # each of them two seconds, of which one is the load


def deployed(state: StateFolder, **fields: object) -> tuple[Profile, Deployment]:
    """Deploy a small server, with an AOF unless told otherwise."""
    profile = unique_profile(**{"persistence": "aof", **fields})
    return profile, on_process(profile, state)


def test_a_crash_of_a_server_with_an_aof_loses_nothing(state: StateFolder) -> None:
    """It is started again, because its runtime has nobody who would; the keys are removed."""
    profile, found = deployed(state)
    run_id = fact(at(found), "run_id")

    report = drilled("kill", profile, state)

    assert (report.status, report.recovered, report.came_back) == ("ok", True, False)
    assert report.losses.acknowledged > 50
    assert report.losses.lost == 0
    assert fact(at(found), "run_id") != run_id
    assert 0 < report.write_gap_s < 10
    assert {error.kind for error in report.direct.errors} <= {"unreachable", "loading"}
    assert report.timeline[0].text.endswith("killed")
    assert command(at(found), "DBSIZE") == b":0\r\n"
    assert mark_warning(state, profile.name) == ""


def test_a_crash_of_a_server_without_persistence_says_what_it_lost(state: StateFolder) -> None:
    """That is what such a profile promises: a warning, and no failure."""
    profile, _ = deployed(state, persistence="none", security={"production": True})
    for drill in ("kill", "restart"):
        plan = plan_drill(drill, take_aim(drill, profile, state))
        assert "all its keys are lost, those of the applications too" in plan.does

    report = drilled("kill", profile, state)

    assert report.status == "warn"
    assert report.losses.lost
    assert "keeps no data" in report.verdict[0]
    # What the plan has said is agreed to: it is not asked about, or refused, once more.
    assert drilled("restart", profile, state).status == "warn"


def test_a_hang_lasts_as_long_as_it_was_asked_to(state: StateFolder) -> None:
    """Calls fail without an answer, and the server goes on afterwards."""
    profile, found = deployed(state)
    run_id = fact(at(found), "run_id")

    report = drilled("hang", profile, state, hold=0.8)

    assert (report.status, report.losses.lost) == ("ok", 0)
    assert 0.5 < report.write_gap_s < 8
    assert 0.5 < report.client_write_gap_s < 8
    assert report.direct.errors[0].kind == "no_answer"
    assert fact(at(found), "run_id") == run_id
    # Not even those that were sent while it hung, which nobody has acknowledged.
    assert command(at(found), "DBSIZE") == b":0\r\n"


def test_a_clean_restart_loses_nothing(state: StateFolder) -> None:
    """It is as `valkeyctl restart` does it."""
    profile, found = deployed(state, persistence="rdb", security={"production": True})
    assert (
        "newer than its last snapshot" in plan_drill("kill", take_aim("kill", profile, state)).does
    )
    assert "lost" not in plan_drill("restart", take_aim("restart", profile, state)).does
    run_id = fact(at(found), "run_id")

    report = drilled("restart", profile, state)

    assert (report.status, report.losses.lost) == ("ok", 0)
    assert fact(at(found), "run_id") != run_id


def test_a_full_store_refuses_writes_and_has_room_again_afterwards(state: StateFolder) -> None:
    """With noeviction a gap as long as the memory was full, and nothing is lost."""
    profile, found = deployed(state, eviction="noeviction")

    report = drilled("full-memory", profile, state, hold=0.6)

    assert report.direct.errors[0].kind == "oom"
    assert report.write_gap_s > 0.2
    assert report.evicted_keys == 0
    assert report.filled_bytes
    assert (report.status, report.losses.lost) == ("ok", 0)
    assert command(at(found), "DBSIZE") == b":0\r\n"


def test_a_full_cache_evicts(state: StateFolder) -> None:
    """No write fails; what was evicted is told, and is no failure."""
    profile, found = deployed(state, persistence="none")

    report = drilled("full-memory", profile, state, hold=0.6)

    assert report.direct.write_errors == 0
    assert report.evicted_keys
    assert report.status in {"ok", "warn"}
    assert command(at(found), "DBSIZE") == b":0\r\n"


def test_an_interrupted_drill_is_undone(state: StateFolder) -> None:
    """Ctrl-C while a server is paused must not leave it so."""
    profile, found = deployed(state)

    def interrupt(text: str) -> None:
        if "paused" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drilled("hang", profile, state, hold=20, progress=interrupt)

    assert command(at(found), "PING") == b"+PONG\r\n"
    assert command(at(found), "DBSIZE") == b":0\r\n"
    assert mark_warning(state, profile.name) == ""


def test_what_a_killed_drill_has_left_is_told_and_undone(state: StateFolder) -> None:
    """`status` says so; `undo` resumes the server, and does nothing the second time."""
    profile, found = deployed(state)
    mark = Mark(drill="hang", unit=profile.name, run="c0ffee00", app=profile.app)
    set_mark(state, profile.name, mark)
    with pytest.raises(RefusedError, match="an earlier drill"):
        drilled("kill", profile, state)
    runtime_named("process", state.runtimes).pause(profile.name)

    assert "a drill (hang)" in status(profile, state).warnings[0]
    planned = undo(profile, state, dry_run=True)
    first, second = undo(profile, state), undo(profile, state)

    assert (planned.found, planned.done) == (True, ())
    assert (first.found, first.drill, first.done) == (True, "hang", (f"{profile.name} resumed",))
    assert not second.found
    assert command(at(found), "PING") == b"+PONG\r\n"


def test_a_deploy_lets_go_of_what_a_killed_drill_has_left_paused(state: StateFolder) -> None:
    """To a deploy it looks like a server that runs."""
    profile, found = deployed(state)
    told: list[str] = []
    set_mark(state, profile.name, Mark("hang", profile.name, "c0ffee00", profile.app))
    runtime_named("process", state.runtimes).pause(profile.name)

    deploy(profile, state, progress=told.append)

    assert f"{profile.name} resumed: a drill had left it" in told
    assert command(at(found), "PING") == b"+PONG\r\n"
    assert mark_warning(state, profile.name) == ""


def test_a_damaged_mark_is_undone_all_the_same(state: StateFolder) -> None:
    """Every unit is looked after: one of them may be the one."""
    profile, found = deployed(state)
    state.drill_mark(profile.name).write_text('{"drill": "ha')
    runtime_named("process", state.runtimes).kill(profile.name)

    done = undo(profile, state).done

    assert done == (f"{profile.name} started again",)
    assert command(at(found), "PING") == b"+PONG\r\n"


def test_keys_that_a_killed_drill_filled_the_memory_with_are_removed(state: StateFolder) -> None:
    """By their numbers, of which the mark knows the most there can be."""
    profile, found = deployed(state)
    for number in range(3):
        command(at(found), "SET", f"{profile.app}:~drill:c0ffee00:fill{number}", "x")
    mark = Mark(drill="full-memory", unit=profile.name, run="c0ffee00", app=profile.app, fills=5)
    set_mark(state, profile.name, mark)

    done = undo(profile, state).done

    assert done[-1] == "3 keys removed that filled the memory"
    assert command(at(found), "DBSIZE") == b":0\r\n"


def test_a_deployment_that_is_not_healthy_is_not_broken_further(state: StateFolder) -> None:
    """A drill of it would prove nothing."""
    profile, found = deployed(state, eviction="noeviction")
    command(at(found), "CONFIG", "SET", "maxmemory", "1")

    with pytest.raises(RefusedError, match="not healthy before the drill"):
        drilled("hang", profile, state)


def test_drills_that_make_no_sense_are_refused(state: StateFolder) -> None:
    """Each with its reason, before anything is touched."""
    profile, _ = deployed(state)

    with pytest.raises(UsageError, match="nobody could take over"):
        take_aim("failover", profile, state)
    with pytest.raises(MissingError, match="nothing to cut"):
        take_aim("partition", profile, state)
    with pytest.raises(NotFoundError, match="has no node node-7"):
        take_aim("kill", profile, state, node="node-7")
    with pytest.raises(NotFoundError, match="nothing is deployed"):
        take_aim("kill", unique_profile(), state)
