"""Which libraries are measured, and where each finds its packages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_PINS = Path(__file__).parent / "peers"


@dataclass(frozen=True)
class Peer:
    """A library with an adapter.

    Attributes:
        name: What ``--peers`` calls it.
        adapter: Module in `benchmarks.micro.adapters`.
        source: Folder to import valkeyctl from; None takes what is installed.
        label: What follows the titles of its arms in the tables.
    """

    name: str
    adapter: str
    source: Path | None = None
    label: str = ""

    @property
    def pins(self) -> Path | None:
        """The exact versions of its packages; None for valkeyctl, which is installed here."""
        path = _PINS / f"{self.name}.txt"
        return path if path.exists() else None


OURS = "valkeyctl"
RAW = "raw"

PEERS = {
    peer.name: peer
    for peer in (
        Peer(RAW, "raw"),
        Peer(OURS, "valkeyctl"),
        Peer("valkey-glide", "glide"),
        Peer("cashews", "cashews"),
        Peer("aiocache", "aiocache"),
        Peer("fastapi-cache2", "fastapi_cache2"),
        Peer("fastapi-redis-sdk", "fastapi_redis_sdk"),
        Peer("litellm", "litellm"),
        Peer("langchain-community", "langchain"),
        Peer("dogpile.cache", "dogpile"),
    )
}
