"""Quadlet units: accepted by the real generator, and what it makes of them serves."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.conftest import IMAGE, free_port, require_podman
from tests.golden import PROFILES, ROOT
from tests.render.conftest import Podman, ask
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import ToolError
from valkeyctl.profile import Profile, load
from valkeyctl.render import CONF, render
from valkeyctl.render.targets import extra
from valkeyctl.runtime.quadlet import generate, generator

UNITS = [*sorted((ROOT / "profiles").glob("*.yaml")), PROFILES["full"]]


@pytest.fixture(scope="module")
def quadlet(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The generator of this machine, else the newer Podman's, which sees other files than we do."""
    found = generator()
    if found is not None:
        return found
    require_podman("podman5")
    script = tmp_path_factory.mktemp("quadlet") / "quadlet"
    script.write_text(
        "#!/bin/sh\nexec podman5 run --rm --pull never --network none --entrypoint /quadlet "
        "--volume /usr/libexec/podman/quadlet:/quadlet:ro --volume $QUADLET_UNIT_DIRS:/units:ro "
        f'--env QUADLET_UNIT_DIRS=/units {IMAGE} "$@"\n'
    )
    script.chmod(0o755)
    return str(script)


@pytest.fixture(scope="module")
def services(quadlet: str) -> str:
    """What the generator makes of all profiles at once: their units share a folder."""
    files: dict[str, str] = {}
    for path in UNITS:
        own = extra(load(path), "quadlet")
        assert not own.keys() & files.keys()
        files |= own
    return generate(quadlet, files)


def units(**fields: object) -> dict[str, str]:
    """Return the Quadlet files of a profile with these fields."""
    return dict(extra(Profile.model_validate({"name": "x", **fields}), "quadlet"))


def values(text: str, key: str) -> list[str]:
    """Return what a unit says under *key*, in order."""
    return [line.split("=", 1)[1] for line in text.splitlines() if line.startswith(f"{key}=")]


@pytest.mark.podman
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_the_generator_accepts_every_profile(path: Path, services: str) -> None:
    """One service for each server, volume and network."""
    for file in extra(load(path), "quadlet"):
        name, _, kind = file.rpartition(".")
        if kind in {"volume", "network"}:
            assert f"---{name}-{kind}.service---" in services
        elif kind == "container":
            assert f"---{name}.service---" in services


@pytest.mark.podman
def test_a_key_that_the_generator_does_not_know_is_found(quadlet: str) -> None:
    """The check above can fail, and says why in the generator's own words."""
    files = units()
    files["x-valkey.container"] = files["x-valkey.container"].replace("PidsLimit=", "PidLimit=")

    with pytest.raises(ToolError, match="unsupported key 'PidLimit' in group 'Container'"):
        generate(quadlet, files)


def test_the_container_is_hardened_as_the_pod() -> None:
    """And its limits are those of the profile."""
    text = units(tuning={"maxclients": 5000})["x-valkey.container"]

    assert values(text, "ReadOnly") == ["true"]
    assert (values(text, "DropCapability"), values(text, "NoNewPrivileges")) == (["all"], ["true"])
    assert (values(text, "User"), values(text, "Group")) == (["999"], ["999"])
    assert values(text, "PidsLimit") == ["128"]
    assert values(text, "Ulimit") == ["nofile=5032:5032"]
    assert values(text, "PodmanArgs") == [
        "--memory=512m",
        "--stop-timeout=60",
        "--read-only-tmpfs=false",
    ]


def test_systemd_waits_longer_than_the_server_may_save() -> None:
    """It would kill it otherwise."""
    text = units(stop={"grace": "5m"})["x-valkey.container"]

    assert values(text, "TimeoutStopSec") == ["315"]


def test_it_publishes_on_loopback_only() -> None:
    """IPv6 in brackets, as Podman wants it."""
    assert values(units()["x-valkey.container"], "PublishPort") == ["127.0.0.1:6379:6379"]
    ipv6 = units(publish="[::1]:7000")["x-valkey.container"]
    assert values(ipv6, "PublishPort") == ["[::1]:7000:6379"]


def test_the_configuration_is_found_by_root_and_by_a_user() -> None:
    """%E is /etc or ~/.config, and the file lies beside the units under a name of its own."""
    files, artefacts = units(), render(Profile(name="x"))

    assert files["x-valkey.conf"] == artefacts.files[CONF]
    assert values(files["x-valkey.container"], "Volume") == [
        "%E/containers/systemd/x-valkey.conf:/etc/valkeyctl/valkey.conf:ro,Z",
        "x-data.volume:/data",
    ]
    assert values(files["x-data.volume"], "VolumeName") == [artefacts.volume]


def test_secrets_are_podman_secrets_of_the_servers_user() -> None:
    """They are named in the unit, and their contents stand nowhere."""
    text = units(auth=True)["x-valkey.container"]

    assert values(text, "Secret") == [
        "x-users.acl,type=mount,target=/etc/valkeyctl-secrets/users.acl,uid=999,gid=999,mode=0400"
    ]
    assert "podman secret create x-users.acl" in text
    assert "x-secrets.volume" not in units(auth=True)


def test_a_volume_keeps_its_labels_when_the_render_changes() -> None:
    """A volume that exists is not made anew, so labels that change would be wrong at once."""
    before, after = (units(tuning={"databases": n})["x-data.volume"] for n in (1, 2))

    assert before == after


@pytest.mark.parametrize("podman_command", ["podman5"], indirect=True)  # 4.3 has no Quadlet
@pytest.mark.podman
@pytest.mark.slow
def test_what_the_generator_makes_serves(quadlet: str, podman: Podman, tmp_path: Path) -> None:
    """The very `podman run` of the service, without what only systemd can give it."""
    port = free_port()
    fields = {"name": podman.name, "publish": f"127.0.0.1:{port}", "persistence": "aof"}
    # A probe is a process more in the container: on a busy machine that takes its time.
    patient = {"pull": "never", "probes": {"timeout": "30s"}}
    files = extra(Profile.model_validate({**fields, **patient}), "quadlet")
    folder = tmp_path / "containers/systemd"
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    services = generate(quadlet, files)
    (line,) = [
        line for line in services.splitlines() if line.startswith("ExecStart=/usr/bin/podman run")
    ]
    line = line.replace("%E", str(tmp_path)).replace("%t/%N", str(tmp_path / "unit"))
    # Both want a service manager: one its notify socket, the other its cgroup.
    words = [
        word
        for word in shlex.split(line)[1:]
        if word not in {"--sdnotify=conmon", "--cgroups=split"}
    ]

    podman.run(*words)

    endpoint = Endpoint(port=port)
    assert ask(endpoint, "SET", "k", "v") == b"+OK\r\n"
    container = f"{podman.name}-valkey-server"
    assert podman.run("healthcheck", "run", container).returncode == 0
    about = podman.inspect("container", container)
    assert about["HostConfig"]["Memory"] == 512 * 2**20  # type: ignore[index]
    assert about["HostConfig"]["ReadonlyRootfs"] is True  # type: ignore[index]
    assert about["Config"]["StopTimeout"] == 60  # type: ignore[index]
    podman.run("rm", "--force", container)
    podman.run(*words)
    assert ask(endpoint, "GET", "k") == b"$1\r\nv\r\n"
