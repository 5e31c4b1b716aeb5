"""What a certificate says: whom it names, how long it holds, and whether a key is its own.

Importing this module needs the package cryptography; see `extra`.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from valkeyctl.errors import TlsError

_DAY = 86400


@dataclass(frozen=True)
class Certificate:
    """One certificate, as people and programs read it.

    Attributes:
        subject: Such as ``CN=prod``.
        issuer: Who signed it.
        hosts: Names and addresses that it stands for.
        not_before: From when on it holds.
        not_after: Until when.
        fingerprint: SHA-256 of the whole, 64 hex digits.
    """

    subject: str
    issuer: str
    hosts: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    fingerprint: str

    @classmethod
    def of(cls, read: x509.Certificate) -> Self:
        """Return what *read* says."""
        return cls(
            subject=read.subject.rfc4514_string(),
            issuer=read.issuer.rfc4514_string(),
            hosts=_hosts(read),
            not_before=read.not_valid_before_utc,
            not_after=read.not_valid_after_utc,
            fingerprint=read.fingerprint(hashes.SHA256()).hex(),
        )

    def days_left(self, now: datetime) -> float:
        """Return the days until it expires, with their fraction; negative after it has."""
        return (self.not_after - now).total_seconds() / _DAY

    def fits(self, host: str) -> bool:
        """Say whether a client that connects to *host* finds it named here."""
        try:
            address = ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            wanted = host.lower().removesuffix(".")
            return any(_matches(name, wanted) for name in self.hosts)
        return str(address) in self.hosts

    @property
    def names_only_this_machine(self) -> bool:
        """Whether it names nothing that another machine could connect to."""
        return all(_is_local(host) for host in self.hosts)


def read_chain(pem: bytes, what: str) -> tuple[x509.Certificate, ...]:
    """Return the certificates in *pem*, the leaf first.

    Raises:
        TlsError: There is none, or one that cannot be read; *what* names the file.
    """
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except ValueError as error:
        raise TlsError(
            f"{what} holds no certificate in PEM form",
            hint="It begins with -----BEGIN CERTIFICATE-----; "
            "from DER: openssl x509 -inform der -in FILE",
        ) from error


def require_own_key(certificate: x509.Certificate, pem: bytes, what: str) -> None:
    """Prove that the private key in *pem* belongs to *certificate*.

    Raises:
        TlsError: It does not, or is no key that a server can read; *what* names the file.
    """
    try:
        key = load_pem_private_key(pem, None)
    except TypeError as error:
        raise TlsError(
            f"{what} is locked with a passphrase, which the server is not given",
            hint="Unlock it: openssl pkey -in FILE -out UNLOCKED",
        ) from error
    except ValueError as error:
        raise TlsError(
            f"{what} holds no private key in PEM form",
            hint="It begins with -----BEGIN PRIVATE KEY-----",
        ) from error
    forms = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*forms) != certificate.public_key().public_bytes(*forms):
        raise TlsError(
            f"{what} does not belong to the certificate",
            hint="Name the key that the certificate was made with",
        )


def _hosts(read: x509.Certificate) -> tuple[str, ...]:
    try:
        names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return (
        *(name.lower() for name in names.get_values_for_type(x509.DNSName)),
        *(str(address) for address in names.get_values_for_type(x509.IPAddress)),
    )


def _matches(name: str, wanted: str) -> bool:
    if name.startswith("*."):
        first, dot, rest = wanted.partition(".")
        return bool(first and dot) and rest == name[2:]
    return name == wanted


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
