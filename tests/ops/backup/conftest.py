"""Servers that answer a replica at once, and backups of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import command
from tests.ops.conftest import Start, at, on_process
from tests.runtime.conftest import unique_profile
from valkeyctl.endpoint import Endpoint
from valkeyctl.ops.backup.create import BackupReport, Origin, backup
from valkeyctl.ops.backup.seal import Key
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.profile import Profile

# By default a server waits 5 s for more replicas before it sends its data.
AT_ONCE = ("--repl-diskless-sync-delay", "0")


@pytest.fixture
def server(start: Start) -> Endpoint:
    """A server with three keys in two databases."""
    endpoint = start(*AT_ONCE)
    command(endpoint, "MSET", "a", "1", "b", "2")
    command(endpoint, "EVAL", "\"redis.call('select',3) redis.call('set','c','3')\"", "0")
    return endpoint


@pytest.fixture
def key(tmp_path: Path) -> Key:
    """A key in a file of its own."""
    return Key.make(tmp_path / "backup.key")


def back_up(
    endpoint: Endpoint, folder: Path, *, key: Key | None = None, keep: int | None = None
) -> BackupReport:
    """Take a backup of *endpoint* below *folder*."""
    return backup(
        Origin("shop", endpoint, app="shop"),
        folder / "shelf",
        folder / "runtimes",
        key=key,
        keep=keep,
    )


def deployed(state: StateFolder, **fields: object) -> tuple[Profile, Endpoint]:
    """Return a profile that is deployed as a process, and where."""
    profile = unique_profile(**{"runtime": "process", **fields})
    return profile, at(on_process(profile, state))


def back_up_deployment(profile: Profile, endpoint: Endpoint, state: StateFolder) -> Path:
    """Take a backup of a deployment, unverified, and return its folder."""
    origin = Origin(profile.name, endpoint, profile.app, profile.image)
    shelf = state.root / "backups" / profile.name
    return backup(origin, shelf, state.runtimes).folder


def edit(folder: Path, **fields: object) -> None:
    """Change the manifest in *folder* as an editor would."""
    file = folder / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def names_in(folder: Path) -> list[str]:
    """Return the names of all files and folders in *folder*, hidden ones too."""
    return sorted(entry.name for entry in folder.iterdir()) if folder.exists() else []
