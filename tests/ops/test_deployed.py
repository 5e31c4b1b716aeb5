"""Looking for a deployment of which nothing is written down."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ops.conftest import on_process
from tests.runtime.conftest import unique_profile
from valkeyctl.ops.deploy import take_down
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.runtime.select import PODMAN_VARIABLE


def test_a_podman_that_fails_keeps_nobody_from_a_process(
    state: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told, once, that podman could not be asked; later nobody asks it any more."""
    podman = tmp_path / "podman"
    podman.write_text("#!/bin/sh\necho 'Error: cannot set up namespace' >&2\nexit 125\n")
    podman.chmod(0o755)
    monkeypatch.setenv(PODMAN_VARIABLE, str(podman))
    profile = unique_profile()

    first = on_process(profile, state)
    second = on_process(profile, state)
    removal = take_down(profile.name, state)

    assert first.action == "started"
    assert [one for one in first.warnings if "cannot set up namespace" in one]
    assert (second.action, second.warnings) == ("unchanged", ())
    assert removal.stopped
