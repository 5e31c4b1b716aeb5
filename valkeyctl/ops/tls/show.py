"""What the certificates of a deployment say, and whether they will do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from valkeyctl.errors import TlsError
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.tls.check import WARN_DAYS, inspect, shown_by_servers
from valkeyctl.ops.tls.extra import require_cryptography
from valkeyctl.ops.tls.pair import key_pair, read_pem
from valkeyctl.profile.schema import Profile


@dataclass(frozen=True)
class TlsReport:
    """The certificates of a deployment.

    Attributes:
        name: Of the deployment.
        enabled: Whether its profile turns TLS on.
        given: Whether the profile names the files; else `tls init` made them.
        ca_file: The CA, for clients to trust.
        cert_file: The server's certificate.
        key_file: Its private key.
        subject: Of the server's certificate.
        issuer: Who signed it.
        hosts: Names and addresses that it stands for.
        not_before: From when on it holds, in ISO 8601.
        not_after: Until when.
        days_left: Until the first of the chain expires; negative once one has.
        fingerprint: SHA-256 of the server's certificate, in hex.
        chain: Subjects from the server's certificate to the CA.
        ca_not_after: When the CA expires.
        ca_fingerprint: SHA-256 of the CA's certificate.
        problem: Why a client or a server would not take them; empty when they would.
        warnings: What the operator should know although it works.
    """

    name: str
    enabled: bool
    given: bool
    ca_file: Path
    cert_file: Path
    key_file: Path
    subject: str
    issuer: str
    hosts: tuple[str, ...]
    not_before: str
    not_after: str
    days_left: float
    fingerprint: str
    chain: tuple[str, ...]
    ca_not_after: str
    ca_fingerprint: str
    problem: str
    warnings: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether they will do, for WARN_DAYS at least."""
        return not self.problem and self.days_left >= WARN_DAYS


def show(
    profile: Profile,
    state: StateFolder,
    *,
    addresses: Sequence[str] = (),
    now: datetime | None = None,
) -> TlsReport:
    """Return what the certificates of *profile* say, whether or not its TLS is on.

    Args:
        profile: Whose they are.
        state: Our own files.
        addresses: More places under which clients reach a server.
        now: The time; the clock's by default.

    Raises:
        ProfileError: The profile names some of the three files, and not all.
        MissingError: A file is not there, or the package that reads them.
        FolderError: A file cannot be read.
        TlsError: A file holds no certificate at all.
    """
    require_cryptography()
    from valkeyctl.ops.tls.certificate import Certificate, read_chain

    now = now or datetime.now(UTC)
    pair = key_pair(profile, state)
    pem = read_pem(pair.certificate, "certificate", pair.make)
    server, *between = [Certificate.of(one) for one in read_chain(pem, str(pair.certificate))]
    ca_pem = read_pem(pair.ca, "CA certificate", pair.make)
    authority = Certificate.of(read_chain(ca_pem, str(pair.ca))[0])
    problem = ""
    warnings: tuple[str, ...] = ()
    try:
        hosts = (profile.host, *addresses)
        checked = inspect(pair, hosts, mutual=shown_by_servers(profile), now=now)
    except TlsError as error:
        problem = str(error)
    else:
        authority, warnings = checked.authority, checked.warnings
    return TlsReport(
        name=profile.name,
        enabled=profile.tls.enabled,
        given=pair.given,
        ca_file=pair.ca,
        cert_file=pair.certificate,
        key_file=pair.key,
        subject=server.subject,
        issuer=server.issuer,
        hosts=server.hosts,
        not_before=server.not_before.isoformat(),
        not_after=server.not_after.isoformat(),
        days_left=round(min(one.days_left(now) for one in (server, *between, authority)), 2),
        fingerprint=server.fingerprint,
        chain=(*(one.subject for one in (server, *between)), authority.subject),
        ca_not_after=authority.not_after.isoformat(),
        ca_fingerprint=authority.fingerprint,
        problem=problem,
        warnings=tuple(warnings),
    )
