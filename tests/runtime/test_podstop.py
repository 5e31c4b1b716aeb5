"""How pods end: what podman is told, and in which order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from valkeyctl.endpoint import Endpoint
from valkeyctl.render.artefacts import PROFILE_LABEL
from valkeyctl.runtime.datavolume import remove_data
from valkeyctl.runtime.pod import Pod, PodNames
from valkeyctl.runtime.podmancli import PodmanCommand
from valkeyctl.runtime.podstop import end_pods
from valkeyctl.runtime.secretsvolume import remove_secrets

_POD = Pod(
    name="a-valkey",
    ours=True,
    digest="",
    endpoint=Endpoint(),
    container="a-valkey-server",
    container_id="1",
    image="",
    state="running",
    exit_code=0,
    restarts=0,
)


@pytest.mark.parametrize(
    ("status", "replaced", "told"),
    [
        (0, False, ["stop", "pod stop"]),
        (0, True, ["stop"]),
        (125, True, ["stop", "pod stop"]),
    ],
)
def test_a_pod_is_left_to_its_replacement_only_when_its_server_has_ended(
    status: int, replaced: bool, told: list[str], tmp_path: Path
) -> None:
    """Podman 4.3 would end a server that still runs before it has saved."""
    program, log = tmp_path / "podman", tmp_path / "log"
    program.write_text(f'#!/bin/sh\necho "$*" >> {log}\n[ "$1" = pod ] || exit {status}\n')
    program.chmod(0o755)

    assert end_pods(PodmanCommand(str(program)), [_POD], 60, replaced=replaced) == []

    calls = [line.partition(" --")[0] for line in log.read_text().splitlines()]
    assert calls == told


def test_a_volume_whose_name_only_begins_alike_is_left_alone(tmp_path: Path) -> None:
    """Podman takes the beginning of a name for the name where nothing is called so."""
    program, log = tmp_path / "podman", tmp_path / "log"
    other = json.dumps([{"Name": f"{PodNames('a').volume}-old", "Labels": {PROFILE_LABEL: "a"}}])
    program.write_text(f"#!/bin/sh\necho \"$*\" >> {log}\necho '{other}'\n")
    program.chmod(0o755)

    assert remove_data(PodmanCommand(str(program)), ["a"]) is False
    remove_secrets(PodmanCommand(str(program)), ["a"])

    assert " rm " not in log.read_text()
