"""What a deploy on Podman must get right although something is in its way."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import command, one_podman
from tests.ops.conftest import at, changed, fact
from tests.runtime.conftest import unique_profile
from valkeyctl.errors import RefusedError, StartError
from valkeyctl.ops.deploy import Deployment, deploy, take_down
from valkeyctl.ops.rollout import Rollout
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.profile import Profile
from valkeyctl.runtime import podman
from valkeyctl.runtime.select import PODMAN_VARIABLE

pytestmark = [pytest.mark.podman, pytest.mark.slow, one_podman]

_IMAGE = "docker.io/valkey/valkey:{}"
_FIXED = {"databases": 4}


class _Site:
    """One deployment that the tests of this file share, each leaving it as it was."""

    def __init__(self, folder: Path) -> None:
        self.state = StateFolder(folder)
        self.profile = unique_profile(persistence="rdb", image=_IMAGE.format(9))
        self.found = deploy(self.profile, self.state, runtime="podman")
        command(at(self.found), "SET", "k", "kept")

    def deploy(self, *, yes: bool = False, **fields: object) -> Deployment:
        """Deploy the profile with other *fields*."""
        return deploy(self.other(**fields), self.state, yes=yes)

    def other(self, **fields: object) -> Profile:
        """Return the profile with other *fields*."""
        return changed(self.profile, **fields)


@pytest.fixture(scope="module")
def site(podman_command: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Site]:
    """A store on a recent server, with a key in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PODMAN_VARIABLE, podman_command)
        made = _Site(tmp_path_factory.mktemp("site") / "state")
        with contextlib.ExitStack() as stack:
            stack.callback(take_down, made.profile.name, made.state, purge=True)
            yield made


def test_a_downgrade_is_refused_while_the_newer_server_serves(site: _Site) -> None:
    """Its data cannot be read; and with a yes it is tried, and undone."""
    run_id = fact(at(site.found), "run_id")
    older = _IMAGE.format("8.1")

    with pytest.raises(RefusedError, match=r"valkey 8\.1\.\d+ may not be able to read"):
        site.deploy(image=older)
    assert fact(at(site.found), "run_id") == run_id
    with pytest.raises(StartError, match="the last good render runs again"):
        site.deploy(image=older, yes=True)

    assert command(at(site.found), "GET", "k") == b"$4\r\nkept\r\n"
    assert site.deploy().action == "unchanged"


def test_who_is_killed_before_the_restart_leaves_no_server_that_seems_changed(
    site: _Site, podman_command: str
) -> None:
    """The next deploy still sees what runs, and brings it to the profile."""

    class _KilledError(BaseException):
        """Stands for SIGKILL: nothing that follows runs."""

    def killed(*_: object) -> bool:
        raise _KilledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(podman, "restart_in_place", killed)
        patch.setattr(podman.PodmanRuntime, "_abandon", lambda *_: None)
        patch.setattr(Rollout, "_recover", lambda *_: "")
        with pytest.raises(_KilledError):
            site.deploy(tuning=_FIXED)
    runtime = podman.PodmanRuntime(site.state.runtimes / "podman", podman_command)
    instance = runtime.find(site.profile.name)

    assert instance is not None
    assert instance.digest == site.found.digest
    done = site.deploy(tuning=_FIXED)
    assert (done.action, done.keys_after) == ("replaced", done.keys_before)
    assert command(at(done), "GET", "k") == b"$4\r\nkept\r\n"
    found = runtime.find(site.profile.name)
    assert found is not None
    assert found.digest == done.digest
