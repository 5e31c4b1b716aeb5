"""An answer as it is stored, and which answers may be."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from starlette.datastructures import Headers
from starlette.responses import Response

from valkeyctl.caching.codec import Value
from valkeyctl.fastapi.directives import directives_of, lifetime_of, names_of
from valkeyctl.fastapi.rule import CREDENTIALS, CacheRule

RawHeaders = Sequence[tuple[bytes, bytes]]

# What belongs to one connection or one delivery (RFC 9110, 7.6.1), and what is made anew.
_DROPPED = frozenset(
    {
        "age",
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "server",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-cache",
        "x-valkeyctl-cache",
    }
)


@dataclass(frozen=True)
class StoredResponse:
    """An answer with status 200 that others may get.

    Attributes:
        headers: In the origin's order, names in lower case; an ``etag`` is among them.
        body: All of it.
        at: Seconds since 1970 when it was made, by the clock of who made it.
    """

    headers: tuple[tuple[str, str], ...]
    body: bytes
    at: float

    def header(self, name: str) -> str | None:
        """Return the values of a header, joined as HTTP says; None when it has none."""
        values = [value for key, value in self.headers if key == name]
        return ", ".join(values) if values else None

    def lifetime(self) -> float | None:
        """Return the seconds that the origin itself gave it; None when it did not say."""
        return lifetime_of(self.header("cache-control"), self.header("expires"), now=self.at)

    def value(self) -> Value:
        """Return what the cache stores."""
        headers: list[Value] = [[name, text] for name, text in self.headers]
        return {"headers": headers, "body": self.body, "at": self.at}

    @classmethod
    def read(cls, value: object) -> StoredResponse | None:
        """Return what `value` returned; None for anything else, which somebody else stored."""
        if not isinstance(value, dict):
            return None
        headers, body, at = value.get("headers"), value.get("body"), value.get("at")
        if not (isinstance(body, bytes) and isinstance(headers, list) and isinstance(at, float)):
            return None
        if not all(
            isinstance(pair, list) and len(pair) == 2 and all(isinstance(x, str) for x in pair)
            for pair in headers
        ):
            return None
        pairs = cast("list[list[str]]", headers)
        return cls(tuple((name, text) for name, text in pairs), body, at)


def may_be_shared(status: int, headers: RawHeaders, rule: CacheRule, *, now: float) -> bool:
    """Say whether an answer of this status and these headers may be given to others."""
    fields = Headers(raw=list(headers))
    if status != 200 or "set-cookie" in fields:
        return False
    cache_control = ", ".join(fields.getlist("cache-control"))
    control = directives_of(cache_control)
    if "no-store" in control or "no-cache" in control:
        return False
    if "private" in control and not rule.private:
        return False
    # An answer that depends on what is no part of its key would be served to the wrong ones.
    covered = {*rule.vary} if rule.scope == "public" else {*rule.vary, *CREDENTIALS}
    if not names_of(fields.getlist("vary")) <= covered:
        return False
    return lifetime_of(cache_control, fields.get("expires"), now=now) != 0


def stored_from(headers: RawHeaders, body: bytes, *, now: float) -> StoredResponse:
    """Return what is stored of an answer that `may_be_shared`; with an ``etag``."""
    kept = [
        (name, value.decode("latin-1"))
        for raw, value in headers
        if (name := raw.decode("latin-1").lower()) not in _DROPPED
    ]
    if not any(name == "etag" for name, _ in kept):
        kept.append(("etag", _etag(kept, body)))
    return StoredResponse(tuple(kept), body, now)


def body_of(response: Response) -> bytes | None:
    """Return the body of a response that sends it in one piece; None for streams and files."""
    # A class of somebody else's that streams may have both.
    if hasattr(response, "body_iterator"):
        return None
    body = getattr(response, "body", None)
    return bytes(body) if isinstance(body, (bytes, bytearray, memoryview)) else None


def _etag(headers: Iterable[tuple[str, str]], body: bytes) -> str:
    """Return a strong entity tag: equal for equal answers, in every process (RFC 9110, 8.8.3)."""
    content = hashlib.sha256()
    for name, value in headers:
        if name in ("content-type", "content-encoding", "content-language"):
            content.update(f"{name}:{value}\n".encode())
    content.update(b"\n")
    content.update(body)
    return f'"{content.hexdigest()[:32]}"'
