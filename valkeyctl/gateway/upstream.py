"""An origin over HTTP: any provider that speaks the OpenAI protocol."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import httpx

from valkeyctl import __version__
from valkeyctl.gateway.failures import RequestFailure
from valkeyctl.gateway.origin import ChatCall, OriginReply, OriginStream
from valkeyctl.gateway.scope import CREDENTIALS, VARIANTS

# Of the provider's headers the caller sees these: what its client library acts on, and
# what a support request needs. Anything else may be about the connection, or internal.
_SHOWN = frozenset({"content-type", "retry-after", "retry-after-ms", "x-should-retry"})
_SHOWN_PREFIXES = ("x-ratelimit-", "openai-")
_PROVIDER_REQUEST_ID = "x-request-id"
# How long a failed call says something about the provider. Without an end, a gateway
# that is sent no requests because it failed would never be seen to work again.
_FAILURE_MEMORY = 10.0
_BUSY = 503


class Upstream:
    """The `Origin` that buys answers from a provider.

    Args:
        base_url: To which ``/chat/completions`` is added.
        api_key: Sent as the bearer token, instead of what the caller sent; None sends
            the caller's own credential.
        connect_timeout: Seconds for the connection.
        timeout: Seconds for a whole answer; of a stream, for the longest silence.
        connections: Most calls at one time; more of them wait for *connect_timeout*.
        max_reply_bytes: Largest answer that is not a stream.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        connect_timeout: float = 5.0,
        timeout: float = 600.0,
        connections: int = 1000,
        max_reply_bytes: int = 32 * 2**20,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.identity = base_url
        self.calls = 0
        self._failed_at: float | None = None
        self._clock = clock
        self._url = f"{base_url}/chat/completions"
        self._api_key = api_key
        self._timeout = timeout
        self._max_reply_bytes = max_reply_bytes
        self._http = httpx.AsyncClient(
            # A redirect would carry the credential to an address that nobody configured.
            follow_redirects=False,
            timeout=httpx.Timeout(timeout, connect=connect_timeout, pool=connect_timeout),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=100),
            headers={"user-agent": f"valkeyctl/{__version__}"},
        )

    @property
    def failing(self) -> bool:
        """Whether the last call, made in the last 10 s, brought no answer at all."""
        return self._failed_at is not None and self._clock() - self._failed_at < _FAILURE_MEMORY

    async def complete(self, call: ChatCall) -> OriginReply:
        """Return the provider's whole answer, whatever its status.

        Raises:
            RequestFailure: 502 unreachable or broken off or too large, 503 all connections
                busy, 504 not answered in time.
        """
        try:
            async with asyncio.timeout(self._timeout), self.stream(call) as stream:
                with self._mapped():
                    body = await self._read(stream)
        except TimeoutError as error:
            self._failed_at = self._clock()
            raise self._late() from error
        return OriginReply(stream.status, body, stream.headers)

    @asynccontextmanager
    async def stream(self, call: ChatCall) -> AsyncIterator[OriginStream]:
        """Open the provider's answer.

        Raises:
            RequestFailure: As `complete`.
        """
        self.calls += 1
        with self._mapped():
            request = self._http.build_request(
                "POST", self._url, content=call.body, headers=self._headers(call)
            )
            response = await self._http.send(request, stream=True)
        self._failed_at = None
        try:
            yield OriginStream(
                response.status_code, _shown(response.headers), self._chunks(response)
            )
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        """Close the connections to the provider."""
        await self._http.aclose()

    def _headers(self, call: ChatCall) -> dict[str, str]:
        headers = {"content-type": "application/json"}
        if call.chat.stream:
            # A compressed stream arrives in the blocks of the compressor, not token by token.
            headers["accept-encoding"] = "identity"
            headers["accept"] = "text/event-stream"
        for name in (*VARIANTS, *(() if self._api_key else CREDENTIALS)):
            if name in call.headers:
                headers[name] = call.headers[name]
        if self._api_key:
            headers["authorization"] = f"Bearer {self._api_key}"
        return headers

    async def _chunks(self, response: httpx.Response) -> AsyncIterator[bytes]:
        with self._mapped():
            async for chunk in response.aiter_bytes():
                yield chunk

    async def _read(self, stream: OriginStream) -> bytes:
        body = bytearray()
        async for chunk in stream.chunks:
            body += chunk
            if len(body) > self._max_reply_bytes:
                raise RequestFailure(
                    502,
                    "upstream_reply_too_large",
                    f"the provider's answer is larger than {self._max_reply_bytes} bytes",
                )
        return bytes(body)

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        """Turn httpx's exceptions into what the caller is told; addresses stay here."""
        try:
            yield
        except httpx.RequestError as error:
            failure = self._failure(error)
            # That all connections are busy says nothing about the provider.
            if failure.status != _BUSY:
                self._failed_at = self._clock()
            raise failure from error

    def _failure(self, error: httpx.RequestError) -> RequestFailure:
        if isinstance(error, httpx.PoolTimeout):
            return RequestFailure(
                _BUSY,
                "upstream_busy",
                "all connections to the provider are in use",
                headers={"retry-after": "1"},
            )
        if isinstance(error, httpx.TimeoutException):
            return self._late()
        if isinstance(error, httpx.ConnectError):
            return RequestFailure(502, "upstream_unreachable", "the provider cannot be reached")
        return RequestFailure(502, "upstream_failed", "the connection to the provider broke off")

    def _late(self) -> RequestFailure:
        return RequestFailure(
            504,
            "upstream_timeout",
            f"the provider did not answer in time (at most {self._timeout:g} s)",
        )


def _shown(headers: Mapping[str, str]) -> dict[str, str]:
    shown = {
        name: value
        for name, value in headers.items()
        if name in _SHOWN or name.startswith(_SHOWN_PREFIXES)
    }
    if _PROVIDER_REQUEST_ID in headers:
        shown["x-upstream-request-id"] = headers[_PROVIDER_REQUEST_ID]
    return shown
