"""What a runtime is: the seam between artefacts and a server that listens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from valkeyctl.endpoint import Endpoint
from valkeyctl.render.artefacts import Artefacts
from valkeyctl.runtime.datafolder import DataFolder
from valkeyctl.runtime.faults import Faults
from valkeyctl.runtime.material import EMPTY, Material
from valkeyctl.runtime.stopping import Begun, Stopped, unsaid


@dataclass(frozen=True)
class Instance:
    """A server that a runtime started, whether or not it still runs.

    Attributes:
        name: The unit's name.
        running: Whether its process or container is up; says nothing about health.
        endpoint: The published address.
        digest: Digest of the artefacts that it was started from; empty when unknown.
        detail: For a person: ``pid 4711``, or the container's state.
        version: Of the server, such as ``9.1.2``; empty when unknown.
        facts: What the container is made like, by the field of the profile that says
            so (``image``, ``memory.limit``, ``security.user``); empty for a process.
        restarts: How often the runtime has started it anew by itself.
    """

    name: str
    running: bool
    endpoint: Endpoint
    digest: str
    detail: str
    version: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    restarts: int = 0


@dataclass(frozen=True)
class Peer:
    """Where the other units of a topology, and clients on this machine, reach a unit.

    Attributes:
        host: Its address on the bridge, or on the loopback interface.
        port: For clients.
        bus_port: For the nodes of a Cluster; 0 outside of one.
    """

    host: str
    port: int
    bus_port: int = 0


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a server, or was.

    Attributes:
        what: A clause with the server as its subject: ``was killed by the kernel...``.
        hint: What to do, as one imperative sentence; empty when that depends.
        now: Whether it keeps the server from answering at this moment.
    """

    what: str
    hint: str
    now: bool


class Runtime(Faults, Protocol):
    """Turns artefacts into a listening server, and takes it away again.

    What it runs is a unit: a standalone server, or one server or sentinel of a topology.
    Every call is blocking and bounded in time. A runtime keeps what it needs to find
    a server again outside this process, so that another command can go on with it.
    """

    name: str

    def check(self) -> None:
        """Prove that this runtime works on this machine, without starting a server.

        Raises:
            MissingError: podman or valkey-server is missing, or cannot run; says why.
        """

    def prove(self, artefacts: Artefacts, material: Material = EMPTY) -> list[str]:
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

    def start(self, artefacts: Artefacts, material: Material = EMPTY) -> Endpoint:
        """Start the server, replacing safely one that runs under the same name.

        Returns when the server answers PING (or -NOAUTH) through the published
        address. On failure nothing that this call started is left running.

        Raises:
            StartError: The server ended, or did not answer in time; carries its last
                log lines.
            ToolError: podman failed.
        """

    def restart(
        self,
        artefacts: Artefacts,
        material: Material = EMPTY,
        *,
        grace: float | None = None,
        in_place: bool = True,
    ) -> bool:
        """Stop the unit cleanly and start it again, whether or not anything differs.

        One that does not run is started.

        Args:
            artefacts: What to start it from.
            material: Its secret files.
            grace: Seconds that it may take to save and end; by default those of
                *artefacts*.
            in_place: Whether its container, address and network stay, which is quicker.
                Only for *artefacts* of the same `shape` as those that it runs from.

        Returns:
            False when it did not end within its grace and had to be killed.

        Raises:
            As `start`.
        """

    def server_version(self, artefacts: Artefacts) -> str:
        """Return the version of the server that `start` would run; empty when unknown.

        Raises:
            MissingError: The image or the binary is not there.
        """

    def shape(self, artefacts: Artefacts) -> str:
        """Return a text that changes with all that a running server cannot take over.

        Two artefacts of the same shape differ in valkey.conf alone.
        """

    def adopt(self, artefacts: Artefacts) -> None:
        """Make *artefacts* what the running unit starts from next time, without touching it now.

        Called when all of valkey.conf that differs was set live. From then on `find`
        tells the digest of *artefacts*.

        Raises:
            ToolError: podman failed.
            FolderError: Our own files cannot be written.
        """

    def deliver(self, artefacts: Artefacts, material: Material) -> bool:
        """Bring *material* to where the running unit reads it; False when it was there already.

        The server does not look before it is told to (``ACL LOAD``, ``CONFIG SET``).

        Raises:
            ToolError: podman failed.
            FolderError: The files cannot be written.
        """

    def peer(self, artefacts: Artefacts) -> Peer:
        """Return where the other units of its topology reach *artefacts*."""

    def config_file(self, artefacts: Artefacts) -> str:
        """Return what the server of *artefacts* calls its ``config_file`` in INFO."""

    def find(self, name: str) -> Instance | None:
        """Return the server called *name*, or None when there is none."""

    def find_all(self, names: Iterable[str]) -> dict[str, Instance]:
        """Return those of *names* that there are, by name; as `find`, in one look for all."""

    def trouble(self, name: str) -> Trouble | None:
        """Return what is wrong, or was, with the server of *name*; None when nothing is known.

        A server that was killed for its memory and started again answers, and is in
        trouble: it will be killed again.

        Raises:
            ToolError: podman failed.
        """

    def stop(self, name: str, grace: float) -> bool:
        """Stop *name* cleanly, data saved where it persists; False when there was nothing.

        Raises:
            ToolError: It did not end within *grace* seconds and had to be killed, or
                podman failed.
        """

    def stop_all(
        self, groups: Iterable[Sequence[str]], grace: float, begun: Begun = unsaid
    ) -> Stopped:
        """Stop units cleanly: those of a group all at once, one group after the other.

        Who is interrupted finds the rest as it was, and may call it again for all.

        Args:
            groups: Names of units; who is not there is left out.
            grace: Seconds that each may take to save and end; who does not is killed.
            begun: Called with those of a group that are there, before they are stopped.

        Raises:
            ToolError: podman failed.
        """

    def data(self, artefacts: Artefacts) -> DataFolder:
        """Return the data of the unit, to put other data in its place.

        Raises:
            MissingError: The binary is not there.
        """

    def keeps(self, name: str) -> bool:
        """Say whether there is data of *name*, or a place for it."""

    def purge(self, name: str) -> bool:
        """Remove the data of a stopped *name*; False when there was none."""

    def purge_all(self, names: Sequence[str]) -> bool:
        """Remove the data of stopped units; False when there was none.

        Raises:
            RefusedError: One of them is not stopped, or a volume is somebody else's; then
                nothing is removed.
            ToolError: podman failed.
            FolderError: It cannot be removed.
        """

    def logs(self, name: str, lines: int, *, follow: bool = False) -> Iterator[str]:
        """Yield the last *lines* log lines, oldest first, then new ones with *follow*.

        Raises:
            NotFoundError: There is no such deployment.
        """
