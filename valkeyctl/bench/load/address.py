"""Where the requests of an arm go, read once from its URL."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Address:
    """The parts of a base URL that a connection and a request need.

    Attributes:
        host: Name or IP address, without brackets.
        port: TCP port.
        tls: Whether the scheme is ``https``.
        authority: Value of the ``Host`` header.
        prefix: What comes before every path; without a slash at its end.
        authorization: Value of an ``Authorization`` header; empty where the URL names no
            user.
    """

    host: str
    port: int
    tls: bool
    authority: str
    prefix: str
    authorization: str = field(default="", repr=False)

    @classmethod
    def of(cls, url: str) -> Address:
        """Return the parts of *url*, an http or https address.

        Raises:
            ValueError: It is none; the message does not repeat it.
        """
        parts = urlsplit(url)
        host = parts.hostname
        if parts.scheme not in _PORTS or not host:
            raise ValueError("not an http or https address")
        usual = _PORTS[parts.scheme]
        port = parts.port or usual
        name = f"[{host}]" if ":" in host else host
        user = ""
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            user = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return cls(
            host=host,
            port=port,
            tls=parts.scheme == "https",
            authority=name if port == usual else f"{name}:{port}",
            prefix=parts.path.rstrip("/"),
            authorization=user,
        )
