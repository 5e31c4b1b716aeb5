"""Making and renewing certificates: what is in them, where they lie, what is never lost."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from valkeyctl.errors import MissingError, RefusedError, TlsError, UsageError
from valkeyctl.ops.tls.authority import Authority
from valkeyctl.ops.tls.chain import handshake_problem
from valkeyctl.ops.tls.hosts import hosts_of
from valkeyctl.ops.tls.issue import init
from valkeyctl.profile import Profile

HOSTS = ("cache.example.org", "127.0.0.1", "::1")


def read(file: Path) -> x509.Certificate:
    """Return the certificate in *file*."""
    return x509.load_pem_x509_certificate(file.read_bytes())


def test_a_client_that_trusts_the_ca_accepts_the_server(tmp_path: Path) -> None:
    """OpenSSL itself, in a handshake, takes the chain; the files are their owner's alone."""
    made = init("prod", tmp_path / "tls", HOSTS)

    folder = made.folder
    assert made.hosts == HOSTS
    assert not handshake_problem(folder / "ca.crt", folder / "server.crt", folder / "server.key")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    assert {file.name for file in folder.iterdir()} == {
        *("ca.crt", "ca.key", "server.crt", "server.key", "client.crt", "client.key")
    }


def test_lives_and_purposes(tmp_path: Path) -> None:
    """Ten years for the CA, 397 days for the others; a server may also act as a client."""
    now = datetime.now(UTC).replace(microsecond=0)
    init("prod", tmp_path, HOSTS, now=now)

    ca, server, client = (read(tmp_path / f"{name}.crt") for name in ("ca", "server", "client"))
    assert ca.not_valid_after_utc - now == timedelta(days=3653)
    assert server.not_valid_after_utc - now == timedelta(days=397)
    usages = [
        set(one.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        for one in (server, client)
    ]
    both = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert usages == [both, {ExtendedKeyUsageOID.CLIENT_AUTH}]


def test_certificates_that_exist_are_not_overwritten(tmp_path: Path) -> None:
    """Neither by a second call nor by half of the files; only a yes makes a new CA."""
    init("prod", tmp_path, HOSTS)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    with pytest.raises(RefusedError, match="holds certificates already") as refused:
        init("prod", tmp_path, HOSTS)

    assert "--renew" in str(refused.value.hint)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    assert init("prod", tmp_path, HOSTS, replace=True).new_ca
    assert (tmp_path / "ca.crt").read_bytes() != before["ca.crt"]


def test_renewing_keeps_the_ca_and_the_hosts(tmp_path: Path) -> None:
    """No client must be told: the CA is the same, and the old names still stand there."""
    init("prod", tmp_path, HOSTS, days=10)
    ca, old = (tmp_path / "ca.crt").read_bytes(), read(tmp_path / "server.crt")

    made = init("prod", tmp_path, ("new.example.org",), renew=True)

    new = read(tmp_path / "server.crt")
    assert (tmp_path / "ca.crt").read_bytes() == ca
    assert new.serial_number != old.serial_number
    assert new.public_key() != old.public_key()
    assert set(made.hosts) == {*HOSTS, "new.example.org"}
    assert not handshake_problem(
        tmp_path / "ca.crt", tmp_path / "server.crt", tmp_path / "server.key"
    )


def test_there_must_be_a_ca_to_renew_with(tmp_path: Path) -> None:
    """A renewal never makes a CA in passing."""
    with pytest.raises(MissingError, match="no CA of prod"):
        init("prod", tmp_path / "none", HOSTS, renew=True)

    assert not (tmp_path / "none").exists()


def test_nothing_outlives_the_ca(tmp_path: Path) -> None:
    """A certificate ends with its CA at the latest, and an expired CA signs no more."""
    now = datetime.now(UTC)
    authority = Authority.new("prod", now=now - timedelta(days=3652))
    made = authority.issue("server", "prod", hosts=HOSTS, days=397, now=now)

    ends = x509.load_pem_x509_certificate(made.certificate.encode()).not_valid_after_utc
    assert ends == authority.ends
    with pytest.raises(TlsError, match="the CA expired"):
        authority.issue("server", "prod", hosts=HOSTS, days=1, now=now + timedelta(days=2))


@pytest.mark.parametrize("host", ["", "a b", "http://x", "-x", "x" * 254, "exa*mple.org", "ü.de"])
def test_a_host_that_is_none_is_refused(tmp_path: Path, host: str) -> None:
    """It is told before anything is written."""
    with pytest.raises(UsageError, match="neither an address nor a host name"):
        init("prod", tmp_path / "tls", (host,))

    assert not (tmp_path / "tls").exists()


def test_a_damaged_ca_is_told(tmp_path: Path) -> None:
    """A CA without its own key signs nothing."""
    init("prod", tmp_path, HOSTS)
    (tmp_path / "ca.key").write_bytes((tmp_path / "server.key").read_bytes())
    with pytest.raises(TlsError, match="does not belong to its certificate"):
        init("prod", tmp_path, HOSTS, renew=True)

    (tmp_path / "ca.key").write_text("nothing")
    with pytest.raises(TlsError, match="cannot be read"):
        init("prod", tmp_path, HOSTS, renew=True)


def test_a_key_is_never_shown(tmp_path: Path) -> None:
    """Not by the repr of what holds it."""
    authority = Authority.new("prod")
    signed = authority.issue("client", "prod", days=1)

    assert "PRIVATE" in signed.key
    assert "PRIVATE" not in repr(signed)
    assert "key" not in repr(authority).lower().replace("publickey", "")


def test_the_hosts_of_a_profile() -> None:
    """This machine by all its names, where it is published, and the units' own addresses."""
    fields = {"name": "prod", "tls": True, "auth": True}
    published = Profile.model_validate({**fields, "publish": "192.0.2.7:6379"})
    everywhere = Profile.model_validate({**fields, "publish": "0.0.0.0:6379"})

    assert hosts_of(published, ("10.130.1.2",)) == (
        *("192.0.2.7", "localhost", "127.0.0.1", "::1", "10.130.1.2"),
    )
    assert "0.0.0.0" not in hosts_of(everywhere)  # noqa: S104 - compared, not bound


def test_a_new_ca_is_trusted_beside_the_old_one_until_a_renewal(tmp_path: Path) -> None:
    """A server that still shows the old certificate is reached, to be given the new one."""
    old = tmp_path / "old"
    for folder in (old, tmp_path):
        init("prod", folder, HOSTS)
    (tmp_path / "ca.crt").write_bytes((old / "ca.crt").read_bytes())

    init("prod", tmp_path, HOSTS, replace=True)

    def trusted(folder: Path) -> bool:
        files = (folder / "server.crt", folder / "server.key")
        return not handshake_problem(tmp_path / "ca.crt", *files)

    assert (trusted(tmp_path), trusted(old)) == (True, True)
    init("prod", tmp_path, HOSTS, renew=True)
    assert (trusted(tmp_path), trusted(old)) == (True, False)


def test_a_foreign_ca_signs_nothing(tmp_path: Path) -> None:
    """One with an RSA key is told to be somebody else's, and stays as it is."""
    init("prod", tmp_path, HOSTS)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "ca.key").write_bytes(text)

    with pytest.raises(TlsError, match="not one of valkeyctl's"):
        init("prod", tmp_path, HOSTS, renew=True)

    assert (tmp_path / "ca.key").read_bytes() == text
