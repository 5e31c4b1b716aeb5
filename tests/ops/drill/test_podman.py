"""Drills of a container: its restart policy, and a network that can be cut."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import command
from tests.ops.drill.conftest import drilled
from tests.runtime.conftest import unique_profile
from valkeyctl.endpoint import Endpoint
from valkeyctl.ops.deploy import deploy, take_down
from valkeyctl.ops.drill import undo
from valkeyctl.ops.faultmark import Mark, set_mark
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.status import status
from valkeyctl.profile import Profile
from valkeyctl.runtime.select import PODMAN_VARIABLE, runtime_named

pytestmark = [pytest.mark.podman, pytest.mark.slow]

Deployed = tuple[Profile, StateFolder]


@pytest.fixture(scope="module")
def deployed(podman_command: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """A server with an AOF, for all tests of one Podman."""
    state = StateFolder(tmp_path_factory.mktemp("drill"))
    profile = unique_profile(persistence="aof")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PODMAN_VARIABLE, podman_command)
        try:
            deploy(profile, state, runtime="podman")
            yield profile, state
        finally:
            take_down(profile.name, state, purge=True)


def test_a_crash_is_answered_by_the_restart_policy(deployed: Deployed) -> None:
    """Nothing is lost, and the drill has nothing to undo."""
    profile, state = deployed

    report = drilled("kill", profile, state)

    assert (report.status, report.came_back, report.losses.lost) == ("ok", True, 0)
    assert any("restart policy" in event.text for event in report.timeline)
    assert status(profile, state).warnings == ()  # nobody is to look for a want of memory


def test_a_partition_is_felt_by_clients_and_heals(deployed: Deployed) -> None:
    """Connections are taken and nothing is answered; afterwards all is as before."""
    profile, state = deployed

    report = drilled("partition", profile, state, hold=1.0)

    assert (report.status, report.losses.lost) == ("ok", 0)
    assert report.write_gap_s > 0.3
    assert "no_answer" in {error.kind for error in report.direct.errors}


def test_a_partition_that_a_killed_drill_has_left_is_undone(deployed: Deployed) -> None:
    """By another command, which knows from the note how it was connected."""
    profile, state = deployed
    set_mark(state, profile.name, Mark("partition", profile.name, "c0ffee00", profile.app))
    runtime_named("podman", state.runtimes).cut(profile.name)
    assert (
        f"{profile.name} is cut off from its network by a drill" in status(profile, state).warnings
    )

    done = undo(profile, state).done

    assert done == (f"{profile.name} connected again",)
    endpoint = Endpoint(host=profile.host, port=profile.port)
    assert command(endpoint, "PING") == b"+PONG\r\n"


def test_a_deploy_lets_go_of_what_a_killed_drill_has_left_cut_off(deployed: Deployed) -> None:
    """To a deploy it looks like a pod that runs; without its note, it is made anew."""
    profile, state = deployed
    runtime = runtime_named("podman", state.runtimes)
    endpoint = Endpoint(host=profile.host, port=profile.port)
    for damage in (False, True):
        set_mark(state, profile.name, Mark("partition", profile.name, "c0ffee00", profile.app))
        runtime.cut(profile.name)
        if damage:
            (state.runtimes / "podman" / profile.name / "cut.json").write_text("{")

        deploy(profile, state)

        assert command(endpoint, "PING") == b"+PONG\r\n"
        assert not runtime.join(profile.name)
