"""The Podman runtime: the faults of Podman that it must not pass on."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import command
from tests.runtime.conftest import unique_profile, with_conf_line
from valkeyctl.caching.wire import Wire
from valkeyctl.errors import MissingError, RefusedError, StartError, ToolError
from valkeyctl.render import Artefacts, render
from valkeyctl.runtime.pod import PodNames
from valkeyctl.runtime.podman import PodmanRuntime
from valkeyctl.runtime.podmancli import PodmanCommand, without_noise
from valkeyctl.runtime.protocol import Runtime

Cleanup = Callable[[Runtime, str], None]


@pytest.fixture
def artefacts(podman_runtime: PodmanRuntime, cleanup: Cleanup) -> Artefacts:
    """Artefacts of their own name and port; what runs of them is ended."""
    rendered = render(unique_profile())
    cleanup(podman_runtime, rendered.name)
    return rendered


@pytest.fixture
def podman(podman_runtime: PodmanRuntime) -> PodmanCommand:
    """The podman command itself."""
    return podman_runtime.podman


def volumes(podman: PodmanCommand, name: str) -> list[str]:
    """Return the volumes of the deployment *name*."""
    out = podman.require("volume", "ls", "--format", "{{.Name}}")
    return sorted(line for line in out.split() if line.startswith(name))


def fake_podman(folder: Path, script: str) -> PodmanRuntime:
    """Return a runtime on a podman that is a shell script."""
    program = folder / "podman"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return PodmanRuntime(folder / "root", str(program))


VERSION = json.dumps({"Client": {"Version": "4.3.1", "Built": 0}})


def test_names_are_those_of_the_artefacts() -> None:
    """A deployment is found by its name alone, under the names that render gave."""
    artefacts = render(unique_profile())
    names = PodNames(artefacts.name)

    assert (names.pod, names.container) == (artefacts.pod, artefacts.container)
    assert names.volume == artefacts.volume
    assert f"name: {names.config_prefix}" in artefacts.files["pod.yaml"]


def test_no_podman_is_missing(tmp_path: Path) -> None:
    """One sentence, with the other runtime as the way out."""
    runtime = PodmanRuntime(tmp_path, "no-such-podman")

    with pytest.raises(MissingError, match="no-such-podman is not installed") as caught:
        runtime.check()

    assert "--runtime process" in str(caught.value.hint)


def test_a_podman_that_cannot_make_a_pod_is_found_out_beforehand(tmp_path: Path) -> None:
    """Without catatonit Podman runs, and fails at the first pod."""
    runtime = fake_podman(
        tmp_path,
        f"""case "$1 $2" in
        "version --format") echo '{VERSION}';;
        "image exists") exit 1;;
        "pod create") echo 'Error: building local pause image: finding pause binary: exec: '\
