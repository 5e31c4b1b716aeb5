"""Commands that a person typed, one after the other, on whatever is deployed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from valkeyctl.caching.wire import Reply, Wire, Word
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import (
    ServerReplyError,
    UnreachableError,
    UsageError,
    ValkeyctlError,
)
from valkeyctl.ops.keyspace.nodes import primaries

_REDIRECTION = re.compile(r"\b(MOVED|ASK) [0-9]+ (\S*):([0-9]+)")
_HOPS = 8
_SETUP = 5.0  # seconds for connecting, and for asking who the primary is
# Their answers never end, so they need a program that listens.
_ENDLESS = frozenset({"SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR", "SYNC", "PSYNC"})


class Conversation:
    """Asks one command at a time, and follows where the deployment sends it.

    Args:
        endpoint: Of any topology. Behind Sentinel the primary is asked, and found anew
            after a failure; redirections of a Cluster are followed.
        deadline: Seconds that an answer may take.
    """

    def __init__(self, endpoint: Endpoint, *, deadline: float) -> None:
        self._endpoint = endpoint
        self._deadline = deadline
        self._wires: dict[Endpoint, Wire] = {}
        self._home: Endpoint | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def address(self) -> str:
        """The server that answered last; the deployment's before the first answer."""
        return (self._home or self._endpoint).address

    def open(self) -> None:
        """Connect, so that a server that is not there is noticed before the first command.

        Raises:
            UnreachableError, AuthError, TlsError: as `Wire.open`.
        """
        self._wire(self._server())

    def close(self) -> None:
        """Close all connections."""
        for wire in self._wires.values():
            wire.close()
        self._wires.clear()
        self._home = None

    def ask(self, words: Sequence[Word]) -> Reply:
        """Return the answer to one command.

        Raises:
            UsageError: It is one whose answers never end.
            UnreachableError: No answer; the next command connects anew.
            AuthError, ServerReplyError: The answer is a refusal.
        """
        name = _text(words[0]).upper()
        if name in _ENDLESS:
            raise UsageError(
                f"{name} has answers without end, which this prompt does not show",
                hint="Install valkey-cli, which does",
            )
        try:
            return self._followed(words)
        except UnreachableError:
            self.close()
            raise

    def _followed(self, words: Sequence[Word]) -> Reply:
        server, asking = self._server(), False
        for _ in range(_HOPS):
            wire = self._wire(server)
            try:
                if asking:
                    wire.call("ASKING")
                answer = wire.call(*words)
            except ServerReplyError as error:
                sent_on = _REDIRECTION.search(str(error))
                if sent_on is None or not self._in_cluster:
                    raise
                # Without a host it is the one that we asked.
                host = sent_on[2] if sent_on[2] not in ("", "?") else server.host
                server, asking = self._endpoint.server(host, int(sent_on[3])), sent_on[1] == "ASK"
            else:
                if not asking:
                    self._home = server
                return answer
        raise UnreachableError(f"{self._endpoint.address} sends {_HOPS} times to another node")

    @property
    def _in_cluster(self) -> bool:
        return self._endpoint.topology == "cluster"

    def _server(self) -> Endpoint:
        if self._home is None:
            single = self._endpoint.topology == "standalone"
            self._home = (
                self._endpoint if single else primaries(self._endpoint, timeout=_SETUP).nodes[0]
            )
        return self._home

    def _wire(self, server: Endpoint) -> Wire:
        wire = self._wires.get(server)
        if wire is None:
            wire = Wire(server, timeout=_SETUP)
            wire.open()
            self._wires[server] = wire
        wire.allow(self._deadline)
        return wire


def refusal(error: ValkeyctlError) -> str:
    """Return a refusal in the server's own words, which follow its address."""
    return str(error).partition(" answered: ")[2] or str(error)


def _text(word: Word) -> str:
    return word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word)
