"""What of an endpoint is cached, for whom and how long: `CacheRule`."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import parse_qsl

from starlette.requests import Request

from valkeyctl.caching.keys import KeyScheme
from valkeyctl.errors import InvalidKeyError, UsageError
from valkeyctl.fastapi.directives import wish_of

# Changes whenever what is hashed or stored below changes; older entries are then not found.
_SCHEMA = 1

CREDENTIALS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"})
"""Request headers that say who asks."""

# Answers to these depend on more than what was asked for.
_CONDITIONS = ("range", "if-match", "if-unmodified-since", "if-range")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+", re.ASCII)

Scope: TypeAlias = Callable[[Request], str | None] | Literal["public"] | None
Tags: TypeAlias = Collection[str] | Callable[[Request], Collection[str]]


@dataclass(frozen=True)
class Plan:
    """How the cache is used for one request.

    Attributes:
        id: What the answer is stored under.
        tags: What it can be invalidated by, beside its namespace.
        refresh: Ask the endpoint even where an answer is stored.
    """

    id: str
    tags: tuple[str, ...]
    refresh: bool


@dataclass(frozen=True)
class CacheRule:
    """What of an endpoint is cached, for whom and how long.

    Answers are shared by requests with the same URL, query parameters in any order, the
    same values of the *vary* headers and the same *scope*.

    Attributes:
        namespace: Where answers are stored; what `CacheService.invalidate` takes.
        ttl: Seconds that an answer may be served; None takes the namespace's policy.
        vary: Request headers that change the answer, such as ``accept-language``.
        scope: Whose answers these are. None: of callers without credentials; a request
            with one of `CREDENTIALS` is not cached. A callable names the user, tenant or
            role that shares them; None from it means do not cache. ``"public"``: the same
            for everybody, whoever asks.
        tags: What `CacheService.invalidate_tag` takes, or a callable that says so. A
            request for which that gives an impossible tag is not cached.
        bypass: Says whether a request shall be answered without the cache.
        client_ttl: Seconds at most that a browser or proxy may reuse an answer without
            asking; None: as long as it may be served here. An invalidation does not reach
            what they hold: with 0 they ask each time, and mostly get a 304.
        max_bytes: Larger bodies are not stored.
        obey_client: Whether ``Cache-Control`` and ``X-Valkeyctl-Cache`` of a request count.
            Where callers are not trusted, it spares the origin to ignore them.

    Raises:
        UsageError: A number or a header's name is out of range.
        InvalidKeyError: The namespace or a tag breaks the rules.
    """

    namespace: str
    ttl: float | None = None
    vary: tuple[str, ...] = ()
    scope: Scope = None
    tags: Tags = ()
    bypass: Callable[[Request], bool] | None = None
    client_ttl: float | None = None
    max_bytes: int = 2**20
    obey_client: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.vary, str):
            raise UsageError(f"vary is a tuple of header names, not the string {self.vary!r}")
        vary = tuple(dict.fromkeys(name.strip().lower() for name in self.vary))
        wrong = [name for name in vary if name == "*" or not _HEADER.fullmatch(name)]
        if wrong:
            raise UsageError(f"{wrong[0]!r} in vary is no name of a header")
        object.__setattr__(self, "vary", vary)  # frozen, and told in any case
        if self.ttl is not None and not 0 < self.ttl < float("inf"):
            raise UsageError(f"a ttl must be above zero seconds, not {self.ttl}")
        if self.client_ttl is not None and not 0 <= self.client_ttl < float("inf"):
            raise UsageError(f"client_ttl is zero or more seconds, not {self.client_ttl}")
        if self.max_bytes < 1:
            raise UsageError(f"max_bytes is at least 1, not {self.max_bytes}")
        if not (self.scope is None or self.scope == "public" or callable(self.scope)):
            raise UsageError(f"scope is a callable, 'public' or None, not {self.scope!r}")
        scheme = KeyScheme("any")
        scheme.versions(self.namespace)
        if not callable(self.tags):
            scheme.tag_words(self.tags)

    @property
    def private(self) -> bool:
        """Whether answers belong to those who asked, so that no proxy may keep them."""
        return callable(self.scope)

    @property
    def varies(self) -> tuple[str, ...]:
        """The request headers that decide which answer a client gets."""
        # Told to clients too: a browser must not show its user what it kept from before
        # a login, or of the user before.
        who = () if self.scope == "public" else ("authorization", "cookie")
        return tuple(dict.fromkeys((*self.vary, *who)))

    def plan(self, request: Request) -> Plan | None:
        """Return how the cache is used for *request*, or None: not at all."""
        if request.method not in ("GET", "HEAD"):
            return None
        headers = request.headers
        wish = wish_of(headers) if self.obey_client else "use"
        if wish == "off" or any(name in headers for name in _CONDITIONS):
            return None
        # A body is no part of the key, though an endpoint might read it.
        if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
            return None
        if self.bypass is not None and self.bypass(request):
            return None
        whose: list[str] | None = None
        if callable(self.scope):
            scope = self.scope(request)
            if scope is None:
                return None
            whose = ["of", scope]
        elif self.scope == "public":
            whose = ["public"]
        elif any(name in headers for name in CREDENTIALS):
            return None
        tags = self.tags
        if callable(tags):
            tags = tuple(tags(request))
            try:
                KeyScheme("any").tag_words(tags)
            except InvalidKeyError:
                return None  # made of what a caller sent, who must not get a 500 for it
        return Plan(self._id(request, whose), tuple(tags), wish == "refresh")

    def _id(self, request: Request, whose: list[str] | None) -> str:
        """Return the hexadecimal SHA-256 of all that decides the answer."""
        url = request.scope
        query: bytes = url.get("query_string", b"")
        parts = [
            _SCHEMA,
            url.get("scheme", "http"),
            # Answers may contain the host's name; one who makes names up reaches only himself.
            request.headers.get("host", ""),
            (url.get("raw_path") or url["path"].encode()).decode("latin-1"),
            # By name only: the order of one name's values means something.
            sorted(
                parse_qsl(
                    query.decode("latin-1"), keep_blank_values=True, errors="surrogateescape"
                ),
                key=lambda pair: pair[0],
            ),
            [(name, request.headers.getlist(name)) for name in self.vary],
            whose,
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
