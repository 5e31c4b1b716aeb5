"""What the sentinels say: which server is the primary, and that it has changed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from valkeyctl.caching.driver.asking import ask, first_answers
from valkeyctl.caching.driver.listener import Listener
from valkeyctl.caching.driver.pushes import Push
from valkeyctl.caching.replies import RichReply
from valkeyctl.endpoint import Endpoint, Node
from valkeyctl.errors import AuthError, ServerReplyError, UnreachableError, ValkeyctlError

_log = structlog.get_logger("valkeyctl.caching")

# The sentinels' words for a change of primary. All of them say the first when it is
# over; one says the second as soon as there is a new one, and the old one, if it lives,
# takes writes until the end.
_SWITCHED = "+switch-master"
_PROMOTED = "+promoted-slave"
# After the first sentinel, how long the others have to contradict it: one that was cut
# off may name a primary of the past.
_GRACE = 0.05
# Seconds of silence after which a sentinel is asked whether it is still there.
_SILENCE = 2.0


@dataclass(frozen=True)
class _Opinion:
    """What one sentinel says.

    Attributes:
        node: Where the primary is.
        epoch: Number of the election that made it so; a later one overrules.
    """

    node: Node
    epoch: int


class Sentinels:
    """The sentinels that watch one primary.

    Args:
        endpoint: Of topology ``sentinel``.
        connect_timeout: Seconds for connecting to a sentinel.
        on_switch: Called with the new primary's place when a sentinel announces one, and
            with None when announcements may have been missed; must not raise.
        rng: Source of the jitter between attempts to listen to a sentinel.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        connect_timeout: float,
        on_switch: Callable[[Node | None], None],
        rng: random.Random | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._name = (endpoint.primary_name or "").encode()
        self._connect_timeout = connect_timeout
        self._on_switch = on_switch
        self._rng = rng
        self._closed = False
        # Each as it let us in; without an entry until it has answered.
        self._watches: dict[Node, _Watch] = {}

    async def primary(self) -> Endpoint:
        """Return where the primary is by the sentinel with the newest news.

        Raises:
            UnreachableError: None of them answers, or none knows the primary's name.
            AuthError, TlsError: They do not let us in.
        """
        opinions, failures = await first_answers(
            (self._ask(node) for node in dict.fromkeys(self._endpoint.nodes)), grace=_GRACE
        )
        if opinions:
            newest = max(opinions, key=lambda opinion: opinion.epoch)
            return self._endpoint.server(*newest.node)
        for failure in failures:
            if not isinstance(failure, UnreachableError):
                raise failure
        raise UnreachableError(
            f"no sentinel of {self._endpoint.address} names a primary: {failures[0]}",
            hint="Check the sentinels' addresses and the primary's name",
        ) from failures[0]

    def close(self) -> None:
        """As `Link.close`."""
        self._closed = True
        for watch in self._watches.values():
            watch.listener.close()

    async def aclose(self) -> None:
        """Close the connections to the sentinels."""
        self.close()
        await asyncio.gather(*(watch.listener.aclose() for watch in self._watches.values()))

    async def _ask(self, node: Node) -> _Opinion:
        watch = self._watches.get(node)
        if watch is not None:
            return await self._opinion(watch.endpoint)
        own, servers = self._logins(node)
        try:
            opinion, login = await self._opinion(own), own
        except AuthError:
            if servers == own or self._endpoint.sentinel_password is not None:
                raise
            # Many deployments have one login for all; a sentinel that wants none would
            # not need to be asked a second time.
            opinion, login = await self._opinion(servers), servers
        self._watch(node, login)
        return opinion

    def _logins(self, node: Node) -> tuple[Endpoint, Endpoint]:
        """Return a sentinel with the login that is the sentinels', and with the servers'."""
        servers = replace(self._endpoint.server(*node), db=0)
        own = replace(
            servers,
            username=self._endpoint.sentinel_username,
            password=self._endpoint.sentinel_password,
        )
        return own, servers

    async def _opinion(self, sentinel: Endpoint) -> _Opinion:
        try:
            place, facts = await ask(
                sentinel,
                [
                    # It knows of a promotion sooner, the other which election it was.
                    ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name),
                    ("SENTINEL", "MASTER", self._name),
                ],
                patience=self._connect_timeout,
            )
            match place:
                case [bytes() as host, bytes() as port] if port.isdigit():
                    epoch = _fields(facts).get(b"config-epoch", b"")
                    node = (host.decode(errors="replace"), int(port))
                    return _Opinion(node, int(epoch) if epoch.isdigit() else 0)
        except ServerReplyError as error:
            if "No such" not in str(error):
                raise UnreachableError(f"a sentinel cannot be asked: {error}") from error
        raise UnreachableError(
            f"sentinel {sentinel.address} knows no primary called {self._endpoint.primary_name}"
        )

    def _watch(self, node: Node, sentinel: Endpoint) -> None:
        if node not in self._watches and not self._closed:
            self._watches[node] = _Watch(
                sentinel,
                self._name,
                on_switch=self._on_switch,
                connect_timeout=self._connect_timeout,
                rng=self._rng,
            )


class _Watch:
    """Listens to one sentinel, for ever; the audience of its `Listener`."""

    def __init__(
        self,
        endpoint: Endpoint,
        name: bytes,
        *,
        on_switch: Callable[[Node | None], None],
        connect_timeout: float,
        rng: random.Random | None,
    ) -> None:
        self.endpoint = endpoint
        self._name = name
        self._on_switch = on_switch
        self._missed = False
        self.listener = Listener(
            self._located,
            self,
            purpose="sentinel",
            connect_timeout=connect_timeout,
            silence=_SILENCE,
            rng=rng,
        )
        self.listener.start()

    async def _located(self) -> Endpoint:
        return self.endpoint

    def opened(self) -> None:
        """As `Audience.opened`."""
        self.listener.send(("SUBSCRIBE", _SWITCHED, _PROMOTED), self._subscribed)

    def heard(self, push: Push) -> None:
        """As `Audience.heard`."""
        match push:
            case [b"message", _, bytes() as message]:
                match message.split(b" "):
                    case [name, _, _, host, port] if name == self._name and port.isdigit():
                        self._on_switch((host.decode(errors="replace"), int(port)))
                    case [_, _, host, port, b"@", name, _, _] if (
                        name == self._name and port.isdigit()
                    ):
                        self._on_switch((host.decode(errors="replace"), int(port)))

    def lost(self, reason: ValkeyctlError) -> None:  # noqa: ARG002 - the listener logs it
        """As `Audience.lost`."""
        self._missed = True

    def refused(self, reason: ValkeyctlError) -> None:  # noqa: ARG002 - as above
        """As `Audience.refused`."""
        self._missed = True

    def _subscribed(self, answer: RichReply | ValkeyctlError) -> None:
        if isinstance(answer, ValkeyctlError):
            if not isinstance(answer, UnreachableError):
                # Failovers are then found by failing calls alone.
                _log.warning("sentinel_unheard", reason=str(answer))
        elif self._missed:
            self._missed = False
            self._on_switch(None)


def _fields(reply: RichReply) -> dict[bytes, bytes]:
    if isinstance(reply, list):  # from a sentinel that answers as in RESP2
        reply = {
            name: value
            for name, value in zip(reply[::2], reply[1::2], strict=False)
            if isinstance(name, bytes)
        }
    fields = reply if isinstance(reply, dict) else {}
    return {name: value for name, value in fields.items() if isinstance(value, bytes)}
