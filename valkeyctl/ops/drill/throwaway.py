"""A throwaway server for a load run: what it is, and the faults that can be made of it."""

from __future__ import annotations

from collections.abc import Mapping

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import UsageError
from valkeyctl.ops.drill.disturbance import named_kind
from valkeyctl.ops.serverfacts import server_facts
from valkeyctl.runtime.binary import find_binary
from valkeyctl.runtime.throwaway import Throwaway

# About what a restart policy takes to notice and to act.
_HOLD = 1.0


class RunServer:
    """A server that was started for one run; see `start_for_run`.

    Attributes:
        facts: What it is and how it is set.
    """

    def __init__(self, server: Throwaway, facts: Mapping[str, str]) -> None:
        self.facts = facts
        self._server = server

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens."""
        return self._server.endpoint

    def fault(self, kind: str) -> RunServerFault:
        """Return the fault *kind* of it; nothing is done yet.

        Nobody can take over from one server, so a failover is a crash here, too.

        Raises:
            UsageError: There is no such fault of one server.
        """
        if named_kind(kind) == "partition":
            raise UsageError(
                "a throwaway server cannot be cut off: loopback is one network for all",
                hint="Use hang instead, or deploy on Podman and name the profile with -p",
            )
        return RunServerFault(self._server, kind)

    def trouble(self) -> str:
        """Return why it has ended by itself; empty while it runs, or was ended by a fault."""
        return self._server.trouble()

    def close(self) -> None:
        """End it and remove its files; closing again changes nothing."""
        self._server.close()


class RunServerFault:
    """A crash, a hang or a restart of a throwaway server."""

    def __init__(self, server: Throwaway, kind: str) -> None:
        self._server = server
        self._kind = kind

    def inflict(self) -> str:
        """Do it; return what was done."""
        if self._kind == "hang":
            self._server.pause()
            return "throwaway server paused"
        self._server.kill()
        return "throwaway server killed"

    def over(self, elapsed: float) -> bool:
        """Say whether it has lasted long enough, *elapsed* seconds after it began."""
        return self._kind == "restart" or elapsed >= _HOLD

    def mend(self) -> str:
        """Undo it; return what was done.

        Raises:
            StartError: It did not start again.
        """
        self._server.resume()
        self._server.start()
        return "resumed" if self._kind == "hang" else "started again, empty"


def start_for_run(settings: Mapping[str, str]) -> RunServer:
    """Return a server with *settings* that ends with this process at the latest.

    Args:
        settings: Directives of valkey.conf and their values.

    Raises:
        MissingError: There is no valkey-server on this machine.
        UsageError: A setting is one that a throwaway server has of its own.
        StartError: It refuses a setting, or did not answer.
    """
    binary = find_binary(full_build=settings.get("activedefrag") == "yes")
    server = Throwaway(binary, settings)
    try:
        facts = {**settings, **server_facts(server.endpoint)}
    except BaseException:  # Ctrl-C too: nobody else knows of it yet
        server.close()
        raise
    return RunServer(server, facts)
