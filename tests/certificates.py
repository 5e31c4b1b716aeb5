"""A CA of a test's own, and servers that speak TLS by it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import pytest

from valkeyctl.endpoint import Endpoint
from valkeyctl.ops.tls.issue import init

# The embedded server has no TLS.
TLS_SERVER = "/usr/bin/valkey-server"
needs_tls_server = pytest.mark.skipif(not Path(TLS_SERVER).exists(), reason="needs a TLS server")


@dataclass(frozen=True)
class Certificates:
    """The files that `tls init` makes."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, *hosts: str, days: int = 30, now: datetime | None = None) -> Self:
        """Return a new CA's files, the server's certificate for *hosts*."""
        init("test", folder, hosts or ("127.0.0.1", "localhost"), days, now=now, replace=True)
        return cls(folder)

    @classmethod
    def expired(cls, folder: Path) -> Self:
        """Return files whose server certificate expired yesterday."""
        return cls.make(folder, days=30, now=datetime.now(UTC) - timedelta(days=31))

    @property
    def ca(self) -> Path:
        """Whom clients trust."""
        return self.folder / "ca.crt"

    def options(self, port: int, *, auth_clients: str = "optional") -> tuple[str, ...]:
        """Return the words that make a server listen on *port* by TLS, and on no other."""
        return (
            *("--port", "0", "--tls-port", str(port), "--tls-auth-clients", auth_clients),
            *("--tls-ca-cert-file", str(self.ca), "--tls-replication", "yes"),
            *("--tls-cert-file", str(self.folder / "server.crt"), "--tls-cluster", "yes"),
            *("--tls-key-file", str(self.folder / "server.key")),
        )

    def endpoint(self, port: int, *, host: str = "127.0.0.1", shown: bool = False) -> Endpoint:
        """Return how a client reaches a server of ours; *shown*: with a certificate."""
        return Endpoint(
            host=host,
            port=port,
            tls=True,
            ca_file=self.ca,
            cert_file=self.folder / "client.crt" if shown else None,
            key_file=self.folder / "client.key" if shown else None,
        )