'"catatonit": executable file not found in $PATH' >&2; exit 125;;
        esac""",
    )

    with pytest.raises(MissingError, match="cannot make a pod: building local pause") as caught:
        runtime.check()

    assert caught.value.hint == "Install catatonit"


def test_a_podman_that_does_not_run_is_missing(tmp_path: Path) -> None:
    """Its own words are passed on."""
    runtime = fake_podman(tmp_path, "echo 'Error: cannot re-exec process' >&2; exit 125")

    with pytest.raises(MissingError, match="podman does not run: cannot re-exec process"):
        runtime.check()


def test_a_podman_that_cannot_tell_is_no_proof_that_there_is_nothing(tmp_path: Path) -> None:
    """A pod that could not be looked at must not be played over, and then removed."""
    runtime = fake_podman(tmp_path, "echo 'Error: database is locked' >&2; exit 125")

    with pytest.raises(ToolError, match="pod inspect failed: database is locked"):
        runtime.find("a")


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (
            "echo 'Error: dial unix /run/x.sock: no such file or directory' >&2; exit 125",
            "dial unix",
        ),
        (
            "echo 'Error: unable to connect: dial tcp: lookup box: no such host' >&2; exit 125",
            "no such host",
        ),
        ("echo '%% garbage'", "its answer is no JSON"),
        ("exit 0", "its answer is no JSON"),
        ("exit 3", "status 3"),
    ],
)
def test_only_its_own_word_says_that_there_is_nothing(
    tmp_path: Path, script: str, says: str
) -> None:
    """A socket that podman misses, or an answer that is none, says nothing of the pod."""
    runtime = fake_podman(tmp_path, script)

    with pytest.raises(ToolError, match=f"pod inspect failed: .*{says}") as caught:
        runtime.find("a")

    assert caught.value.hint


def test_a_podman_that_may_not_be_run_is_not_told_as_missing(tmp_path: Path) -> None:
    """Who is told to install it again looks in the wrong place."""
    (tmp_path / "podman").write_text("")
    runtime = PodmanRuntime(tmp_path, str(tmp_path / "podman"))

    with pytest.raises(MissingError, match="cannot be run: Permission denied"):
        runtime.check()


def test_a_podman_that_hangs_is_ended(tmp_path: Path) -> None:
    """A call is bounded in time, and its process does not stay behind."""
    runtime = fake_podman(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 60")

    with pytest.raises(ToolError, match=r"did not end within 0\.2 s"):
        runtime.podman.run("version", timeout=0.2)

    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


def test_noise_of_machines_without_systemd_is_taken_out() -> None:
    """What is left is the complaint itself, without time stamps."""
    text = (
        "failed to connect to syslog: Initialization\n"
        'time="2026-11-21T07:44:47Z" level=error msg="unable to get systemd connection to add '
        'healthchecks: dial unix /run/systemd/private: connect: no such file or directory"\n'
        'time="2026-11-21T07:44:48Z" level=error msg="Removing timer for container 90 '
        'healthcheck: unable to get systemd connection to remove healthchecks"\n'
        'time="2026-11-21T07:44:48Z" level=warning msg="The disk is full"\n'
        "Error: no such pod\n"
    )

    assert without_noise(text) == "The disk is full; no such pod"


@pytest.mark.podman
def test_a_missing_image_is_named_before_anything_is_torn_down(
    podman_runtime: PodmanRuntime, artefacts: Artefacts
) -> None:
    """Prove and start both refuse, and the server that runs goes on."""
    endpoint = podman_runtime.start(artefacts)
    missing = replace(artefacts, image="localhost/valkeyctl-none:1", files={"pod.yaml": ""})

    with pytest.raises(MissingError, match="localhost/valkeyctl-none:1 is not here") as caught:
        podman_runtime.prove(missing)
    with pytest.raises(MissingError):
        podman_runtime.start(missing)

    assert "pull localhost/valkeyctl-none:1" in str(caught.value.hint)
    assert command(endpoint, "PING") == b"+PONG\r\n"


@pytest.mark.podman
@pytest.mark.slow
def test_an_image_that_cannot_be_pulled_says_why(
    podman_runtime: PodmanRuntime, artefacts: Artefacts
) -> None:
    """With pull: missing a pull is tried first; nothing listens on port 1."""
    missing = replace(artefacts, image="localhost:1/none:1", pull="missing")

    with pytest.raises(MissingError, match=r"cannot be pulled: .*connection refused"):
        podman_runtime.prove(missing)


@pytest.mark.podman
def test_a_pod_of_somebody_else_is_left_alone(
    podman_runtime: PodmanRuntime, podman: PodmanCommand, artefacts: Artefacts
) -> None:
    """The name alone does not make a pod ours."""
    podman.require("pod", "create", "--name", artefacts.pod)
    try:
        with pytest.raises(RefusedError, match="valkeyctl did not make"):
            podman_runtime.start(artefacts)

        assert podman_runtime.find(artefacts.name) is None
        assert not podman_runtime.stop(artefacts.name, 1)
        assert podman.inspect("pod", artefacts.pod) is not None
    finally:
        podman.run("pod", "rm", "--force", artefacts.pod)


@pytest.mark.podman
def test_a_volume_of_somebody_else_is_not_purged(
    podman_runtime: PodmanRuntime, podman: PodmanCommand, artefacts: Artefacts
) -> None:
    """Purging removes what valkeyctl made, by its label."""
    podman.require("volume", "create", artefacts.volume)
    try:
        with pytest.raises(RefusedError, match="was not made by valkeyctl"):
            podman_runtime.purge(artefacts.name)
    finally:
        podman.run("volume", "rm", artefacts.volume)


@pytest.mark.podman
def test_stopping_leaves_only_the_data(
    podman_runtime: PodmanRuntime, podman: PodmanCommand, artefacts: Artefacts
) -> None:
    """The pod, its containers and its ConfigMap volumes go; the data volume stays."""
    podman_runtime.start(artefacts)
    podman_runtime.stop(artefacts.name, 5)

    assert volumes(podman, artefacts.name) == [artefacts.volume]
    containers = podman.require("ps", "--all", "--format", "{{.Names}}")
    assert artefacts.name not in containers


@pytest.mark.podman
@pytest.mark.slow
def test_configurations_of_old_renders_are_cleaned_up(
    podman_runtime: PodmanRuntime, podman: PodmanCommand, artefacts: Artefacts
) -> None:
    """After any number of replacements the current ConfigMap and the last one are left."""
    for eviction in ("allkeys-lru", "allkeys-lfu", "volatile-lru"):
        place = {"name": artefacts.name, "publish": f"127.0.0.1:{artefacts.port}"}
        podman_runtime.start(render(unique_profile(**place, eviction=eviction)))

    found = [name for name in volumes(podman, artefacts.name) if "-conf-" in name]
    assert len(found) == 2


@pytest.mark.podman
def test_a_crash_loop_is_no_success(
    podman_runtime: PodmanRuntime, podman: PodmanCommand, artefacts: Artefacts
) -> None:
    """`kube play` ends with 0 all the same; the failure carries the container's words."""
    bad = with_conf_line(artefacts, "no-such 1")

    with pytest.raises(StartError, match=r"exit code 1: valkey\.conf line \d+ >>> 'no-such 1'"):
        podman_runtime.start(bad)

    assert podman.inspect("pod", artefacts.pod) is None


