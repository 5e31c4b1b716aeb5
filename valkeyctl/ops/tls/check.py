"""Proof that a profile's certificates will do, before anything that runs is touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from valkeyctl.errors import TlsError
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.tls.extra import require_cryptography
from valkeyctl.ops.tls.hosts import wildcard
from valkeyctl.ops.tls.pair import KeyPair, key_pair, read_pem, readable_by_others
from valkeyctl.profile.schema import Profile

if TYPE_CHECKING:
    from valkeyctl.ops.tls.certificate import Certificate

WARN_DAYS = 30


@dataclass(frozen=True)
class Checked:
    """Certificates that a server can use.

    Attributes:
        server: The server's certificate.
        chain: The certificates between it and the CA, nearest to it first.
        authority: The CA's.
        days_left: Until the first of them expires.
        warnings: What the operator should know although it works.
    """

    server: Certificate
    chain: tuple[Certificate, ...]
    authority: Certificate
    days_left: float
    warnings: tuple[str, ...] = field(default_factory=tuple)


def check_tls(
    profile: Profile,
    state: StateFolder,
    *,
    addresses: Sequence[str] = (),
    now: datetime | None = None,
) -> tuple[list[str], list[str]]:
    """Return what is proven of the certificates of *profile*, and what to warn of.

    Both are empty without TLS.

    Args:
        profile: Whose they are.
        state: Our own files, where those of `tls init` lie.
        addresses: More places under which clients reach a server, such as those of the
            units of a topology on their bridge.
        now: The time; the clock's by default.

    Raises:
        ProfileError: The profile names some of the three files, and not all.
        MissingError: A file is not there, or the package that reads them.
        FolderError: A file cannot be read.
        TlsError: A server could not use them, or no client would accept them.
    """
    if not profile.tls.enabled:
        return [], []
    hosts = (profile.host, *addresses)
    checked = inspect(key_pair(profile, state), hosts, mutual=shown_by_servers(profile), now=now)
    line = (
        f"TLS: certificate of {', '.join(checked.server.hosts)}, {checked.days_left:.0f} days left"
    )
    return [line], list(checked.warnings)


def shown_by_servers(profile: Profile) -> bool:
    """Say whether the server's certificate is shown as a client's, too.

    By replicas and nodes of a Cluster; and by the liveness probe of a server that insists.
    """
    return profile.topology != "standalone" or profile.tls.auth_clients == "yes"


def inspect(
    pair: KeyPair, hosts: Sequence[str], *, mutual: bool = False, now: datetime | None = None
) -> Checked:
    """Return what the certificates of *pair* say, proven to work for clients of *hosts*.

    Args:
        pair: The files.
        hosts: Where the server is published.
        mutual: Whether it must do as a client's certificate, too.
        now: The time; the clock's by default.

    Raises:
        MissingError, FolderError, TlsError: As `check_tls`.
    """
    require_cryptography()
    from valkeyctl.ops.tls.certificate import Certificate, read_chain, require_own_key

    now = now or datetime.now(UTC)
    ca_pem = read_pem(pair.ca, "CA certificate", pair.make)
    pem = read_pem(pair.certificate, "certificate", pair.make)
    key_pem = read_pem(pair.key, "key", pair.make)
    (leaf, *between) = read_chain(pem, str(pair.certificate))
    authorities = [Certificate.of(one) for one in read_chain(ca_pem, str(pair.ca))]
    require_own_key(leaf, key_pem, str(pair.key))
    server = Certificate.of(leaf)
    chain = tuple(Certificate.of(one) for one in between)
    authority = next((one for one in authorities if _signed(one, server, chain)), authorities[0])
    renew = _renewal(pair)
    for one, file in ((server, pair.certificate), (authority, pair.ca)):
        _require_time(one, str(file), now, renew)
    _require_chain(pair, mutual=mutual)
    _require_hosts(server, hosts, pair)
    days_left = min(one.days_left(now) for one in (server, *chain, authority))
    warnings = []
    if days_left < WARN_DAYS:
        warnings.append(f"the certificate {pair.certificate} expires in {days_left:.0f} days")
    if readable_by_others(pair.key):
        warnings.append(f"the key {pair.key} can be read by other users: chmod 600 {pair.key}")
    if any(wildcard(host) for host in hosts) and server.names_only_this_machine:
        warnings.append(
            f"the certificate {pair.certificate} names this machine only, and the server is "
            "published beyond it"
        )
    if any(wildcard(host) for host in hosts) and not server.fits("127.0.0.1"):
        warnings.append(
            f"the certificate {pair.certificate} does not name 127.0.0.1, where valkeyctl's own "
            "commands reach the server; give them another way with --url and --cacert"
        )
    return Checked(server, chain, authority, days_left, tuple(warnings))


def _signed(authority: Certificate, server: Certificate, chain: Sequence[Certificate]) -> bool:
    return authority.subject == (chain[-1] if chain else server).issuer


def _renewal(pair: KeyPair) -> str:
    return f"Renew it: {pair.make} --renew" if pair.make else "Have it renewed by who issued it"


def _require_time(one: Certificate, file: str, now: datetime, renew: str) -> None:
    if now < one.not_before:
        raise TlsError(
            f"the certificate {file} is not valid before {one.not_before:%Y-%m-%d %H:%M} UTC",
            hint="Check the clock of this machine: date -u",
        )
    if now >= one.not_after:
        raise TlsError(
            f"the certificate {file} expired on {one.not_after:%Y-%m-%d %H:%M} UTC", hint=renew
        )


def _require_chain(pair: KeyPair, *, mutual: bool) -> None:
    from valkeyctl.ops.tls.chain import handshake_problem

    files = (pair.ca, pair.certificate, pair.key)
    try:
        problem = handshake_problem(*files)
    except OSError as error:
        raise TlsError(
            f"OpenSSL refuses the certificate {pair.certificate}: {error.strerror or error}"
        ) from error
    if problem:
        raise TlsError(
            f"the certificate {pair.certificate} is not accepted by the CA {pair.ca}: {problem}",
            hint="Name the CA that signed it, and put the certificates between them into "
            "the certificate's file",
        )
    if mutual and (problem := handshake_problem(*files, mutual=True)):
        raise TlsError(
            f"the certificate {pair.certificate} cannot be shown as a client's, which replicas "
            f"and the liveness probe do with it: {problem}",
            hint="Have one issued with the extended key usages serverAuth and clientAuth",
        )


def _require_hosts(server: Certificate, hosts: Sequence[str], pair: KeyPair) -> None:
    foreign = [host for host in hosts if not wildcard(host) and not server.fits(host)]
    if foreign:
        named = ", ".join(server.hosts) or "no host"
        own = f"Renew it: {pair.make} --renew"
        raise TlsError(
            f"the certificate {pair.certificate} names {named}, and not {', '.join(foreign)}, "
            "where the server is published",
            hint=own if pair.make else "Have one issued that names it as a subjectAltName",
        )
