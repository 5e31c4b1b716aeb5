"""Topologies with passwords: rotated under load, and after it restarted and failed over."""

from __future__ import annotations

import time

import pytest

from tests.ops.topology.judged import failing
from tests.ops.topology.profiles import KINDS, topology
from valkeyctl.ops.access import access
from valkeyctl.ops.deploy import deploy, restart
from valkeyctl.ops.drill.load import KeyNames, Load
from valkeyctl.ops.drill.readback import missing
from valkeyctl.ops.drill.shards import Finder
from valkeyctl.ops.health import probe
from valkeyctl.ops.orders import access_to
from valkeyctl.ops.rotation import finish, rotate
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.status import status
from valkeyctl.ops.topology.members import members, servers_of
from valkeyctl.ops.topology.patience import wait_until
from valkeyctl.profile import Profile
from valkeyctl.render import render
from valkeyctl.runtime.process import ProcessRuntime

pytestmark = pytest.mark.slow


def quiet(_: str) -> None:
    """Say nothing."""


def primaries(profile: Profile, state: StateFolder) -> set[str]:
    """Return the units that take themselves for primaries."""
    runtime = ProcessRuntime(state.runtimes / "process")
    found = members(servers_of(render(profile)), runtime, access_to(profile, state))
    return {one.unit for one in found if one.role == "primary"}


@pytest.mark.parametrize("kind", KINDS)
def test_new_passwords_hold_over_restarts_and_failovers(kind: str, state: StateFolder) -> None:
    """No write is lost or refused while they change, and replicas find every later primary."""
    profile = topology(kind, auth={"enabled": True}, cluster={"node_timeout": "1s"})
    deploy(profile, state, runtime="process")
    finder = Finder(access(profile, state), timeout=0.5)

    with Load(finder, KeyNames(profile.app, "rotated"), rate=100, confirm=0) as load:
        began = time.monotonic()
        rotate(profile, state, progress=quiet)
        finish(profile, state, progress=quiet)
        ended = time.monotonic()

    assert max(one.writes.gap(began, ended).seconds for one in load.direct) < 2
    finder = Finder(access(profile, state), timeout=0.5)
    assert missing(finder, load.written()) == set()
    restart(profile.name, state)
    assert failing(probe(access(profile, state), app=profile.app, deadline=5)) == []

    before = primaries(profile, state)
    dead = min(before)
    ProcessRuntime(state.runtimes / "process").kill(dead)

    def waiting() -> str:
        return "" if primaries(profile, state) - before else "nobody has taken over"

    wait_until(waiting, patience=40)
    deploy(profile, state)
    assert dead not in primaries(profile, state)
    assert status(profile, state).drift == ()
    assert failing(probe(access(profile, state), app=profile.app, deadline=5)) == []
    assert missing(finder, load.written()) == set()
