"""What `doctor` finds, on machines of every kind and on this one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.ops.conftest import at, on_process
from tests.ops.doctor.machines import GIB, FakeMachine, podman_says
from tests.runtime.conftest import unique_profile
from valkeyctl.ops.doctor import Finding, ThisMachine, examine
from valkeyctl.ops.doctor.machine import Ran
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.profile import Profile


def find(
    machine: FakeMachine, state: StateFolder, name: str, profile: Profile | None = None
) -> Finding:
    """Return the finding called *name*."""
    findings = examine(machine, state, profile=profile).findings
    return next(finding for finding in findings if finding.name == name)


def with_file(path: str, text: str) -> FakeMachine:
    """Return a machine in good order, but for one file."""
    machine = FakeMachine()
    return replace(machine, files={**machine.files, path: text})


def with_podman(**said: object) -> FakeMachine:
    """Return a machine in good order, but for its Podman."""
    return FakeMachine(programs=podman_says(**said))  # type: ignore[arg-type]  # as podman_says takes them


@pytest.fixture
def empty(tmp_path: Path) -> StateFolder:
    """A state folder of nobody's, that nothing is made in."""
    return StateFolder(tmp_path / "state")


def test_a_podman_that_is_no_command_is_a_finding(empty: StateFolder) -> None:
    """Nothing can be run of a variable with an open quote, and all else is looked at."""
    findings = examine(FakeMachine(), empty, podman='podman "--root').findings

    (found,) = [finding for finding in findings if finding.area == "podman"]
    assert found.verdict == "warn"
    assert "No closing quotation" in found.value


def test_a_machine_in_good_order(empty: StateFolder) -> None:
    """Everything is ok, and says why it was looked at."""
    found = examine(FakeMachine(), empty, profile=unique_profile())

    assert [finding.name for finding in found.findings if finding.verdict != "ok"] == []
    assert found.verdict == "ok"
    assert all(finding.value and finding.expected and finding.why for finding in found.findings)
    assert not empty.root.exists()


@pytest.mark.parametrize(
    ("path", "text", "name"),
    [
        ("/proc/sys/vm/overcommit_memory", "0", "vm.overcommit_memory"),
        (
            "/sys/kernel/mm/transparent_hugepage/enabled",
            "[always] madvise never",
            "transparent huge pages",
        ),
        ("/proc/sys/net/core/somaxconn", "128", "net.core.somaxconn"),
        ("/proc/meminfo", "SwapTotal: 2097148 kB", "vm.swappiness"),
    ],
)
def test_a_kernel_setting(empty: StateFolder, path: str, text: str, name: str) -> None:
    """A warning, with the command that mends it."""
    finding = find(with_file(path, text), empty, name)

    assert finding.verdict == "warn"
    assert finding.fix


def test_where_there_is_no_linux_there_is_no_kernel_to_look_at(empty: StateFolder) -> None:
    """A Mac has none of these settings."""
    found = examine(FakeMachine(files={}), empty)

    assert not [finding for finding in found.findings if finding.area == "kernel"]


def test_no_podman_is_a_warning_while_a_process_can_run(empty: StateFolder) -> None:
    """One finding in place of all about Podman."""
    machine = FakeMachine(programs={})

    found = examine(machine, empty)

    (finding,) = [finding for finding in found.findings if finding.area == "podman"]
    assert (finding.verdict, found.verdict) == ("warn", "warn")
    assert "podman is not installed" in finding.value


def test_neither_podman_nor_a_server_is_a_failure(empty: StateFolder) -> None:
    """Nothing could be deployed at all."""
    machine = FakeMachine(programs={}, embedded=None, full=None)

    assert find(machine, empty, "valkey-server").verdict == "fail"


def test_an_old_podman_and_its_traps(empty: StateFolder) -> None:
    """Each trap that a newer one does not have is told."""
    finding = find(with_podman(version="4.3.1"), empty, "version")

    assert finding.verdict == "warn"
    assert "known traps" in finding.value
    assert "OOMKilled false" in finding.why
    assert "saved its last snapshot" in finding.why


def test_a_podman_that_can_make_no_pod(empty: StateFolder) -> None:
    """Neither a pause image nor catatonit; nothing is built to find it out."""
    machine = FakeMachine()
    less = {words: ran for words, ran in machine.programs.items() if "podman-pause" not in words}

    finding = find(replace(machine, programs=less), empty, "pods")

    assert (finding.verdict, finding.fix) == ("fail", "apt-get install catatonit")


@pytest.mark.parametrize(
    ("said", "name", "verdict"),
    [
        ({"rootless": True}, "rootful", "warn"),
        ({"rootless": True, "cgroups": "v1"}, "memory limits", "fail"),
        ({"rootless": True, "cgroups": "v2"}, "memory limits", "ok"),
        ({"network": "cni"}, "network", "warn"),
    ],
)
def test_how_podman_runs(
    empty: StateFolder, said: dict[str, object], name: str, verdict: str
) -> None:
    """Rights, control groups and network, each with what it means."""
    assert find(with_podman(**said), empty, name).verdict == verdict


