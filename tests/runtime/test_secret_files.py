"""Secret files on every runtime: there before the server starts, changed while it runs, gone."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from tests.runtime.conftest import Make, unique_profile
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import AuthError, MissingError, StartError
from valkeyctl.render import Artefacts, render
from valkeyctl.render.acl import ACL_FILE, ADMIN, APP, acl_text, users
from valkeyctl.runtime.material import Material
from valkeyctl.runtime.podman import PodmanRuntime
from valkeyctl.runtime.process import ProcessRuntime
from valkeyctl.runtime.protocol import Runtime
from valkeyctl.runtime.secretsvolume import SecretsVolume


def listing(*passwords: str, **more: bytes) -> Material:
    """Return a list of users in which the admin has each of *passwords*, and *more* files."""
    hashes = [hashlib.sha256(password.encode()).hexdigest() for password in passwords]
    text = acl_text(users("t"), {ADMIN: hashes, APP: hashes})
    return Material({ACL_FILE: text.encode(), **more})


def logs_in(artefacts: Artefacts, password: str) -> bool:
    """Say whether the admin gets in with *password*."""
    try:
        with Wire(admin(artefacts, password)) as wire:
            return wire.call("PING") == b"PONG"
    except AuthError:
        return False


def admin(artefacts: Artefacts, password: str) -> Endpoint:
    """Return where the server listens, with a login."""
    return Endpoint(port=artefacts.port, username=ADMIN, password=password)


def kept(runtime: Runtime, artefacts: Artefacts) -> dict[str, int]:
    """Return the secret files that the server finds, and their sizes."""
    if isinstance(runtime, PodmanRuntime):
        words = ("exec", artefacts.container, "stat", "-c", "%n %s %a %u")
        command = f"cd /etc/valkeyctl-secrets && {' '.join(words[2:4])} '{words[4]}' *"
        out = runtime.podman.require(*words[:2], "sh", "-c", command)
        rows = [line.split() for line in out.splitlines()]
        assert {(mode, owner) for _, _, mode, owner in rows} == {("400", "999")}
        return {name: int(size) for name, size, _, _ in rows}
    assert isinstance(runtime, ProcessRuntime)
    folder = runtime._root / artefacts.name / "secrets"
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    return {file.name: file.stat().st_size for file in folder.iterdir()}


@pytest.mark.slow
def test_from_the_first_start_to_nothing_again(runtime: Runtime, make: Make) -> None:
    """Delivered, changed without a restart, tidied up, and gone with the server."""
    artefacts = make(auth=True)
    stale = Material({**listing("old").files, "server.key": b"of a certificate"})

    proofs = runtime.prove(artefacts, stale)
    runtime.start(artefacts, stale)

    assert any("users.acl accepted" in proof and "admin, app, probe" in proof for proof in proofs)
    assert any("directives read back as written" in proof for proof in proofs)
    assert logs_in(artefacts, "old")
    assert not runtime.deliver(artefacts, stale)

    both = listing("old", "new")
    with Wire(admin(artefacts, "old")) as before:
        assert runtime.deliver(artefacts, both)
        assert not logs_in(artefacts, "new")  # a server looks when it is told to
        before.call("ACL", "LOAD")
        assert (logs_in(artefacts, "new"), logs_in(artefacts, "old")) == (True, True)
        assert before.call("PING") == b"PONG"
    assert kept(runtime, artefacts)["server.key"] > 0  # in use until another server runs

    if isinstance(runtime, PodmanRuntime):
        probe = ("healthcheck", "run", artefacts.container)
        assert runtime.podman.run(*probe).ok  # as a user that no password was given to

    again = replace(artefacts, files={**artefacts.files, "note": "x"})
    runtime.stop(artefacts.name, 5)
    runtime.start(again, both)

    assert kept(runtime, artefacts).get("server.key", 0) == 0
    assert logs_in(artefacts, "new")
    runtime.stop(artefacts.name, 5)
    assert not exists(runtime, artefacts)


def exists(runtime: Runtime, artefacts: Artefacts) -> bool:
    """Say whether anything secret of a stopped server is left."""
    if isinstance(runtime, PodmanRuntime):
        return runtime.podman.run("volume", "exists", f"{artefacts.name}-secrets").ok
    assert isinstance(runtime, ProcessRuntime)
    return (runtime._root / artefacts.name / "secrets").exists()


def test_a_list_of_users_with_a_fault_is_found_before_the_start(
    runtime: Runtime, make: Make
) -> None:
    """By the very server, which says what is wrong with it."""
    artefacts = make(auth=True)
    broken = Material({ACL_FILE: b"user admin on nopass ~* +@nonsense\n"})

    with pytest.raises(StartError, match="nonsense"):
        runtime.prove(artefacts, broken)


def test_without_its_secret_files_nothing_is_touched(runtime: Runtime, make: Make) -> None:
    """A server would end for them, when the old one has been stopped already."""
    artefacts = make(auth=True)

    with pytest.raises(MissingError, match=r"cannot be started without users\.acl"):
        runtime.start(artefacts)

    assert runtime.find(artefacts.name) is None


@pytest.mark.podman
def test_the_files_follow_the_user_of_the_container(podman_runtime: PodmanRuntime) -> None:
    """Another uid in the profile could not read them, though not a byte has changed."""
    artefacts = render(unique_profile(auth=True))
    volume = SecretsVolume(podman_runtime.podman, artefacts.name)
    other = replace(artefacts, user=1000, group=1000)
    material = listing("old")

    fills = [volume.fill(unit, material) for unit in (artefacts, artefacts, other, other)]
    volume.remove()

    assert fills == [True, False, True, False]
    assert not podman_runtime.podman.run("volume", "exists", artefacts.secrets_volume).ok


def test_material_shows_nothing_of_itself() -> None:
    """In a log or a traceback there are names at most."""
    found = Material({"server.key": b"-----BEGIN"})

    assert "BEGIN" not in repr(found) + str(found)
    assert found.digest != Material().digest
