"""A pod that speaks TLS: tried, started, asked by its own probe, renewed while it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ops.tls.conftest import secrets_of, shown_by
from tests.runtime.conftest import unique_profile
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import StartError, TlsError
from valkeyctl.ops.health import probe
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.tls.hosts import hosts_of
from valkeyctl.ops.tls.issue import init
from valkeyctl.ops.tls.pair import own_folder, tls_files, with_certificates
from valkeyctl.ops.tls.reload import reload
from valkeyctl.render import render
from valkeyctl.runtime.material import Material
from valkeyctl.runtime.podman import PodmanRuntime

pytestmark = [pytest.mark.podman, pytest.mark.slow]


def test_a_pod_speaks_tls_and_is_renewed_while_it_runs(
    podman_command: str, tmp_path: Path, state: StateFolder
) -> None:
    """Everything that the process runtime does, through a published container port."""
    runtime = PodmanRuntime(tmp_path / "podman", podman_command)
    profile = unique_profile(tls={"enabled": True, "auth_clients": "yes"})
    artefacts, own = render(profile), own_folder(state, profile.name)
    init(profile.name, own, hosts_of(profile))
    broken = Material({**tls_files(profile, state), "server.key": b"nothing\n"})
    try:
        with pytest.raises(StartError, match="Failed to load private key"):
            runtime.prove(artefacts, broken)
        runtime.prove(artefacts, secrets_of(profile, state))

        runtime.start(artefacts, secrets_of(profile, state))

        found = runtime.find(artefacts.name)
        assert found is not None
        endpoint = with_certificates(found.endpoint, profile, state)
        assert runtime.podman.run("healthcheck", "run", artefacts.container).ok
        assert probe(endpoint).healthy
        with pytest.raises(TlsError, match="asks for a client certificate"):
            Wire(with_ca_only(endpoint)).__enter__().call("PING")
        with Wire(endpoint) as before:
            before.call("SET", "k", "v")
            old = shown_by(endpoint)

            runtime.deliver(artefacts, broken)
            with pytest.raises(TlsError, match="goes on with the old one"):
                reload(endpoint)
            assert shown_by(endpoint) == old
            init(profile.name, own, (), renew=True)
            assert runtime.deliver(artefacts, secrets_of(profile, state))
            reload(endpoint)

            assert shown_by(endpoint) != old
            assert before.call("GET", "k") == b"v"
            with Wire(endpoint) as after:
                assert after.call("GET", "k") == b"v"
    finally:
        runtime.stop(artefacts.name, 5)
        runtime.purge(artefacts.name)


def with_ca_only(endpoint: Endpoint) -> Endpoint:
    """Return how a client without a certificate of its own connects."""
    return Endpoint(host=endpoint.host, port=endpoint.port, tls=True, ca_file=endpoint.ca_file)
