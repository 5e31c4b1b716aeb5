"""Servers of several versions, and a Podman that works."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.conftest import command
from valkeyctl.endpoint import Endpoint


@dataclass
class Podman:
    """The podman command, and everything that it made for one test.

    Attributes:
        command: Which one.
        folder: Where it is started: conmon leaves a file named oom there after a kill.
        name: Part of the name of all that the test makes; no other test uses it.
    """

    command: str
    folder: Path
    name: str = field(default_factory=lambda: f"vkr-{secrets.token_hex(4)}")

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Return what `podman WORDS` answered; an assertion fails when it failed."""
        done = subprocess.run(
            [self.command, *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0 or not check, f"podman {' '.join(words)}: {done.stderr}"
        return done

    def inspect(self, kind: str, name: str) -> dict[str, object]:
        """Return what podman knows of a pod, container or volume."""
        found = json.loads(self.run(kind, "inspect", name).stdout)
        first = found[0] if isinstance(found, list) else found
        assert isinstance(first, dict)
        return first

    def clear(self) -> None:
        """Remove all whose name holds ours."""
        for kind, remove in (
            ("pod", ("pod", "rm", "--force", "--time", "1")),
            ("container", ("rm", "--force", "--volumes", "--time", "1")),
            ("volume", ("volume", "rm", "--force")),
            ("network", ("network", "rm", "--force")),
        ):
            column = "{{.Names}}" if kind == "container" else "{{.Name}}"
            list_all = ("--all",) if kind == "container" else ()
            listed = self.run(kind, "ls", *list_all, "--format", column).stdout.split()
            for name in listed:
                if self.name in name:  # podman-compose calls its pod pod_NAME-...
                    self.run(*remove, name, check=False)


@pytest.fixture
def podman(podman_command: str, tmp_path: Path) -> Iterator[Podman]:
    """Each Podman that has the default image; what the test makes is removed."""
    found = Podman(podman_command, tmp_path)
    yield found
    found.clear()


def ask(endpoint: Endpoint, *words: str) -> bytes:
    """Return the reply of a server that may still be starting."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            reply = command(endpoint, *words)
        except OSError:
            reply = b""
        if reply and not reply.startswith(b"-LOADING"):
            return reply
        time.sleep(0.02)  # the only way to know that a foreign process is ready
    raise AssertionError(f"no answer from {endpoint.address}")
