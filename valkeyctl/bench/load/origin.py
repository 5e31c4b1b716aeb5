"""How often the origin was called, asked of each arm's own server between the stages."""

from __future__ import annotations

from collections.abc import Sequence

from valkeyctl.bench.arm import Arm
from valkeyctl.bench.load.address import Address
from valkeyctl.bench.load.answers import origin_calls
from valkeyctl.bench.load.client import Client
from valkeyctl.bench.load.encoder import Encoder
from valkeyctl.bench.traffic.scenario import Expectation
from valkeyctl.bench.traffic.stream import Request

_PATIENCE = 10.0


class Origin:
    """Reads the counters of every arm's server, on connections of its own.

    The load's own connections stay as its requests left them.
    """

    def __init__(self, arms: Sequence[Arm], urls: Sequence[str]) -> None:
        question = Request(0, 0, 0, "GET", "/metrics", b"", (), Expectation())
        self._clients: dict[str, Client] = {}
        self._questions: list[tuple[Client, bytes]] = []
        for arm, url in zip(arms, urls, strict=True):
            address = Address.of(url)
            if url not in self._clients:
                self._clients[url] = Client(address, timeout=_PATIENCE, deadline=_PATIENCE)
            self._questions.append(
                (self._clients[url], Encoder(address, arm.headers).encode(question))
            )

    def calls(self, arm: int) -> int | None:
        """Return what *arm*'s server has counted so far; None where it does not say."""
        client, question = self._questions[arm]
        try:
            exchange = client.ask(question, patience=_PATIENCE)
        except TimeoutError:
            return None
        if exchange.status != 200:
            return None
        return origin_calls(exchange.body.decode("utf-8", errors="replace"))

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()
