"""Deploying on Podman: the same promises, through a published container port."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess

import pytest

from tests.conftest import command, one_podman
from tests.ops.conftest import at, changed, fact
from tests.runtime.conftest import unique_profile, with_conf_line
from valkeyctl.errors import MissingError, RefusedError, StartError
from valkeyctl.ops.deploy import deploy, take_down
from valkeyctl.ops.smoke import smoke
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.status import status
from valkeyctl.profile import Profile
from valkeyctl.render import Artefacts, render
from valkeyctl.runtime import ready
from valkeyctl.runtime.podman import PodmanRuntime

pytestmark = [pytest.mark.podman, pytest.mark.usefixtures("podman_command")]


@pytest.mark.slow
def test_from_profile_to_nothing_again(state: StateFolder) -> None:
    """Deployed, looked at, replaced with its data, and taken down but for nothing."""
    profile = unique_profile(persistence="rdb")

    first = deploy(profile, state, runtime="podman")
    command(at(first), "SET", "k", "kept")

    assert (first.action, first.runtime) == ("started", "podman")
    assert first.version.startswith("8.1")
    assert deploy(profile, state).action == "unchanged"
    seen = status(profile, state)
    assert (seen.running, seen.drift, seen.unchecked, seen.warnings) == (True, (), (), ())
    assert smoke(at(first), profile.app).passed

    fixed_at_start = {"tuning": {"databases": 4}}
    second = deploy(changed(profile, **fixed_at_start), state)

    assert second.action == "replaced"
    assert second.write_gap_ms
    assert (second.keys_before, second.keys_after) == (1, 1)
    third = deploy(changed(profile, **fixed_at_start, probes={"interval": "20s"}), state)
    assert ([one.kind for one in third.changes], third.keys_after) == (["recreate"], 1)
    assert command(at(second), "GET", "k") == b"$4\r\nkept\r\n"

    removal = take_down(profile.name, state, purge=True)

    assert (removal.stopped, removal.purged, removal.keys) == (True, True, 1)


@one_podman
@pytest.mark.slow
def test_a_start_that_fails_puts_the_last_good_render_back(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash loop, which `kube play` calls a success, is undone."""
    profile = unique_profile(persistence="rdb")
    found = deploy(profile, state, runtime="podman")
    command(at(found), "SET", "k", "kept")

    def broken(asked: Profile) -> Artefacts:
        return with_conf_line(render(asked), "no-such 1")

    monkeypatch.setattr("valkeyctl.ops.deploy.render", broken)
    monkeypatch.setattr(PodmanRuntime, "prove", lambda *_: [])

    with pytest.raises(StartError, match=r"no-such 1.*the last good render runs again"):
        deploy(changed(profile, tuning={"databases": 4}), state)

    assert command(at(found), "GET", "k") == b"$4\r\nkept\r\n"


@pytest.mark.slow
def test_a_live_change_outlives_a_crash(state: StateFolder, podman_command: str) -> None:
    """The same container goes on; when its server dies, podman starts it with the change."""
    profile = unique_profile(persistence="rdb")
    found = deploy(profile, state, runtime="podman")
    run_id = fact(at(found), "run_id")
    other = changed(profile, eviction="allkeys-lfu")

    done = deploy(other, state)

    assert (done.action, done.write_gap_ms) == ("updated", 0.0)
    assert fact(at(found), "run_id") == run_id
    container = f"{profile.name}-valkey-server"
    shown = subprocess.run(
        [podman_command, "inspect", "--format", "{{.State.Pid}}", container],
        check=True,
        capture_output=True,
    )
    os.kill(int(shown.stdout), signal.SIGKILL)
    ready.wait_until_ready(at(found), patience=20, check=lambda: None)
    assert fact(at(found), "run_id") != run_id
    assert b"allkeys-lfu" in command(at(found), "CONFIG", "GET", "maxmemory-policy")
    assert status(other, state).drift == ()
    assert deploy(other, state).action == "unchanged"


@pytest.mark.slow
def test_a_server_that_was_stopped_in_its_pod_is_started_again(
    state: StateFolder, podman_command: str
) -> None:
    """As a killed deploy leaves it: on Podman 5 the pod goes on, and holds the port."""
    profile = unique_profile(persistence="rdb")
    found = deploy(profile, state, runtime="podman")
    command(at(found), "SET", "k", "kept")
    subprocess.run([podman_command, "stop", f"{profile.name}-valkey-server"], check=True)

    again = deploy(changed(profile, probes={"interval": "20s"}), state)

    assert again.action == "started"
    assert command(at(again), "GET", "k") == b"$4\r\nkept\r\n"


@one_podman
@pytest.mark.slow
def test_a_tag_that_has_moved_is_drift(state: StateFolder, podman_command: str) -> None:
    """The same name is another image now; the next deploy takes that one."""
    image = f"localhost/vkt-{secrets.token_hex(4)}:1"

    def tag(version: str) -> None:
        source = f"docker.io/valkey/valkey:{version}"
        subprocess.run([podman_command, "tag", source, image], check=True)

    try:
        tag("8.1")
        profile = unique_profile(persistence="rdb", image=image)
        found = deploy(profile, state, runtime="podman")
        command(at(found), "SET", "k", "kept")
        tag("9")

        (drift,) = status(profile, state).drift
        done = deploy(profile, state)

        assert (drift.field, drift.kind) == ("image", "recreate")
        assert (done.action, done.version.partition(".")[0]) == ("replaced", "9")
        assert command(at(done), "GET", "k") == b"$4\r\nkept\r\n"
        record = state.read(profile.name).record
        assert record is not None
        assert record.image_id
        tag("8.1")
        with pytest.raises(RefusedError, match=r"valkey 8\.1\.\d+ may not be able to read"):
            deploy(profile, state)
        # Tried all the same, it fails; what ran is put back although its tag is another's.
        with pytest.raises(StartError, match="the last good render runs again"):
            deploy(profile, state, yes=True)
        assert command(at(done), "GET", "k") == b"$4\r\nkept\r\n"
    finally:
        take_down(profile.name, state, purge=True)
        subprocess.run([podman_command, "untag", image, image], check=True)


@one_podman
@pytest.mark.slow
def test_a_missing_image_touches_nothing(state: StateFolder) -> None:
    """The image is looked for before the old pod is stopped."""
    profile = unique_profile()
    found = deploy(profile, state, runtime="podman")
    run_id = fact(at(found), "run_id")

    with pytest.raises(MissingError, match="localhost/valkeyctl-none:1 is not here"):
        deploy(changed(profile, image="localhost/valkeyctl-none:1"), state)

    assert fact(at(found), "run_id") == run_id
