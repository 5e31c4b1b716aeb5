"""What a profile says of its sentinels reaches them while they run, and stays."""

from __future__ import annotations

import pytest

from tests.ops.conftest import changed, fact
from tests.ops.topology.profiles import sentinels, topology
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.ops.deploy import changes, deploy
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.status import status
from valkeyctl.ops.topology import readings
from valkeyctl.profile import Profile
from valkeyctl.runtime.process import ProcessRuntime

pytestmark = pytest.mark.slow
_NAMES = ("down-after-milliseconds", "failover-timeout", "quorum")


def settings(profile: Profile, sentinel: Endpoint) -> tuple[str, ...]:
    """Return what a sentinel goes by."""
    with Wire(sentinel, timeout=2) as wire:
        said = readings.fields(wire.call("SENTINEL", "MASTER", profile.name))
    return tuple(said[name] for name in _NAMES)


def test_they_are_set_live_and_survive_a_restart(state: StateFolder) -> None:
    """No process is another one; what was set by hand is drift, and is mended."""
    profile = topology("sentinel")
    deploy(profile, state, runtime="process")
    before = {name: fact(one, "process_id") for name, one in sentinels(profile).items()}
    other = changed(profile, sentinel={"down_after": "3s", "failover_timeout": "33s", "quorum": 3})
    wanted = ("3000", "33000", "3")

    assert {one.kind for one in changes(other, state).drift} == {"live"}
    done = deploy(other, state)

    assert (done.action, done.write_gap_ms, done.warnings) == ("updated", 0.0, ())
    assert {settings(profile, one) for one in sentinels(profile).values()} == {wanted}
    after = {name: fact(one, "process_id") for name, one in sentinels(profile).items()}
    assert after == before

    first, second, _ = sentinels(profile)
    with Wire(sentinels(profile)[first], timeout=2) as wire:
        wire.call("SENTINEL", "SET", profile.name, "quorum", 1)
    found = status(other, state)
    assert [(one.field, one.wanted, one.actual) for one in found.drift] == [
        (f"{first}: quorum", "3", "1")
    ]
    ProcessRuntime(state.runtimes / "process").kill(second)
    assert deploy(other, state).action == "replaced"
    assert {settings(profile, one) for one in sentinels(profile).values()} == {wanted}
    assert status(other, state).drift == ()
