"""Deploying on Podman: the same promises, through a published container port."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import command
from tests.ops.conftest import at, changed, fact
from tests.runtime.conftest import require_podman, unique_profile, with_conf_line
from valkeyctl.errors import MissingError, StartError
from valkeyctl.ops.deploy import deploy, take_down
from valkeyctl.ops.smoke import smoke
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.status import status
from valkeyctl.profile import Profile
from valkeyctl.render import Artefacts, render
from valkeyctl.runtime.podman import PodmanRuntime

pytestmark = pytest.mark.podman


@pytest.fixture(autouse=True)
def working_podman(tmp_path: Path) -> None:
    """Podman works here, or the test is skipped and says why."""
    require_podman(tmp_path)


@pytest.mark.slow
def test_from_profile_to_nothing_again(state: StateFolder) -> None:
    """Deployed, looked at, replaced with its data, and taken down but for nothing."""
    profile = unique_profile(persistence="rdb")

    first = deploy(profile, state, runtime="podman")
    command(at(first), "SET", "k", "kept")

    assert (first.action, first.runtime) == ("started", "podman")
    assert first.version.startswith("8.1")
    assert deploy(profile, state).action == "unchanged"
    seen = status(profile, state)
    assert (seen.running, seen.drift, seen.unchecked, seen.warnings) == (True, (), (), ())
    assert smoke(at(first), profile.app).passed

    second = deploy(changed(profile, persistence="rdb", eviction="allkeys-lfu"), state)

    assert second.action == "replaced"
    assert second.write_gap_ms is not None
    assert (second.keys_before, second.keys_after) == (1, 1)
    assert command(at(second), "GET", "k") == b"$4\r\nkept\r\n"

    removal = take_down(profile.name, state, purge=True)

    assert (removal.stopped, removal.purged, removal.keys) == (True, True, 1)


@pytest.mark.slow
def test_a_start_that_fails_puts_the_last_good_render_back(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash loop, which `kube play` calls a success, is undone."""
    profile = unique_profile(persistence="rdb")
    found = deploy(profile, state, runtime="podman")
    command(at(found), "SET", "k", "kept")

    def broken(asked: Profile) -> Artefacts:
        return with_conf_line(render(asked), "no-such 1")

    monkeypatch.setattr("valkeyctl.ops.deploy.render", broken)
    monkeypatch.setattr(PodmanRuntime, "prove", lambda *_: [])

    with pytest.raises(StartError, match=r"no-such 1.*the last good render runs again"):
        deploy(profile, state)

    assert command(at(found), "GET", "k") == b"$4\r\nkept\r\n"


@pytest.mark.slow
def test_a_missing_image_touches_nothing(state: StateFolder) -> None:
    """The image is looked for before the old pod is stopped."""
    profile = unique_profile()
    found = deploy(profile, state, runtime="podman")
    run_id = fact(at(found), "run_id")

    with pytest.raises(MissingError, match="localhost/valkeyctl-none:1 is not here"):
        deploy(changed(profile, image="localhost/valkeyctl-none:1"), state)

    assert fact(at(found), "run_id") == run_id
