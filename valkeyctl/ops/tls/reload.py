"""Giving a running server its new certificate, without a connection being dropped."""

from __future__ import annotations

from dataclasses import dataclass

from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import ServerReplyError, TlsError

_TIMEOUT = 5.0
_DIRECTIVES = ("tls-cert-file", "tls-key-file", "tls-ca-cert-file")


@dataclass(frozen=True)
class ServerFiles:
    """Where a server reads its certificate; as itself sees the files, in its container.

    Attributes:
        certificate: The value of ``tls-cert-file``.
        key: The value of ``tls-key-file``.
        ca: The value of ``tls-ca-cert-file``.
    """

    certificate: str
    key: str
    ca: str


def reload(endpoint: Endpoint, files: ServerFiles | None = None) -> ServerFiles:
    """Let the server at *endpoint* read its certificate, key and CA again.

    Connections that exist go on with the old certificate; every new one sees the new.

    Args:
        endpoint: One server, with a user who may CONFIG SET.
        files: What to read from now on; by default the paths that it has.

    Returns:
        What it reads.

    Raises:
        TlsError: The server refuses the files and goes on with the old ones, or it
            speaks no TLS; carries its words.
        UnreachableError, AuthError: It cannot be asked.
    """
    with Wire(endpoint, timeout=_TIMEOUT) as wire:
        if files is None:
            files = _current(wire)
        words = (files.certificate, files.key, files.ca)
        # Together: the server compares certificate and key when it has both.
        settings = [word for pair in zip(_DIRECTIVES, words, strict=True) for word in pair]
        try:
            wire.call("CONFIG", "SET", *settings)
        except ServerReplyError as error:
            raise TlsError(
                f"{endpoint.address} does not take the new certificate and goes on with the "
                f"old one: {error}",
                hint="See why: valkeyctl logs",
            ) from error
    return files


def _current(wire: Wire) -> ServerFiles:
    found: dict[str, str] = {}
    for name in _DIRECTIVES:
        match wire.call("CONFIG", "GET", name):
            case [bytes(), bytes() as value]:
                found[name] = value.decode(errors="replace")
    if not found.get("tls-cert-file"):
        raise TlsError(f"{wire.endpoint.address} has no certificate to read again")
    return ServerFiles(*(found.get(name, "") for name in _DIRECTIVES))
