"""Making a CA and a server's certificate, and renewing the latter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from valkeyctl.errors import MissingError, RefusedError
from valkeyctl.ops.tls.extra import require_cryptography
from valkeyctl.ops.tls.hosts import merged
from valkeyctl.ops.tls.pair import CA_KEY, CLIENT_CERTIFICATE, CLIENT_KEY, read_pem
from valkeyctl.render.tls import CA_FILE as CA_CERTIFICATE
from valkeyctl.render.tls import CERTIFICATE_FILE as SERVER_CERTIFICATE
from valkeyctl.render.tls import KEY_FILE as SERVER_KEY
from valkeyctl.runtime.files import private_folder, write_private

if TYPE_CHECKING:
    from valkeyctl.ops.tls.authority import Authority, Signed

# What browsers take at most, and a year with a month to be late in.
SERVER_DAYS = 397
_PRECIOUS = (CA_KEY, CA_CERTIFICATE, SERVER_KEY)


@dataclass(frozen=True)
class Issued:
    """Certificates that were made.

    Attributes:
        name: The deployment's name.
        folder: Where the files lie, each readable by its owner alone.
        hosts: Names and addresses that the server's certificate stands for.
        not_after: When the server's certificate expires.
        ca_not_after: When the CA does.
        new_ca: Whether the CA is new, so that every client must be told.
    """

    name: str
    folder: Path
    hosts: tuple[str, ...]
    not_after: datetime
    ca_not_after: datetime
    new_ca: bool


def init(
    name: str,
    folder: Path,
    hosts: Sequence[str],
    days: int = SERVER_DAYS,
    *,
    renew: bool = False,
    replace: bool = False,
    now: datetime | None = None,
) -> Issued:
    """Make a CA, and a certificate for a server and for a client, in *folder*.

    Args:
        name: The deployment's name.
        folder: Where the files go; made with mode 0700 where it is not there.
        hosts: Names and addresses that the server's certificate stands for; a renewed
            one keeps those of the old.
        days: That the server's and the client's certificates are valid.
        renew: Keep the CA, which clients trust already, and make the rest anew.
        replace: Make a new CA although there is one. That one is trusted beside it, and the
            client's certificate stays, until the next renewal.
        now: The time; the clock's by default.

    Raises:
        RefusedError: There is a CA already, and neither *renew* nor *replace* was said.
        MissingError: There is none to renew with, or the package that signs is missing.
        UsageError: A host is neither an address nor a name.
        TlsError: The CA cannot be used any more.
        FolderError: A file cannot be read or written.
    """
    require_cryptography()
    from valkeyctl.ops.tls.authority import Authority
    from valkeyctl.ops.tls.certificate import Certificate, read_chain

    if renew:
        authority = _existing(name, folder)
        hosts = merged(_named(folder), hosts)
    else:
        present = [
            file for file in (CA_KEY, CA_CERTIFICATE, SERVER_KEY) if (folder / file).exists()
        ]
        if present and not replace:
            raise RefusedError(
                f"{folder} holds certificates already ({', '.join(present)})",
                hint="Renew the server's with the same CA: --renew; "
                "make a new CA, which all clients must then trust: --yes",
            )
        authority = Authority.new(name, now=now)
    # Servers that still show a certificate of the CA before, and ask for one of it, must be
    # reached once more, to be given the new ones. A renewal ends its time.
    before = "" if renew else _trusted_before(folder, now or datetime.now(UTC))
    server = authority.issue("server", name, hosts=hosts, days=days, now=now)
    client = authority.issue("client", f"{name} client", days=days, now=now)
    private_folder(folder)
    signed = authority.signed()
    if not renew:
        write_private(folder / CA_KEY, signed.key)
    write_private(folder / CA_CERTIFICATE, signed.certificate + before)
    _write(folder, SERVER_CERTIFICATE, SERVER_KEY, server)
    if not (before and (folder / CLIENT_KEY).exists()):
        _write(folder, CLIENT_CERTIFICATE, CLIENT_KEY, client)
    made = Certificate.of(read_chain(server.certificate.encode(), SERVER_CERTIFICATE)[0])
    return Issued(name, folder, made.hosts, made.not_after, authority.ends, new_ca=not renew)


def _existing(name: str, folder: Path) -> Authority:
    from valkeyctl.ops.tls.authority import Authority

    if not (folder / CA_KEY).exists():
        raise MissingError(
            f"there is no CA of {name} in {folder} to renew with",
            hint="Make one: valkeyctl tls init; a certificate of your own is renewed "
            "by who issued it",
        )
    certificate = read_pem(folder / CA_CERTIFICATE, "CA certificate", "valkeyctl tls init --yes")
    return Authority.load(certificate, read_pem(folder / CA_KEY, "CA key"))


def _trusted_before(folder: Path, now: datetime) -> str:
    """Return the CA certificate in *folder*, in PEM; empty without one that still holds."""
    from cryptography.hazmat.primitives.serialization import Encoding

    from valkeyctl.errors import ValkeyctlError
    from valkeyctl.ops.tls.certificate import read_chain

    try:
        old = read_chain(read_pem(folder / CA_CERTIFICATE, "CA certificate"), CA_CERTIFICATE)
    except ValkeyctlError:
        return ""
    if now >= old[0].not_valid_after_utc:
        return ""
    return old[0].public_bytes(Encoding.PEM).decode("ascii")


def _named(folder: Path) -> tuple[str, ...]:
    """Return the hosts of the certificate that is being renewed; none of one that is lost."""
    from valkeyctl.errors import ValkeyctlError
    from valkeyctl.ops.tls.certificate import Certificate, read_chain

    try:
        old = read_chain(read_pem(folder / SERVER_CERTIFICATE, "certificate"), SERVER_CERTIFICATE)
    except ValkeyctlError:
        return ()
    return Certificate.of(old[0]).hosts


def _write(folder: Path, certificate: str, key: str, signed: Signed) -> None:
    # The key first: a certificate without its key would look complete.
    write_private(folder / key, signed.key)
    write_private(folder / certificate, signed.certificate)
