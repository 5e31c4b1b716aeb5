"""What can be wrong with TLS, each told in one sentence, by the wire and by the client."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.caching.deployments import until
from tests.certificates import TLS_SERVER, Certificates, needs_tls_server
from tests.conftest import free_port
from valkeyctl.caching import ValkeyClient
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import TlsError, UsageError
from valkeyctl.runtime.ready import ask

pytestmark = needs_tls_server
Serve = Callable[..., int]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start TLS servers of a test's own; they end with it."""
    with ExitStack() as cleanup:

        def start(certificates: Certificates, *, auth_clients: str = "optional") -> int:
            port = free_port()
            options = certificates.options(port, auth_clients=auth_clients)
            process = subprocess.Popen(
                [TLS_SERVER, *options, "--bind", "127.0.0.1", "--save", "", "--dir", tmp_path],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            cleanup.callback(process.wait)
            cleanup.callback(process.kill)
            endpoint = certificates.endpoint(port, shown=auth_clients == "yes")
            until(lambda: ask(endpoint) == "ready", 10, "the server answers")
            return port

        yield start


async def _told(endpoint: Endpoint) -> tuple[str, str]:
    """Return what the wire and the client say; both must be about TLS."""
    with pytest.raises(TlsError) as by_wire, Wire(endpoint) as wire:
        wire.call("PING")
    async with ValkeyClient(endpoint, deadline=20.0, connect_timeout=10.0) as client:
        with pytest.raises(TlsError) as by_client:
            await client.execute("PING")
    return str(by_wire.value), str(by_client.value)


async def test_an_expired_certificate(tmp_path: Path, serve: Serve) -> None:
    """The certificate's end is told, and how to renew it."""
    certificates = Certificates.expired(tmp_path)
    endpoint = certificates.endpoint(serve(certificates))

    for said in await _told(endpoint):
        assert said == (
            f"the TLS handshake with {endpoint.address} failed: certificate has expired"
        )


async def test_another_ca(tmp_path: Path, serve: Serve) -> None:
    """A server that another CA has signed is told as such."""
    port = serve(Certificates.make(tmp_path / "its"))
    ours = Certificates.make(tmp_path / "ours")

    for said in await _told(ours.endpoint(port)):
        assert "certificate" in said


async def test_another_host(tmp_path: Path, serve: Serve) -> None:
    """The right CA is not enough: the certificate must name where we connect to."""
    certificates = Certificates.make(tmp_path, "cache.example.org")

    for said in await _told(certificates.endpoint(serve(certificates))):
        assert "IP address mismatch" in said


async def test_a_name_in_the_certificate_is_enough(tmp_path: Path, serve: Serve) -> None:
    """A server is reached by address and by name when both stand in its certificate."""
    certificates = Certificates.make(tmp_path, "127.0.0.1", "localhost")
    port = serve(certificates)

    for host in ("127.0.0.1", "localhost"):
        with Wire(certificates.endpoint(port, host=host)) as wire:
            assert wire.call("PING") == b"PONG"


async def test_no_client_certificate_where_one_is_asked_for(tmp_path: Path, serve: Serve) -> None:
    """The server's word is heard every time, although it comes after the handshake."""
    certificates = Certificates.make(tmp_path)
    port = serve(certificates, auth_clients="yes")

    for _ in range(5):
        for said in await _told(certificates.endpoint(port)):
            assert "it asks for a client certificate" in said
    with Wire(certificates.endpoint(port, shown=True)) as wire:
        assert wire.call("PING") == b"PONG"
    async with ValkeyClient(
        certificates.endpoint(port, shown=True), deadline=20.0, connect_timeout=10.0
    ) as client:
        assert await client.execute("PING")
        assert await client.raw.ping()


async def test_a_client_certificate_of_another_ca(tmp_path: Path, serve: Serve) -> None:
    """A certificate that the server does not trust is no better than none."""
    certificates = Certificates.make(tmp_path / "its")
    port = serve(certificates, auth_clients="yes")
    other = Certificates.make(tmp_path / "other")
    endpoint = Endpoint(
        port=port,
        tls=True,
        ca_file=certificates.ca,
        cert_file=other.folder / "client.crt",
        key_file=other.folder / "client.key",
    )

    for said in await _told(endpoint):
        assert "does not trust the client certificate's CA" in said


def test_plain_text_on_a_tls_port(tmp_path: Path, serve: Serve) -> None:
    """The reset connection is looked into, and the URL corrected."""
    port = serve(Certificates.make(tmp_path))

    with pytest.raises(TlsError, match="speaks TLS, and was asked in plain text") as told:
        Wire(Endpoint(port=port)).__enter__().call("PING")

    assert told.value.hint == "Write the URL with rediss://"


async def test_files_that_are_no_certificates(tmp_path: Path) -> None:
    """A file that cannot be used is named, whatever it is for, and nobody is asked for a phrase."""
    certificates = Certificates.make(tmp_path)
    (tmp_path / "empty").write_text("")
    port = free_port()
    for file in (tmp_path / "nothing", tmp_path / "empty"):
        with pytest.raises(TlsError, match=str(file)):
            Endpoint(port=port, tls=True, ca_file=file).tls_context()
    key = certificates.folder / "ca.key"
    shown = Endpoint(port=port, tls=True, cert_file=certificates.ca, key_file=key)
    assert shown.tls_context()
    with pytest.raises(TlsError, match="KEY_VALUES_MISMATCH"):
        Endpoint(
            port=port, tls=True, cert_file=certificates.folder / "client.crt", key_file=key
        ).tls_context()


def test_half_a_client_certificate_is_refused(tmp_path: Path) -> None:
    """A certificate without its key shows nothing."""
    with pytest.raises(UsageError, match="belong together"):
        Endpoint(tls=True, cert_file=tmp_path / "client.crt")


def test_a_server_that_asks_for_a_certificate_counts_as_ready(tmp_path: Path, serve: Serve) -> None:
    """Like -NOAUTH: whoever asks for something listens."""
    certificates = Certificates.make(tmp_path)
    port = serve(certificates, auth_clients="yes")

    assert ask(certificates.endpoint(port)) == "ready"
    assert ask(Endpoint(port=port, tls=True)) == "ready"
    assert ask(Endpoint(port=free_port(), tls=True)) == "silent"
