"""Where a server is and how to get in: the one type that every layer passes on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from valkeyctl.errors import UsageError

_SCHEMES = {"redis": False, "valkey": False, "rediss": True, "valkeys": True}
_FORMS = "write it as redis://[user:password@]host[:port][/db]; rediss:// for TLS"
DEFAULT_PORT = 6379


@dataclass(frozen=True)
class Endpoint:
    """The address of a server, with what is needed to talk to it.

    Attributes:
        host: Name or address, without brackets.
        port: TCP port, 1 to 65535.
        username: ACL user; None is the server's default user.
        password: Shown by neither ``repr`` nor ``str``.
        db: Numbered database, 0 or more.
        tls: Whether to speak TLS.
        ca_file: CA bundle to trust; None trusts the system's.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    db: int = 0
    tls: bool = False
    ca_file: Path | None = None

    @property
    def address(self) -> str:
        """``host:port``, an IPv6 host in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def url(self, *, show_secret: bool = False) -> str:
        """Return the URL of this endpoint; the password is ``***`` unless asked for."""
        scheme = "rediss" if self.tls else "redis"
        login = ""
        if self.password is not None:
            secret = quote(self.password, safe="") if show_secret else "***"
            login = f"{quote(self.username or '', safe='')}:{secret}@"
        elif self.username:
            login = f"{quote(self.username, safe='')}@"
        return f"{scheme}://{login}{self.address}/{self.db}"

    def __str__(self) -> str:
        return self.url()

    def with_password(self, password: str | None) -> Endpoint:
        """Return the same endpoint with another password."""
        return replace(self, password=password)

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        """Return the endpoint that *url* names.

        Raises:
            UsageError: It is not a URL of ours. The message never repeats the URL,
                which may hold a password.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise UsageError(f"the server URL cannot be read: {error}", hint=_hint()) from error
        if parts.scheme not in _SCHEMES:
            shown = f" {parts.scheme!r}" if parts.scheme.isalpha() and "://" in url else ""
            raise UsageError(f"the server URL has an unknown scheme{shown}", hint=_hint())
        if not parts.hostname:
            raise UsageError("the server URL names no host", hint=_hint())
        path = parts.path.strip("/")
        if path and not (path.isascii() and path.isdigit()):
            raise UsageError("the server URL names a database that is no number", hint=_hint())
        if parts.query or parts.fragment:
            raise UsageError("the server URL has options that are not understood", hint=_hint())
        return cls(
            host=parts.hostname,
            port=DEFAULT_PORT if port is None else port,
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            db=int(path or 0),
            tls=_SCHEMES[parts.scheme],
        )


def _hint() -> str:
    return _FORMS[0].upper() + _FORMS[1:]
