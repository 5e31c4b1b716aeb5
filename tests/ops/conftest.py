"""Servers and state folders of a test's own, gone when it ends, however it ends."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import psutil
import pytest

from tests.conftest import command, start_server
from valkeyctl.endpoint import Endpoint
from valkeyctl.ops.deploy import Deployment, deploy, take_down
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.profile import Profile


class Start(Protocol):
    """Starts a server that ends with the test."""

    def __call__(self, *options: str) -> Endpoint: ...


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start servers with options of their own, each in a folder of its own."""
    started: list[subprocess.Popen[bytes]] = []

    def start_one(*options: str) -> Endpoint:
        folder = tmp_path / f"server-{len(started)}"
        folder.mkdir()
        process, endpoint = start_server(folder, *options)
        started.append(process)
        return endpoint

    yield start_one
    for process in started:
        process.kill()
        process.wait()


def fact(endpoint: Endpoint, name: str) -> str:
    """Return one field of INFO."""
    found = re.search(rf"{name}:(\S+)".encode(), command(endpoint, "INFO"))
    assert found
    return found[1].decode()


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateFolder]:
    """A state folder that nobody else uses; its deployments end with the test."""
    folder = StateFolder(tmp_path / "state")
    yield folder
    runtimes = [path for path in folder.runtimes.glob("*/*") if path.is_dir()]
    for name in {*folder.names(), *(path.name for path in runtimes)}:
        take_down(name, folder, purge=True)


def on_process(profile: Profile, state: StateFolder, *, dry_run: bool = False) -> Deployment:
    """Deploy *profile* on the embedded server."""
    return deploy(profile, state, runtime="process", dry_run=dry_run)


def changed(profile: Profile, **fields: object) -> Profile:
    """Return *profile* under the same name and port, with other *fields*."""
    data = profile.model_dump(exclude_unset=True)
    return Profile.model_validate({**data, **fields})


def at(deployment: Deployment) -> Endpoint:
    """Return where *deployment* listens."""
    return Endpoint.parse(deployment.url)


def kill(deployment: Deployment) -> None:
    """Kill the server of *deployment*, and wait until the system is done with it."""
    server = psutil.Process(int(fact(at(deployment), "process_id")))
    server.kill()
    server.wait(timeout=5)


def servers_of(state: StateFolder) -> list[int]:
    """Return the servers whose files lie in the state folder."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline", "status"])
        if any(str(state.root) in word for word in process.info["cmdline"] or ())
        and process.info["status"] != psutil.STATUS_ZOMBIE
    ]
