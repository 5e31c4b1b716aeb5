"""What a drill does to a running unit, and how it is undone; the other half of a runtime."""

from __future__ import annotations

from typing import Protocol

from valkeyctl.endpoint import Endpoint
from valkeyctl.render.artefacts import Artefacts
from valkeyctl.runtime.material import EMPTY, Material


class Faults(Protocol):
    """Breaks a unit on purpose, in ways that can be undone.

    Every undoing may be called again, and on a unit that is not broken (any more): then
    it changes nothing. What it needs to know is kept outside of this process.
    """

    def kill(self, name: str, *, stay_down: bool = False) -> bool:
        """End the server of *name* as a crash would: SIGKILL, with nothing saved.

        Args:
            name: Of the unit.
            stay_down: Keep it down until `revive`, as a machine that is gone would.

        Returns:
            Whether something will start it again by itself.

        Raises:
            NotFoundError: It does not run.
            ToolError: podman failed.
        """

    def revive(self, artefacts: Artefacts, material: Material = EMPTY) -> Endpoint:
        """Start a unit that was killed again, as it was, and return when it answers.

        Raises:
            As `Runtime.start`.
        """

    def pause(self, name: str) -> None:
        """Let the server of *name* accept connections and answer nothing.

        Raises:
            NotFoundError: It does not run.
            ToolError: podman failed.
        """

    def resume(self, name: str) -> bool:
        """Let a paused server go on; False when it was not paused.

        Raises:
            ToolError: podman failed.
        """

    def cut(self, name: str) -> None:
        """Cut the server of *name* off from its peers and its clients; it goes on running.

        Raises:
            MissingError: This runtime has no network that could be cut.
            NotFoundError: It does not run.
            ToolError: podman failed.
        """

    def join(self, name: str) -> bool:
        """Give a server that was cut off its network back; False when it has it.

        Raises:
            ToolError: podman failed.
        """
