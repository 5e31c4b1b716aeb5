"""What a restore would replace, and by what; nothing is touched to find out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from valkeyctl.errors import UsageError
from valkeyctl.ops.backup.manifest import Manifest, authenticate, read_manifest
from valkeyctl.ops.backup.seal import Key
from valkeyctl.ops.deployed import Deployed, count_keys, find_units, look_up
from valkeyctl.ops.fallback import render_of
from valkeyctl.ops.orders import orders_for
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.topology.members import members, servers_of
from valkeyctl.profile.schema import Profile
from valkeyctl.render import Artefacts, render


@dataclass(frozen=True)
class RestorePlan:
    """What a restore would replace, and by what.

    Attributes:
        name: Of the deployment.
        folder: Of the backup.
        taken_at: When the backup was made, in seconds since the epoch.
        taken_of: The deployment that it is of.
        age_s: Seconds since then.
        keys: In the backup; None when it was never verified.
        bytes: Of its files.
        version: Of the server that wrote it.
        running: Whether the deployment runs.
        keys_now: That it holds; None when it cannot be asked.
        production: Whether its profile says that it serves production.
    """

    name: str
    folder: Path
    taken_at: float
    taken_of: str
    age_s: float
    keys: int | None
    bytes: int
    version: str
    running: bool
    keys_now: int | None
    production: bool


def plan_restore(
    folder: Path, profile: Profile, state: StateFolder, key: Key | None = None
) -> RestorePlan:
    """Return what `restore` would replace; nothing is touched.

    Raises:
        NotFoundError: There is no backup.
        UsageError: It is encrypted and there is no key, a newer valkeyctl wrote it, or
            it does not fit the topology.
        FolderError: It is damaged.
    """
    manifest = usable(folder, profile, key)
    deployed = look_up(profile.name, state)
    artefacts = artefacts_of(profile, deployed, state)
    access = orders_for(profile, state, dry_run=True).access
    keys_now = None
    if artefacts.nodes:
        deployed = find_units(artefacts, state)
        if deployed.running and deployed.runtime is not None:
            found = members(servers_of(artefacts), deployed.runtime, access)
            counts = [count_keys(one.endpoint) for one in found if one.role == "primary"]
            keys_now = None if None in counts else sum(count or 0 for count in counts)
    elif deployed.running:
        keys_now = count_keys(access(artefacts))
    return RestorePlan(
        name=profile.name,
        folder=folder,
        taken_at=manifest.taken_at,
        taken_of=manifest.deployment,
        age_s=max(0.0, time.time() - manifest.taken_at),
        keys=manifest.keys,
        bytes=manifest.bytes,
        version=manifest.shards[0].server_version,
        running=deployed.running,
        keys_now=keys_now,
        production=profile.security.production or artefacts.production,
    )


def usable(folder: Path, profile: Profile, key: Key | None) -> Manifest:
    """Return the manifest of a backup that fits the deployment of *profile*."""
    manifest = read_manifest(folder)
    if profile.topology == "cluster":
        if manifest.topology != "cluster":
            raise UsageError(
                f"{folder} is of one server, and {profile.name} is a Cluster, whose servers "
                "each hold some of the slots",
                hint="Restore it into a standalone profile, and copy the keys: keys export",
            )
    elif len(manifest.shards) != 1:
        raise UsageError(
            f"{folder} is of a Cluster with {len(manifest.shards)} shards, and {profile.name} is "
            "one server",
            hint="Restore the keys that you need: valkeyctl keys export and keys import",
        )
    authenticate(folder, manifest, key)
    return manifest


def artefacts_of(profile: Profile, deployed: Deployed, state: StateFolder) -> Artefacts:
    """Return what runs, or ran last; else what the profile says."""
    digest = deployed.instance.digest if deployed.instance else ""
    return render_of(state, profile.name, digest) or render(profile)
