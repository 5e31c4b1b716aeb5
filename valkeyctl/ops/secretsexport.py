"""The secret files of a server in one archive, for whoever runs its container without us."""

from __future__ import annotations

from dataclasses import dataclass, field

from valkeyctl.errors import UsageError
from valkeyctl.ops.secrets import material
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.profile.schema import Profile
from valkeyctl.render import render
from valkeyctl.runtime.tarball import tar_of


@dataclass(frozen=True)
class Archive:
    """A tar archive, as `podman volume import` takes it.

    Attributes:
        unit: The server or sentinel whose files these are.
        files: Their names.
        data: The archive.
    """

    unit: str
    files: tuple[str, ...]
    data: bytes = field(repr=False)


def archive(profile: Profile, state: StateFolder, *, unit: str | None = None) -> Archive:
    """Return the secret files of one server of *profile*; passwords are made where missing.

    Args:
        profile: What it is rendered from.
        state: Our own files.
        unit: Name of a server or sentinel; may be left out where there is only one.

    Raises:
        UsageError: There is no such unit, or it has no secret files.
        LockedError: Another command works on the deployment.
        MissingError, ProfileError, FolderError: As `material`.
    """
    units = {one.name: one for one in render(profile).units}
    name = unit or next(iter(units))
    if name not in units or (unit is None and len(units) > 1):
        what = f"has no server called {name}" if unit else "has several servers"
        raise UsageError(f"{profile.name} {what}", hint=f"Name one: --unit {'|'.join(units)}")
    chosen = units[name]
    if not chosen.material:
        raise UsageError(
            f"{name} has no secret files",
            hint="Write auth.enabled or tls.enabled: true in the profile",
        )
    with state.lock(profile.name):
        files = material(profile, chosen, state).complete(chosen).files
    data = tar_of(files, user=chosen.user, group=chosen.group, mode=0o400)
    return Archive(name, tuple(sorted(files)), data)
