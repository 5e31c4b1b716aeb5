"""Every profile that comes with valkeyctl, from nothing to nothing, as an operator would."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Run, servers
from tests.conftest import PODMANS, free_ports
from valkeyctl.cli.boundary import run
from valkeyctl.runtime.select import PODMAN_VARIABLE

FOLDER = Path(__file__).parents[2] / "profiles"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
SEVERAL = {"sentinel", "cluster"}  # of which a rolling restart takes its time
# Drills of topologies in pods: three times the gap that is promised.
DRILLS = {
    "sentinel": ["kill", "--confirm-replicas", "1", "--gate", "write_gap_s<=24"],
    "cluster": ["failover", "--gate", "write_gap_s<=3", "--gate", "lost<=0"],
}
Copy = Callable[[str, str], str]


@pytest.fixture
def copy(home: Path) -> Iterator[Copy]:
    """Make a copy of a profile on a runtime, with a name and ports of its own."""
    made: list[Path] = []

    def make(name: str, runtime: str) -> str:
        # Not the other way round: `sentinel-123456` is the name of a sentinel.
        path = home / f"vkt-{secrets.token_hex(3)}-{name}.yaml"
        path.write_text(
            f"extends: {FOLDER / name}.yaml\nname: {path.stem}\nruntime: {runtime}\n"
            f"pull: never\npublish: 127.0.0.1:{free_ports(12)}\n"
        )
        made.append(path)
        return str(path)

    yield make
    for path in made:
        run(["down", "--purge", "--yes", "--profile", str(path)])


def _serves(ctl: Run, profile: str) -> None:
    """Deploy *profile*, look at it, use it, and restart it under load."""
    for words in (
        ["deploy"],
        ["health"],
        ["smoke"],
        ["drill", "restart", "--rate", "50", "--yes"],
        ["status"],
    ):
        done = ctl(*words, "-p", profile)
        assert done.status == 0, f"{' '.join(words)}: {done.out}{done.err}"
    again = ctl("deploy", "-p", profile, "-o", "json")
    assert again.data["action"] == "unchanged"


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in SEVERAL else ()) for name in NAMES],
)
def test_a_profile_serves_and_goes_as_processes(
    ctl: Run, copy: Copy, home: Path, name: str
) -> None:
    """Deployed, healthy, restarted under load, and stopped with nothing left but its data."""
    profile = copy(name, "process")

    _serves(ctl, profile)

    assert ctl("down", "-p", profile).status == 0
    assert not servers(home.parent)
    assert ctl("down", "--purge", "--yes", "-p", profile, "-o", "json").status == 0
    stem = Path(profile).stem
    left = [path for path in (home.parent / "state").rglob(f"{stem}*") if path.suffix != ".lock"]
    assert not left


@pytest.mark.slow
@pytest.mark.podman
@pytest.mark.parametrize(
    ("podman_command", "name"),
    [
        (podman, name)
        for podman in PODMANS
        for name in NAMES
        # Each on one of the two: their own ways are tried in tests/runtime.
        if (podman == "podman5") == (name in {"dev", "prod"})
    ],
    indirect=["podman_command"],
)
@pytest.mark.usefixtures("podman_command")
def test_a_profile_serves_and_goes_on_podman(ctl: Run, copy: Copy, name: str) -> None:
    """The same in pods: what stays after `down` is its data, and nothing after --purge."""
    profile = copy(name, "podman")

    _serves(ctl, profile)
    if drill := DRILLS.get(name):
        done = ctl("drill", *drill, "-p", profile, "--yes", "--timeout", "120s")
        assert done.status == 0, f"{done.out}{done.err}"

    stem = Path(profile).stem
    assert ctl("down", "-p", profile).status == 0
    assert all(found.endswith("-data") for found in _left(stem)), _left(stem)
    assert ctl("down", "--purge", "--yes", "-p", profile).status == 0
    assert not _left(stem)


def _left(stem: str) -> list[str]:
    """Return what Podman has under names that begin with *stem*."""
    found: list[str] = []
    for words in (
        ["ps", "--all", "--format", "{{.Names}}"],
        ["pod", "ps", "--format", "{{.Name}}"],
        ["volume", "ls", "--format", "{{.Name}}"],
        ["network", "ls", "--format", "{{.Name}}"],
        ["secret", "ls", "--format", "{{.Name}}"],
    ):
        found += [name for name in _listed(words) if name.startswith(stem)]
    return found


def _listed(words: list[str]) -> list[str]:
    """Return the names that a listing of Podman prints."""
    for _ in range(10):
        # It fails when somebody else removes a volume while it lists them.
        done = subprocess.run(
            [os.environ[PODMAN_VARIABLE], *words], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return done.stdout.split()
    raise AssertionError(done.stderr)
