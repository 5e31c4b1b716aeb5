"""The bridge of a topology: whose it is, and which addresses it may take."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from tests.runtime.conftest import unique_profile
from valkeyctl.errors import MissingError, RefusedError, SubnetTakenError
from valkeyctl.render import Artefacts, render
from valkeyctl.runtime.podmancli import PodmanCommand
from valkeyctl.runtime.podmannetwork import PodmanNetwork, play_options


def unit_in(subnet: str | None = None, **fields: object) -> Artefacts:
    """Return a unit of a topology whose bridge has *subnet*."""
    profile = unique_profile(
        topology="cluster",
        persistence="aof",
        network={"subnet": subnet},
        memory={"limit": "256Mi"},
        **fields,
    )
    return render(profile).units[0]


@pytest.fixture
def podman(podman_command: str) -> PodmanCommand:
    """Each Podman that works here."""
    return PodmanCommand(podman_command)


@pytest.fixture
def free_subnet(podman: PodmanCommand) -> Iterator[str]:
    """A subnet of our own; networks that a test labels with its last part are removed."""
    number = secrets.randbelow(256)
    yield f"10.199.{number}.0/26"
    listed = json.loads(podman.require("network", "ls", "--format", "json"))
    for network in listed:
        if any(f"10.199.{number}." in known["subnet"] for known in network.get("subnets") or ()):
            podman.require("network", "rm", network["name"])


@pytest.mark.podman
def test_a_bridge_is_made_once_and_removed_by_its_own_units(
    podman: PodmanCommand, free_subnet: str
) -> None:
    """It has the subnet, our label and no name server; the upper half is for others."""
    unit = unit_in(free_subnet)
    network = PodmanNetwork(podman)

    before = network.prove(unit)
    network.make(unit)
    network.make(unit)
    after = network.prove(unit)

    assert unit.network is not None
    known = podman.inspect("network", unit.network.name)
    assert known is not None
    assert known["labels"] == {"valkeyctl.profile": unit.deployment}
    assert known["dns_enabled"] is False
    (subnet,) = cast("list[dict[str, Any]]", known["subnets"])
    assert subnet["subnet"] == free_subnet
    assert subnet["lease_range"]["start_ip"].endswith((".32", ".33"))
    assert before == [f"subnet {free_subnet} can be had"]
    assert after == [f"network {unit.network.name} has the subnet {free_subnet}"]
    network.remove(unit.name)
    assert podman.run("network", "exists", unit.network.name).code == 1


@pytest.mark.podman
def test_a_subnet_of_another_network_is_named_before_anything_is_made(
    podman: PodmanCommand, free_subnet: str
) -> None:
    """Two names may lead to the same subnet; the way out is a field of the profile."""
    first, second = unit_in(free_subnet), unit_in(free_subnet.replace("/26", "/24"))
    network = PodmanNetwork(podman)
    network.make(first)

    with pytest.raises(SubnetTakenError) as caught:
        network.prove(second)

    assert first.network is not None
    assert f"overlaps {free_subnet} of the network {first.network.name}" in str(caught.value)
    assert caught.value.hint is not None
    assert "network.subnet" in caught.value.hint
    with pytest.raises(SubnetTakenError):
        network.make(second)


@pytest.mark.podman
def test_the_subnet_of_an_interface_is_not_taken(
    podman: PodmanCommand, free_subnet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container network over it would cut this machine off from its own."""
    address = free_subnet.replace(".0/26", ".9")
    own = SimpleNamespace(address=address, netmask="255.255.255.240")
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: {"lan0": [own]})

    with pytest.raises(SubnetTakenError, match=r"overlaps 10\.199\.\d+\.0/28 of lan0"):
        PodmanNetwork(podman).prove(unit_in(free_subnet))


@pytest.mark.podman
def test_a_network_of_somebody_else_is_left_alone(podman: PodmanCommand, free_subnet: str) -> None:
    """Neither used nor removed, although it has our name."""
    unit = unit_in(free_subnet)
    assert unit.network is not None
    podman.require("network", "create", "--subnet", free_subnet, unit.network.name)
    network = PodmanNetwork(podman)

    with pytest.raises(RefusedError, match="valkeyctl did not make"):
        network.prove(unit)
    network.remove(unit.name)

    assert podman.run("network", "exists", unit.network.name).ok


@pytest.mark.podman
def test_a_bridge_in_use_keeps_its_subnet(podman: PodmanCommand, free_subnet: str) -> None:
    """The servers know each other by addresses in it."""
    unit = unit_in(free_subnet)
    PodmanNetwork(podman).make(unit)
    other = unit_in(free_subnet.replace("/26", "/27"), name=unit.deployment)

    with pytest.raises(RefusedError, match=f"addresses in {free_subnet}, which cannot become"):
        PodmanNetwork(podman).prove(other)


def test_podman_without_root_is_told_why(tmp_path: Path) -> None:
    """Pods would run, and no client on this machine would reach where it is sent."""
    program = tmp_path / "podman"
    program.write_text('#!/bin/sh\ncase "$1" in info) echo true;; network) exit 1;; esac\n')
    program.chmod(0o755)

    with pytest.raises(MissingError, match="a cluster needs podman of root") as caught:
        PodmanNetwork(PodmanCommand(str(program))).prove(unit_in())

    assert caught.value.hint is not None
    assert "--runtime process" in caught.value.hint


def test_a_standalone_is_on_no_bridge(tmp_path: Path) -> None:
    """Podman is not even asked."""
    artefacts = render(unique_profile())
    network = PodmanNetwork(PodmanCommand(str(tmp_path / "no-podman")))

    network.make(artefacts)
    network.remove(artefacts.name)

    assert network.prove(artefacts) == []
    assert play_options(artefacts) == ()
