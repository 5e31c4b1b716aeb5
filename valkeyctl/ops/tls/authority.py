"""A certificate authority of one deployment: it signs servers and clients, nothing else.

Importing this module needs the package cryptography; see `extra`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal, Self, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from valkeyctl.errors import TlsError, UsageError

Purpose: TypeAlias = Literal["server", "client"]

CA_DAYS = 3653
# A clock that is a little behind must not refuse what was made just now.
_BACKDATED = timedelta(minutes=5)
# A wildcard stands for the first label alone, as clients read it.
_DNS_NAME = re.compile(
    r"(\*\.)?[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\.?"
)
_LONGEST_NAME = 253
_LONGEST_COMMON_NAME = 64


@dataclass(frozen=True)
class Signed:
    """A certificate and its private key, in PEM.

    Attributes:
        certificate: As others may see it.
        key: Secret; shown by neither ``repr`` nor ``str``.
    """

    certificate: str
    key: str = field(repr=False)


@dataclass(frozen=True)
class Authority:
    """A CA whose private key is here (EC P-256, SHA-256)."""

    certificate: x509.Certificate
    _key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def new(cls, name: str, *, now: datetime | None = None) -> Self:
        """Return a new CA for the deployment *name*, valid for ten years."""
        now = now or datetime.now(UTC)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _common_name(f"{name} CA")
        public = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = (
            _begun(subject, subject, key.public_key(), now, now + timedelta(days=CA_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs=True), critical=True)
            .add_extension(public, critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @classmethod
    def load(cls, certificate: bytes, key: bytes) -> Self:
        """Return the CA whose PEM files these are.

        Raises:
            TlsError: They are no such files, or do not belong together.
        """
        try:
            read = x509.load_pem_x509_certificate(certificate)
            private = load_pem_private_key(key, None)
        except (ValueError, TypeError) as error:
            raise TlsError(
                "the CA cannot be read, so it signs nothing more",
                hint="Make a new one, which all clients must then trust: valkeyctl tls init --yes",
            ) from error
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise TlsError(
                "the CA is not one of valkeyctl's, which have keys of the kind EC",
                hint="Renew the certificate by what has made this CA, and name the files in the "
                "profile's tls section",
            )
        if private.public_key() != read.public_key():
            raise TlsError(
                "the CA's key does not belong to its certificate",
                hint="Make a new one, which all clients must then trust: valkeyctl tls init --yes",
            )
        return cls(read, private)

    @property
    def ends(self) -> datetime:
        """When it can be trusted no more."""
        return self.certificate.not_valid_after_utc

    def signed(self) -> Signed:
        """Return the CA's own certificate and key."""
        return Signed(_text(self.certificate), _private(self._key))

    def issue(
        self,
        purpose: Purpose,
        name: str,
        *,
        hosts: Sequence[str] = (),
        days: int,
        now: datetime | None = None,
    ) -> Signed:
        """Return a new certificate with a new key.

        Args:
            purpose: What it proves. A server's serves as a client's too: replicas and
                nodes of a Cluster connect to one another with it.
            name: Its common name, for people; clients go by *hosts*.
            hosts: Names and addresses under which a server is reached.
            days: That it is valid; never longer than the CA.
            now: The time; the clock's by default.

        Raises:
            UsageError: A host is neither an address nor a name.
            TlsError: The CA has expired.
        """
        now = now or datetime.now(UTC)
        if now >= self.ends:
            raise TlsError(
                f"the CA expired on {self.ends:%Y-%m-%d} and signs nothing more",
                hint="Make a new one, which all clients must then trust: valkeyctl tls init --yes",
            )
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if purpose == "server":
            usages.insert(0, ExtendedKeyUsageOID.SERVER_AUTH)
        until = min(now + timedelta(days=days), self.ends)
        issuer = self.certificate.subject
        builder = (
            _begun(_common_name(name), issuer, key.public_key(), now, until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if hosts:
            names = x509.SubjectAlternativeName([_general(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        return Signed(_text(builder.sign(self._key, hashes.SHA256())), _private(key))


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    until: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(until)
    )


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:_LONGEST_COMMON_NAME])])


def _key_usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general(host: str) -> x509.GeneralName:
    bare = host.strip().strip("[]").lower()
    try:
        return x509.IPAddress(ipaddress.ip_address(bare))
    except ValueError:
        pass
    if len(bare) > _LONGEST_NAME or not _DNS_NAME.fullmatch(bare):
        raise UsageError(
            f"{host!r} is neither an address nor a host name",
            hint="Write it as cache.example.org, *.example.org, 10.1.2.3 or fd00::1",
        )
    return x509.DNSName(bare.removesuffix("."))


def _text(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode("ascii")


def _private(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")