@pytest.mark.podman
@pytest.mark.slow
def test_out_of_memory_is_told_by_its_exit_code(
    podman_runtime: PodmanRuntime, artefacts: Artefacts
) -> None:
    """A server that is killed while it loads: Podman 4.3 says OOMKilled=false, and 137."""
    place = {"name": artefacts.name, "publish": f"127.0.0.1:{artefacts.port}"}
    large = render(unique_profile(**place, persistence="rdb", memory={"limit": "256Mi"}))
    with Wire(podman_runtime.start(large)) as wire:
        wire.call("EVAL", "return #redis.call('SET', 'k', string.rep('x', 4e7))", 0)
    podman_runtime.stop(artefacts.name, 5)
    pod = large.files["pod.yaml"].replace("256Mi", "20Mi")
    assert "20Mi" in pod

    with pytest.raises(StartError, match=r"out of memory .*exit code 137") as caught:
        podman_runtime.start(replace(large, files={**large.files, "pod.yaml": pod}))

    assert str(caught.value.hint).startswith("Raise memory.limit in the profile")


@pytest.mark.podman
def test_an_interrupted_start_leaves_no_pod(
    podman_runtime: PodmanRuntime,
    podman: PodmanCommand,
    artefacts: Artefacts,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C while the server comes up takes the pod away."""

    def interrupted(*_args: object, **_options: object) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr("valkeyctl.runtime.podman.wait_until_ready", interrupted)

    with pytest.raises(KeyboardInterrupt):
        podman_runtime.start(artefacts)

    assert podman.inspect("pod", artefacts.pod) is None


@pytest.mark.podman
def test_a_server_that_podman_once_restarted_is_no_crash_loop(
    podman_runtime: PodmanRuntime, podman: PodmanCommand, artefacts: Artefacts
) -> None:
    """Starting the same again waits for it, however often it has ended before."""
    endpoint = podman_runtime.start(artefacts)
    before = podman.inspect("container", artefacts.container)
    podman.run("exec", artefacts.container, "valkey-cli", "shutdown", "nosave")
    while (now := podman.inspect("container", artefacts.container)) is not None:
        assert before is not None
        if now["RestartCount"] != before["RestartCount"]:
            break

    assert podman_runtime.start(artefacts) == endpoint

    assert command(endpoint, "PING") == b"+PONG\r\n"


@pytest.mark.podman
def test_a_paused_server_can_be_stopped(
    podman_runtime: PodmanRuntime, podman: PodmanCommand, artefacts: Artefacts
) -> None:
    """Podman itself refuses to stop a paused container."""
    podman_runtime.start(artefacts)
    podman.require("pause", artefacts.container)

    assert podman_runtime.stop(artefacts.name, 5)

    assert podman_runtime.find(artefacts.name) is None


@pytest.mark.podman
def test_a_server_that_does_not_end_is_killed_and_said_so(
    podman_runtime: PodmanRuntime, podman: PodmanCommand, artefacts: Artefacts
) -> None:
    """A frozen server takes no SIGTERM in time."""
    podman_runtime.start(artefacts)
    podman.require("kill", "--signal", "STOP", artefacts.container)

    with pytest.raises(ToolError, match="did not end within 1 s and was killed"):
        podman_runtime.stop(artefacts.name, 1)

    assert podman.inspect("pod", artefacts.pod) is None


@pytest.mark.podman
def test_a_throwaway_container_leaves_nothing(
    podman_runtime: PodmanRuntime, podman: PodmanCommand, artefacts: Artefacts
) -> None:
    """Neither a container nor an anonymous volume of the proof stays behind."""
    before = podman.require("volume", "ls", "--quiet").split()

    podman_runtime.prove(artefacts)

    assert "valkeyctl-trial" not in podman.require("ps", "--all", "--format", "{{.Names}}")
    left = set(podman.require("volume", "ls", "--quiet").split()) - set(before)
    assert not [name for name in left if len(name) == 64]


@pytest.mark.podman
def test_an_image_without_a_server_is_refused(
    podman_runtime: PodmanRuntime, podman: PodmanCommand, artefacts: Artefacts
) -> None:
    """The pause image has no shell, let alone valkey-server."""
    out = podman.require("images", "--format", "{{.Repository}}:{{.Tag}}")
    pause = next((line for line in out.split() if "podman-pause" in line), "")
    if not pause:
        pytest.skip("this Podman has no pause image of its own")

    with pytest.raises(ToolError):
        podman_runtime.prove(replace(artefacts, image=pause))


def test_volumes_are_found_by_their_whole_names(podman: PodmanCommand) -> None:
    """Podman takes the beginning of a name where nothing is called so, and stumbles over two."""
    name = f"vkt-{secrets.token_hex(4)}"
    made = [f"{name}-data-old", f"{name}-other"]
    try:
        for volume in made:
            podman.require("volume", "create", volume)
        assert podman.inspect("volume", f"{name}-data") is None
        found = podman.inspect_all("volume", [f"{name}-data", name, f"{name}-other"])
        assert [one["Name"] for one in found] == [f"{name}-other"]
    finally:
        podman.run("volume", "rm", *made)