def test_without_systemd_nothing_comes_back_after_a_reboot(empty: StateFolder) -> None:
    """And nobody runs the liveness probe."""
    finding = find(FakeMachine(there=()), empty, "after a reboot")

    assert (finding.value, finding.verdict) == ("no systemd", "warn")


def test_tls_without_a_server_that_has_it(empty: StateFolder) -> None:
    """A warning: only a profile with TLS on a process would need one."""
    assert find(FakeMachine(full=None), empty, "TLS on a process").verdict == "warn"


def test_too_few_files_for_the_clients(empty: StateFolder) -> None:
    """Maxclients of the profile and what the server keeps for itself."""
    profile = unique_profile(tuning={"maxclients": 5000})

    finding = find(FakeMachine(most_files=4096), empty, "open files", profile)

    assert (finding.expected, finding.verdict) == (">= 5,032", "warn")


@pytest.mark.parametrize(("total", "verdict"), [(4 * GIB, "ok"), (GIB, "warn"), (GIB // 2, "fail")])
def test_memory_of_all_limits(empty: StateFolder, total: int, verdict: str) -> None:
    """The limits of what is deployed here are added up."""
    profile = unique_profile(memory={"limit": "900Mi"})

    finding = find(FakeMachine(total=total), empty, "memory", profile)

    assert finding.verdict == verdict
    assert profile.name in finding.value


def test_a_disk_too_small_for_a_rewrite(empty: StateFolder) -> None:
    """Twice the data of what persists; a cache without persistence needs none."""
    small = FakeMachine(free_bytes=2**20)

    stored = find(small, empty, "disk of podman", unique_profile(persistence="aof"))
    cache = find(small, empty, "disk of podman", unique_profile())

    assert (stored.verdict, cache.verdict) == ("fail", "ok")


@pytest.mark.parametrize(
    ("may_write", "mode", "verdict"),
    [(True, None, "ok"), (True, 0o700, "ok"), (True, 0o755, "warn"), (False, 0o700, "fail")],
)
def test_the_state_folder(
    empty: StateFolder, may_write: bool, mode: int | None, verdict: str
) -> None:
    """It holds passwords, so only its owner may enter."""
    machine = FakeMachine(may_write=may_write, bits=mode)

    assert find(machine, empty, "state folder").verdict == verdict


@pytest.mark.parametrize(("said", "verdict"), [("yes", "ok"), ("no", "warn"), ("", "ok")])
def test_the_clock(empty: StateFolder, said: str, verdict: str) -> None:
    """A clock that nobody keeps is told; one that cannot be asked about is not."""
    asked = "timedatectl show --property=NTPSynchronized --value"
    machine = FakeMachine()

    finding = find(
        replace(machine, programs={**machine.programs, asked: Ran(0, said)}), empty, "clock"
    )

    assert finding.verdict == verdict


def test_a_taken_port_is_a_failure(empty: StateFolder) -> None:
    """In the words of who found it."""
    profile = unique_profile()
    problem = f"port {profile.port} on 127.0.0.1 is taken by nginx (pid 7)"

    finding = find(
        FakeMachine(taken={profile.port: problem}), empty, f"port {profile.port}", profile
    )

    assert (finding.value, finding.verdict) == (problem, "fail")


def test_a_port_of_our_own_is_not_taken(state: StateFolder) -> None:
    """A deployment does not stand in its own way, and counts against the memory once."""
    profile = unique_profile()
    port = at(on_process(profile, state)).port

    machine = FakeMachine(taken={port: "taken"})

    assert find(machine, state, f"port {port}", profile).value == "ours"
    assert find(machine, state, "memory").value.startswith("96.0 MiB of 8.0 GiB")


@pytest.mark.parametrize(("pull", "verdict"), [("missing", "warn"), ("never", "fail")])
def test_an_image_that_is_not_here(empty: StateFolder, pull: str, verdict: str) -> None:
    """Whether it can be fetched is for the profile to say."""
    profile = unique_profile(image="localhost/none:1", pull=pull)

    finding = find(FakeMachine(), empty, "image", profile)

    assert finding.verdict == verdict
    assert finding.fix == "podman pull localhost/none:1"


def test_this_machine(empty: StateFolder) -> None:
    """Every question has an answer here, and nothing is made by asking."""
    found = examine(ThisMachine(), empty, podman="no-such-podman", profile=unique_profile())

    names = {finding.name for finding in found.findings}
    assert {"podman", "valkey-server", "open files", "memory", "state folder", "clock"} <= names
    assert next(one for one in found.findings if one.name == "valkey-server").verdict == "ok"
    assert not empty.root.exists()


@pytest.mark.podman
def test_this_machines_podman(podman_command: str, empty: StateFolder) -> None:
    """What a real Podman says is understood, and no pod is made."""
    found = examine(ThisMachine(), empty, podman=podman_command)

    podman = {finding.name: finding for finding in found.findings if finding.area == "podman"}
    assert podman["version"].value[0].isdigit()
    assert podman["pods"].verdict == "ok"
    assert podman["network"].value == "netavark"
    assert podman["memory limits"].verdict == "ok"
