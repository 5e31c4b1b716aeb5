"""Backup and restore on Podman: a volume instead of a folder, and an image's own server."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import command, one_podman
from tests.ops.backup.conftest import back_up_deployment
from tests.ops.conftest import Start, at
from tests.runtime.conftest import unique_profile
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import RefusedError, StartError
from valkeyctl.ops.backup.create import Origin, backup
from valkeyctl.ops.backup.restore import restore
from valkeyctl.ops.deploy import deploy
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.runtime.datalock import await_data
from valkeyctl.runtime.podman import PodmanRuntime
from valkeyctl.runtime.podmancli import PodmanCommand

pytestmark = [pytest.mark.podman, pytest.mark.usefixtures("podman_command"), pytest.mark.slow]


def keys(endpoint: Endpoint) -> set[bytes]:
    """Return the names of all keys in database 0."""
    return set(command(endpoint, "KEYS", "*").split(b"\r\n")[2::2])


def test_there_and_back_with_an_aof(
    state: StateFolder, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Restored, refused for a newer version, put back after a failed start, and kept over it."""
    profile = unique_profile(persistence="aof", runtime="podman")
    endpoint = at(deploy(profile, state))
    command(endpoint, "MSET", "a", "1", "b", "2")
    folder = back_up_deployment(profile, endpoint, state)
    command(endpoint, "FLUSHALL")
    command(endpoint, "SET", "later", "1")

    done = restore(folder, profile, state)

    assert keys(endpoint) == {b"a", b"b"}
    assert (done.keys, done.keys_replaced, done.kept) == (2, 1, "")
    assert done.version.startswith("8.1")
    command(endpoint, "SET", "after", "1")

    newer = start("--repl-diskless-sync-delay", "0")
    too_new = backup(Origin("newer", newer), state.root / "b", state.runtimes).folder
    with pytest.raises(
        RefusedError, match=r"in RDB version 80: valkey 8\.1.*RDB format version 80"
    ):
        restore(too_new, profile, state)
    assert keys(endpoint) == {b"a", b"b", b"after"}

    begin = PodmanRuntime.start
    starts: list[object] = []

    def fail_once(self: PodmanRuntime, *words: object) -> Endpoint:
        starts.append(words)
        if len(starts) == 1:
            raise StartError("the server ended")
        return begin(self, *words)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(PodmanRuntime, "start", fail_once)
    with pytest.raises(StartError, match="the old data runs again"):
        restore(folder, profile, state)
    assert keys(endpoint) == {b"a", b"b", b"after"}
    assert volume_of(profile.name) == ["appendonlydir", "dump.rdb"]


KILLED = """
import sys
from pathlib import Path
from valkeyctl.profile import Profile
from valkeyctl.render import render
from valkeyctl.runtime import podmandata
from valkeyctl.runtime.podmancli import PodmanCommand

podmandata.SCRIPT = "sleep 1"
unit = render(Profile.model_validate({"name": sys.argv[2], "pull": "never"}))
podmandata.PodmanData(PodmanCommand(sys.argv[1]), unit, Path(sys.argv[3])).switch("replaced-1")
"""


def test_work_on_a_volume_keeps_its_lock_when_who_ordered_it_is_killed(
    podman_command: str, tmp_path: Path
) -> None:
    """A start waits until the container has ended."""
    podman = PodmanCommand(podman_command)
    name = f"vkt-{secrets.token_hex(4)}"
    words = [sys.executable, "-c", KILLED, podman_command, name, str(tmp_path)]
    try:
        with subprocess.Popen(words) as killed:
            until = time.monotonic() + 30
            while not working_on(podman, name) and time.monotonic() < until:
                assert killed.poll() is None
            killed.kill()

        await_data(tmp_path)

        assert not working_on(podman, name)
    finally:
        podman.run("volume", "rm", "--force", f"{name}-data")


def working_on(podman: PodmanCommand, name: str) -> bool:
    """Say whether a container runs with the data volume of *name*."""
    return bool(podman.require("ps", "--quiet", "--filter", f"volume={name}-data").strip())


def volume_of(name: str) -> list[str]:
    """Return what is in the data volume of *name*."""
    podman = PodmanCommand(os.environ.get("VALKEYCTL_PODMAN") or "podman")
    words = ("run", "--rm", "--network", "none", "--volume", f"{name}-data:/data:ro")
    image = "docker.io/valkey/valkey:8.1"
    return podman.require(*words, "--entrypoint", "ls", image, "-A", "/data").split()


@one_podman
def test_a_container_verifies_where_no_server_is_installed(
    state: StateFolder, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deployment's own image loads the backup, from a pipe, on no disk."""
    server = start("--repl-diskless-sync-delay", "0")
    command(server, "SET", "k", "1")
    monkeypatch.setenv("VALKEYCTL_SERVER", "/nonexistent")
    origin = Origin("shop", server, image="docker.io/valkey/valkey:9")

    found = backup(origin, tmp_path / "shelf", state.runtimes)

    assert found.keys == {"0": 1}
    assert found.verified_by == "valkey 9.1.2 (docker.io/valkey/valkey:9)"
