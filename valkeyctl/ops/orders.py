"""The orders of a rollout by its profile: which secret files, which login, which CA."""

from __future__ import annotations

from dataclasses import replace

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import MissingError
from valkeyctl.ops.access import unit_access
from valkeyctl.ops.deployment import Access, Orders
from valkeyctl.ops.endpoints import published, reached
from valkeyctl.ops.secrets import material
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.tls.pair import with_certificates, with_kept_certificates
from valkeyctl.profile.schema import Profile
from valkeyctl.render import Artefacts
from valkeyctl.runtime.material import EMPTY, Material


def orders_for(
    profile: Profile | None,
    state: StateFolder,
    *,
    anew: bool = False,
    yes: bool = False,
    dry_run: bool = False,
) -> Orders:
    """Return the orders of a rollout.

    Args:
        profile: Of the deployment; None where only its name is at hand, and then its
            certificates must be those of `tls init`.
        state: Our own files, with the passwords and certificates.
        anew: Whether to restart what needs no change.
        yes: Whether losing data is meant.
        dry_run: Whether nothing may be written: no password is made.
    """

    def secret_files(unit: Artefacts) -> Material:
        if not unit.material:
            return EMPTY
        return material(profile, unit, state, dry_run=dry_run)

    return Orders(anew=anew, yes=yes, material=secret_files, access=access_to(profile, state))


def access_to(profile: Profile | None, state: StateFolder) -> Access:
    """Return what gives the address of a unit, with the login of the administrator.

    Without one where its password is lost.

    Args:
        profile: As for `orders_for`.
        state: Likewise.
    """

    def access(unit: Artefacts) -> Endpoint:
        try:
            found = unit_access(unit, state)
        except MissingError:
            # Lost: the server can still be stopped, and be made anew with other passwords.
            found = replace(published(unit), host=reached(unit.host))
        if not unit.tls:
            return found
        if profile is None or not profile.tls.enabled:  # it runs by an earlier profile
            return with_kept_certificates(found, unit.deployment, state)
        return with_certificates(found, profile, state)

    return access
