"""What every topology offers to `ValkeyClient`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

from valkeyctl.caching.replies import RichReply, Word
from valkeyctl.errors import AuthError, ServerReplyError

Command: TypeAlias = Sequence[Word]
Outcome: TypeAlias = RichReply | ServerReplyError
LinkOutcome: TypeAlias = Outcome | AuthError


class Link(Protocol):
    """Connections to a deployment; standalone today, Sentinel and Cluster behind the same calls.

    A link knows no deadline and no breaker: its caller cancels it, and a cancelled
    exchange costs at most the connection that it used.
    """

    async def exchange(self, commands: Sequence[Command]) -> list[LinkOutcome]:
        """Send all *commands* in one write and return their answers in order, error replies too.

        Raises:
            UnreachableError: No connection, or it broke; commands in flight may have run.
            DeadlineError: The connection could not be made in time.
            AuthError, TlsError: The server does not let us in.
        """

    async def probe(self) -> None:
        """Connect anew, outside of the slots that calls use, and PING.

        Raises:
            ValkeyctlError: As `exchange`, and ServerReplyError while it loads its data.
        """

    async def aclose(self) -> None:
        """Close every connection; calls in flight end with UnreachableError."""
