"""What every topology offers to `ValkeyClient`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from valkeyctl.caching.replies import RichReply, Word
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import AuthError, ServerReplyError, UnreachableError

Command: TypeAlias = Sequence[Word]
Outcome: TypeAlias = RichReply | ServerReplyError
LinkOutcome: TypeAlias = Outcome | AuthError | UnreachableError
"""An UnreachableError takes its command's place where only a part of a deployment is away."""


class Link(Protocol):
    """Connections to a deployment: one server, Sentinel or Cluster behind the same calls.

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

    async def primaries(self) -> tuple[Endpoint, ...]:
        """Return the servers that take writes now: one, or one for each part of a cluster.

        Raises:
            ValkeyctlError: As `exchange`.
        """

    def close(self) -> None:
        """Close every connection at once; calls in flight end with UnreachableError.

        A transport gives its socket back some turns of the event loop later.
        """

    async def aclose(self) -> None:
        """Close every connection, and wait until the sockets are given back.

        It begins with `close`, before anything is waited for: whoever closes is often
        cancelled himself, and what he had not come to would stay open for ever.
        """


@dataclass(frozen=True)
class Unlinked:
    """What became of keys that were to be deleted on primaries and replicas.

    Attributes:
        count: How many of them there were on the primaries.
        unconfirmed: Addresses of the primaries with replicas of which none confirmed in time.
        failure: Why some were not deleted; None when all are gone from the primaries.
    """

    count: int
    unconfirmed: tuple[str, ...] = ()
    failure: AuthError | ServerReplyError | UnreachableError | None = None


class ReplicatedLink(Link, Protocol):
    """A link to primaries that have replicas, one of which may take a primary's place."""

    async def unlink(self, keys: Sequence[bytes], *, patience: float) -> Unlinked:
        """Delete *keys*, and wait up to *patience* seconds for a replica of each primary.

        A primary without connected replicas is not waited for.

        Raises:
            UnreachableError, DeadlineError, AuthError, TlsError: As `exchange`.
        """
