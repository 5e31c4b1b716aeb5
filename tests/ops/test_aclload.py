"""New users on a server that runs, a replica of a version that ACL LOAD would end among them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import TLS_SERVER, needs_tls_server
from tests.conftest import start_server
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.ops.aclload import load_users
from valkeyctl.ops.topology.patience import wait_until
from valkeyctl.runtime.material import Material

ADMIN = "user admin on nopass ~* &* +@all\n"
ACL = f"user default off resetkeys resetchannels -@all\n{ADMIN}"


@pytest.fixture(params=[None, pytest.param(TLS_SERVER, marks=needs_tls_server)])
def replica(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Endpoint]:
    """A replica with users, of the embedded server and of the one on PATH."""
    started: list[subprocess.Popen[bytes]] = []
    endpoints: list[Endpoint] = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "users.acl").write_text(f"{ACL}user old on nopass ~* &* +@all\n")
        follow = ("--replicaof", f"127.0.0.1 {endpoints[0].port}") if endpoints else ()
        login = ("--primaryuser", "admin", "--primaryauth", "x")
        options = ("--aclfile", "users.acl", "--repl-diskless-sync-delay", "0", *login, *follow)
        server, endpoint = start_server(folder, *options, binary=request.param)
        started.append(server)
        endpoints.append(Endpoint(port=endpoint.port, username="admin", password="x"))

    def unlinked() -> str:
        with Wire(endpoints[1]) as wire:
            return "" if wire.info("replication")["master_link_status"] == "up" else "no link"

    wait_until(unlinked, patience=10)
    yield endpoints[1]
    for server in started:
        server.kill()
        server.wait()


def test_a_replica_takes_new_users(replica: Endpoint, tmp_path: Path) -> None:
    """Whole, as they stand in the file; connections go on, and so does the server."""
    text = f"{ACL}user app on #{'0' * 64} resetkeys ~a:* resetchannels &a:* -@all +get\n"
    (tmp_path / "1" / "users.acl").write_text(text)
    material = Material({"users.acl": text.encode()})

    with Wire(replica) as before:
        answers = [load_users(replica, material), load_users(replica, material)]

        assert answers == [True, False]
        assert before.call("ACL", "USERS") == [b"admin", b"app", b"default"]
        listed = before.call("ACL", "LIST")
        assert before.call("ACL", "WHOAMI") == b"admin"
    assert isinstance(listed, list)
    assert f"#{'0' * 64} " in str(listed[1])
    assert str(listed[1]).endswith("+get'")
