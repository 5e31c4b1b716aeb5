"""`tls init` from beginning to end: certificates made, and given to servers that run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from valkeyctl.errors import UsageError
from valkeyctl.ops.access import unit_access
from valkeyctl.ops.secrets import material
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.tls.issue import SERVER_DAYS, Issued, init
from valkeyctl.ops.tls.pair import key_pair, own_folder, with_certificates
from valkeyctl.ops.tls.renew import Renewed, renew_running
from valkeyctl.profile.schema import Profile


@dataclass(frozen=True)
class Provided:
    """What `tls init` has done.

    Attributes:
        name: Of the deployment.
        folder: Where the files lie.
        hosts: Names and addresses that the server's certificate stands for.
        not_after: When the server's certificate expires, in ISO 8601.
        ca_not_after: When the CA does.
        new_ca: Whether the CA is new, so that every client must be told.
        reloaded: Servers and sentinels that use the new certificate already.
        restarted: The sentinels among them, which had to be started anew.
        stopped: Those that do not run; they read it when they start.
    """

    name: str
    folder: Path
    hosts: tuple[str, ...]
    not_after: str
    ca_not_after: str
    new_ca: bool
    reloaded: tuple[str, ...]
    restarted: tuple[str, ...]
    stopped: tuple[str, ...]


def provide(
    profile: Profile,
    state: StateFolder,
    hosts: Sequence[str],
    days: int = SERVER_DAYS,
    *,
    folder: Path | None = None,
    renew: bool = False,
    new_ca: bool = False,
) -> Provided:
    """Make the certificates of *profile*, and give renewed ones to the servers that run.

    Args:
        profile: The deployment.
        state: Our own files.
        hosts: Names and addresses that the server's certificate stands for.
        days: That it is valid.
        folder: Where the files go instead of our own; then no server is touched.
        renew: Keep the CA.
        new_ca: Make a new CA although there is one.

    Raises:
        LockedError: Another command works on the deployment.
        UsageError: The profile names files of the operator's, or a host is none.
        RefusedError, MissingError, TlsError, FolderError: As `issue.init`
            and `renew_running`.
    """
    if folder is not None:
        made = init(profile.name, folder.absolute(), hosts, days, renew=renew, replace=new_ca)
        return _provided(made, Renewed())
    if key_pair(profile, state).given:
        raise UsageError(
            f"the profile of {profile.name} names certificates of your own, which come from "
            "elsewhere",
            hint="Take tls.ca_file, tls.cert_file and tls.key_file out of it, or add --out DIR",
        )
    with state.lock(profile.name):
        own = own_folder(state, profile.name)
        made = init(profile.name, own, hosts, days, renew=renew, replace=new_ca)
        renewed = Renewed()
        if renew and profile.tls.enabled:
            renewed = renew_running(
                profile.name,
                state,
                lambda unit: material(profile, unit, state),
                lambda unit: with_certificates(unit_access(unit, state), profile, state),
            )
    return _provided(made, renewed)


def _provided(made: Issued, renewed: Renewed) -> Provided:
    return Provided(
        name=made.name,
        folder=made.folder,
        hosts=made.hosts,
        not_after=made.not_after.isoformat(),
        ca_not_after=made.ca_not_after.isoformat(),
        new_ca=made.new_ca,
        reloaded=renewed.reloaded,
        restarted=renewed.restarted,
        stopped=renewed.stopped,
    )
