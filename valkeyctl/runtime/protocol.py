"""What a runtime is: the seam between artefacts and a server that listens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from valkeyctl.endpoint import Endpoint
from valkeyctl.render.artefacts import Artefacts


@dataclass(frozen=True)
class Instance:
    """A server that a runtime started, whether or not it still runs.

    Attributes:
        name: The deployment's name.
        running: Whether its process or container is up; says nothing about health.
        endpoint: The published address.
        digest: Digest of the artefacts that it was started from; empty when unknown.
        detail: For a person: ``pid 4711``, or the container's state.
        version: Of the server, such as ``9.1.2``; empty when unknown.
    """

    name: str
    running: bool
    endpoint: Endpoint
    digest: str
    detail: str
    version: str = ""


class Runtime(Protocol):
    """Turns artefacts into a listening server, and takes it away again.

    Every call is blocking and bounded in time. A runtime keeps what it needs to find
    a server again outside this process, so that another command can go on with it.
    """

    name: str

    def check(self) -> None:
        """Prove that this runtime works on this machine, without starting a server.

        Raises:
            MissingError: podman or valkey-server is missing, or cannot run; says why.
        """

    def prove(self, artefacts: Artefacts) -> list[str]:
        """Prove that *artefacts* would start, touching nothing that runs.

        Checks that the image or binary is present, that the port is free or ours, and
        that this very server accepts the rendered valkey.conf.

        Returns:
            One line for a person per thing proven.

        Raises:
            MissingError: The image or the binary is not there.
            PortTakenError: Something else listens on the published port.
            StartError: The server refuses the configuration; carries its own words.
        """

    def start(self, artefacts: Artefacts) -> Endpoint:
        """Start the server, replacing safely one that runs under the same name.

        Returns when the server answers PING (or -NOAUTH) through the published
        address. On failure nothing that this call started is left running.

        Raises:
            StartError: The server ended, or did not answer in time; carries its last
                log lines.
            ToolError: podman failed.
        """

    def find(self, name: str) -> Instance | None:
        """Return the server called *name*, or None when there is none."""

    def stop(self, name: str, grace: float) -> bool:
        """Stop *name* cleanly, data saved where it persists; False when there was nothing.

        Raises:
            ToolError: It did not end within *grace* seconds and had to be killed, or
                podman failed.
        """

    def purge(self, name: str) -> bool:
        """Remove the data of a stopped *name*; False when there was none."""

    def logs(self, name: str, lines: int, *, follow: bool = False) -> Iterator[str]:
        """Yield the last *lines* log lines, oldest first, then new ones with *follow*.

        Raises:
            NotFoundError: There is no such deployment.
        """
