"""The one address that requests are sent to, and what becomes of each of them there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx

from valkeyctl import __version__
from valkeyctl.errors import TlsError, UnreachableError, UsageError
from valkeyctl.ops.keyspace.display import show_text
from valkeyctl.ops.keyspace.inspection.mask import mask_text
from valkeyctl.ops.keyspace.requests.line import GatewayRequest
from valkeyctl.units import format_duration

_CONNECT_TIMEOUT = 5.0
_HEALTH_TIMEOUT = 10.0
# Of an answer that nobody reads: its beginning for an error's words, its end for a stream's.
_KEPT_BYTES = 16 * 1024
_LONGEST_REASON = 160
_CREDENTIALS = frozenset({"authorization", "api-key", "x-api-key"})
_FORM = "Give the address that `valkeyctl gateway serve` says it listens on: --gateway URL"


class Outcome(StrEnum):
    """What became of one request."""

    HIT = "hit"  # its answer lay in the cache
    STORED = "stored"  # its answer lies there now
    SHARED = "shared"  # the same request was under way, and brought its answer
    UNSTORED = "unstored"  # answered past the cache: a stream, say, or not to be kept
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request with its answer.

    Attributes:
        outcome: What became of it.
        reason: Why it was refused, fit for a terminal and without secrets; else empty.
    """

    outcome: Outcome
    reason: str = ""


class GatewayClient:
    """Sends requests to one gateway and to nothing else; opened by `async with`.

    No proxy, login or cookie of the environment's is used, and no redirect followed.

    Args:
        url: Its base URL.
        timeout: Seconds that it may be silent in a call.
        connections: Most calls at one time.
        credential: Sent as a bearer token with requests that have no credential of their
            own; None sends none.

    Raises:
        UsageError: The URL cannot be one of a gateway.
    """

    def __init__(
        self, url: str, *, timeout: float, connections: int, credential: str | None = None
    ) -> None:
        self.url = checked_url(url)
        self._timeout = timeout
        self._credential = credential
        self._http = httpx.AsyncClient(
            trust_env=False,
            follow_redirects=False,
            # One caller's cookies must not travel with another's requests.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            timeout=httpx.Timeout(timeout, connect=min(timeout, _CONNECT_TIMEOUT), pool=None),
            limits=httpx.Limits(max_connections=connections + 1),
            headers={
                "user-agent": f"valkeyctl/{__version__}",
                "content-type": "application/json",
                "accept": "*/*",
                # Nobody reads the answers, so nobody shall work at making them small.
                "accept-encoding": "identity",
            },
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def check(self) -> None:
        """Make sure that this is a gateway, and that it could store an answer now.

        Raises:
            UnreachableError, TlsError: Nothing answers, or it has lost its cache server.
            UsageError: Something else answers, which a request may cost money at.
        """
        try:
            answer = await self._http.get(f"{self.url}/healthz", timeout=_HEALTH_TIMEOUT)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        try:
            store = json.loads(answer.content)["store"]
            state, reason = store["state"], store.get("reason", "")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"{self.url} is no valkeyctl gateway: it answers /healthz with "
                f"{answer.status_code} and says nothing of a store",
                hint=_FORM,
            ) from error
        if state != "up":
            raise UnreachableError(
                f"the gateway at {self.url} has lost its cache ({show_text(str(reason))}), so "
                "nothing would be stored",
                hint="Look at its cache server: valkeyctl health",
            )

    async def send(self, request: GatewayRequest) -> Exchange:
        """Send one request, read its answer to the end, and say what became of it.

        Raises:
            UnreachableError, TlsError: The gateway is gone; what it did with the request is
                unknown.
        """
        headers = dict(request.headers)
        if self._credential and _CREDENTIALS.isdisjoint(name.lower() for name in headers):
            headers["authorization"] = f"Bearer {self._credential}"
        try:
            async with self._http.stream(
                request.method, self.url + request.path, content=request.body, headers=headers
            ) as answer:
                begin, end = bytearray(), b""
                async for piece in answer.aiter_raw():
                    begin += piece[: max(0, _KEPT_BYTES - len(begin))]
                    end = (end + piece)[-_KEPT_BYTES:]
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise self._unreachable(error) from error
        except httpx.TransportError as error:
            # Was it this one request, or is the gateway gone with all that are under way?
            await self.check()
            return Exchange(Outcome.REFUSED, self._broken(error))
        if not answer.is_success:
            return Exchange(Outcome.REFUSED, f"HTTP {answer.status_code}{_told(bytes(begin))}")
        if failure := _stream_failure(answer.headers.get("content-type", ""), end):
            return Exchange(Outcome.REFUSED, failure)
        return Exchange(_outcome(answer.headers))

    def _unreachable(self, error: httpx.TransportError) -> UnreachableError | TlsError:
        if "SSL" in str(error):
            return TlsError(
                f"the TLS handshake with the gateway at {self.url} failed: {error}",
                hint="Check that the port speaks TLS and that its certificate is known here",
            )
        return UnreachableError(f"no gateway answers at {self.url}", hint=_FORM)

    def _broken(self, error: httpx.TransportError) -> str:
        if isinstance(error, httpx.TimeoutException):
            return f"no answer within {format_duration(self._timeout)}"
        return "the answer broke off"


def checked_url(url: str) -> str:
    """Return *url* without a slash at its end.

    Raises:
        UsageError: It is no http(s) URL, or holds a login. The message does not repeat it.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
        _port = parts.port
    except ValueError as error:
        raise UsageError(f"the gateway's URL cannot be read: {error}", hint=_FORM) from error
    if parts.username is not None or parts.password is not None:
        raise UsageError("the gateway's URL holds a user or password", hint=_FORM)
    clean = url.isascii() and url.isprintable() and not set(' \\?#"<>') & set(url)
    if not usable or not clean:
        raise UsageError("the gateway's URL is not an http or https address", hint=_FORM)
    return url.rstrip("/")


def _outcome(headers: httpx.Headers) -> Outcome:
    """Return what the gateway says that its cache did."""
    match headers.get("x-cache", "").strip().lower():
        case "hit":
            return Outcome.HIT
        case "collapsed":
            return Outcome.SHARED
        case "miss":
            # RFC 9211: parameters after the cache's name, with semicolons between them.
            told = headers.get("cache-status", "").split(";")
            return Outcome.STORED if "stored" in map(str.strip, told) else Outcome.UNSTORED
    return Outcome.UNSTORED


def _told(body: bytes) -> str:
    """Return the words of an error answer; it may quote the credential that it refuses."""
    try:
        error = json.loads(body)["error"]
        words = error["message"] if isinstance(error, dict) else error
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    if not isinstance(words, str) or not words:
        return ""
    return f": {show_text(mask_text(words)[:_LONGEST_REASON])}".replace("\n", " ")


def _stream_failure(content_type: str, end: bytes) -> str:
    """Return why a stream failed that had begun well; empty when it did not."""
    if not content_type.startswith("text/event-stream"):
        return ""
    events = [line[5:].strip() for line in end.splitlines() if line.startswith(b"data:")]
    last = events[-1] if events else b""
    try:
        document = json.loads(last)
    except (ValueError, RecursionError):
        return ""  # [DONE], or an event longer than what was kept
    failed = isinstance(document, dict) and "error" in document
    return f"the stream failed{_told(last)}" if failed else ""
