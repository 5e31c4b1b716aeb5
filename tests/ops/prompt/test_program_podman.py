"""The prompt in a real container: logged in, with the password nowhere among arguments."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.runtime.conftest import unique_profile
from valkeyctl.endpoint import Endpoint
from valkeyctl.ops.prompt.program import program, server_container
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.profile import Profile
from valkeyctl.render import render

pytestmark = [pytest.mark.podman, pytest.mark.usefixtures("podman_command")]


@pytest.fixture
def served(podman_command: str) -> Iterator[Profile]:
    """A profile, and a server that wants a password in a container of the name it would have."""
    profile = unique_profile()
    unit = render(profile)
    words = ("run", "--detach", "--pull", "never", "--network", "none", "--name", unit.container)
    server = ("valkey-server", "--requirepass", "s3cret-word")
    try:
        done = subprocess.run(
            [podman_command, *words, unit.image, *server],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        yield profile
    finally:
        subprocess.run(
            [podman_command, "rm", "--force", "--time", "0", unit.container],
            capture_output=True,
            check=False,
            timeout=60,
        )


def test_valkey_cli_in_the_container_is_logged_in(served: Profile, state: StateFolder) -> None:
    """The name of the variable is all that podman is told by argument."""
    server = Endpoint(port=served.port, password="s3cret-word")

    found = program(server, lambda: server_container(served, state), which=lambda _: None)

    assert found is not None
    done = subprocess.run(
        [*found.arguments, "--raw", "-e", "PING"],
        env={**os.environ, **found.environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.stdout.strip().endswith("PONG"), done
    assert "s3cret-word" not in json.dumps(found.arguments)


def test_a_deployment_that_does_not_run_has_no_container(state: StateFolder) -> None:
    """The caller then has a prompt of its own."""
    assert server_container(unique_profile(), state) is None
