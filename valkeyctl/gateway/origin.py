"""Where answers come from on a miss: the seam between the gateway and a provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from valkeyctl.gateway.schemas import ChatRequest


@dataclass(frozen=True)
class ChatCall:
    """One request on its way to the origin.

    Attributes:
        body: Exactly what the caller sent.
        headers: The caller's, names in lower case. An origin forwards a few of them.
        chat: What the gateway read in *body*.
    """

    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    chat: ChatRequest


@dataclass(frozen=True)
class OriginReply:
    """What the origin answered, whatever the status.

    Attributes:
        status: HTTP status.
        body: Decoded from any transfer or content coding, else untouched.
        headers: Those that a caller may see, names in lower case.
    """

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str]


@dataclass(frozen=True)
class OriginStream:
    """An answer that has begun.

    Attributes:
        status: HTTP status; with anything but 200 the chunks are one error document.
        headers: Those that a caller may see, names in lower case.
        chunks: The body, as it arrives.
    """

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes] = field(repr=False)


class Origin(Protocol):
    """Answers chat requests.

    Attributes:
        identity: Whose answers these are. Part of every cache key, so that answers
            of two origins are never mixed up.
        calls: Requests that it was given, streams included, answered or not.
    """

    identity: str
    calls: int

    @property
    def failing(self) -> bool:
        """Whether the last call, made in the last seconds, brought no answer at all."""

    async def complete(self, call: ChatCall) -> OriginReply:
        """Return the whole answer, whatever its status.

        Raises:
            RequestFailure: There is none: 502, 503 or 504, or 400 for a request that
                this origin cannot answer.
        """

    def stream(self, call: ChatCall) -> AbstractAsyncContextManager[OriginStream]:
        """Open the answer; leaving the context ends the call, finished or not.

        Raises:
            RequestFailure: As `complete`, on entry and between chunks.
        """

    async def aclose(self) -> None:
        """Close connections; calls that still run fail."""
