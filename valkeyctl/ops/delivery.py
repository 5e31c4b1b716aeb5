"""Secret files on their way to a server that runs: brought, and read again."""

from __future__ import annotations

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import AuthError, TlsError
from valkeyctl.ops.aclload import load_users
from valkeyctl.ops.deployment import Progress
from valkeyctl.ops.tls.reload import reload
from valkeyctl.ops.tls.shown import shown_by, written_in
from valkeyctl.render import Artefacts
from valkeyctl.render.acl import ACL_FILE
from valkeyctl.runtime.material import Material
from valkeyctl.runtime.protocol import Runtime


def deliver(
    runtime: Runtime,
    unit: Artefacts,
    material: Material,
    endpoint: Endpoint,
    progress: Progress,
    warnings: list[str],
) -> bool | None:
    """Bring *material* to the running *unit*, and let it read that.

    Args:
        runtime: Where it runs.
        unit: A server or sentinel that mounts these files already.
        material: The files.
        endpoint: Of the unit, with a user that may use CONFIG and ACL.
        progress: Called with one line when there is something new for it.
        warnings: Takes the reason when it could not be told.

    Returns:
        False when it used them already, as far as is known; None when it knows our password
        no more, or there is something new and it does not know our CA: it reads the files
        when it is started anew.

    Raises:
        ServerReplyError: It refuses its users, and goes on with those that it has.
        UnreachableError: It cannot be asked.
        ToolError, FolderError: The files cannot be brought there.
    """
    fresh = runtime.deliver(unit, material)
    if fresh:
        progress(f"{unit.name} reads its secret files again")
    try:
        # Always: whoever was killed after the files had been brought has left a server that
        # goes on with the old ones.
        return read_again(endpoint, unit, material) or fresh
    except (AuthError, TlsError) as error:
        # Users or a password were changed by hand: only its next start takes them back.
        locked = isinstance(error, AuthError)
        if fresh or locked or (unit.tls and shown_by(endpoint) != written_in(material)):
            warnings.append(f"{unit.name} was restarted to read its secret files: {error}")
            return None
        warnings.append(f"{unit.name} was not told to read its secret files again: {error}")
        return False


def read_again(endpoint: Endpoint, unit: Artefacts, material: Material) -> bool:
    """Let the server at *endpoint* read *material*, which lies in the files of *unit*.

    Returns:
        Whether its users, or the certificate that it shows, are others than before.

    Raises:
        ServerReplyError: It refuses its users, and goes on with those that it has.
        TlsError: It refuses its certificate, likewise.
        UnreachableError, AuthError: It cannot be asked.
    """
    changed = False
    if unit.auth and ACL_FILE in unit.material:
        changed = load_users(endpoint, material)
    if unit.tls and unit.kind == "server":
        shown = shown_by(endpoint)
        reload(endpoint)
        changed = shown_by(endpoint) != shown or changed
    return changed


def outdated(unit: Artefacts, material: Material, endpoint: Endpoint) -> bool:
    """Say whether *unit* is a sentinel that shows another certificate than that of *material*.

    It has no CONFIG SET, and takes the new one only when it is started anew.

    Raises:
        TlsError, UnreachableError: It cannot be asked.
    """
    if unit.kind != "sentinel" or not unit.tls:
        return False
    return shown_by(endpoint) != written_in(material)
