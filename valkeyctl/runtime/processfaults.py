"""Faults of a server that is a process of this user: signals, and no network to cut."""

from __future__ import annotations

from abc import abstractmethod

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import MissingError, NotFoundError
from valkeyctl.render.artefacts import Artefacts
from valkeyctl.runtime.material import EMPTY, Material
from valkeyctl.runtime.spawned import Spawned


class ProcessFaults:
    """The part of `ProcessRuntime` that breaks servers and mends them; see `Faults`."""

    @abstractmethod
    def process_of(self, name: str) -> Spawned | None:
        """Return the process of *name*; None when it does not run."""

    @abstractmethod
    def start(self, artefacts: Artefacts, material: Material = EMPTY) -> Endpoint:
        """As `Runtime.start`."""

    def kill(self, name: str, *, stay_down: bool = False) -> bool:
        """Send SIGKILL; see `Faults.kill`. Nothing here starts a process again by itself."""
        del stay_down
        self._running_process(name).kill()
        return False

    def revive(self, artefacts: Artefacts, material: Material = EMPTY) -> Endpoint:
        """Start it again; see `Faults.revive`."""
        return self.start(artefacts, material)

    def pause(self, name: str) -> None:
        """Send SIGSTOP; see `Faults.pause`."""
        self._running_process(name).pause()

    def resume(self, name: str) -> bool:
        """Send SIGCONT; see `Faults.resume`."""
        process = self.process_of(name)
        return process is not None and process.resume()

    def cut(self, name: str) -> None:
        """Refuse: servers on loopback share one network; see `Faults.cut`."""
        raise MissingError(
            f"the process runtime cannot cut {name} off: loopback is one network for all",
            hint="Deploy on Podman for this drill (--runtime podman), or drill hang instead",
        )

    def join(self, name: str) -> bool:
        """Do nothing: what was never cut off needs no joining; see `Faults.join`."""
        del name
        return False

    def _running_process(self, name: str) -> Spawned:
        process = self.process_of(name)
        if process is None:
            raise NotFoundError(
                f"{name} does not run", hint="See what is deployed: valkeyctl status"
            )
        return process
