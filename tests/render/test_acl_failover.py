"""The users of replicas and sentinels are enough for a failover, and no more is given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.caching.deployments import PRIMARY_NAME, SentinelDeployment, until
from valkeyctl.render.acl import ADMIN, REPLICA, SENTINEL, users


@pytest.mark.slow
def test_sentinels_fail_over_by_their_own_user(tmp_path: Path) -> None:
    """With the default user off everywhere: replication, voting, promotion, reconfiguration."""
    with SentinelDeployment(tmp_path, servers=3) as made:
        for kind, members in (("server", made.servers), ("sentinel", made.sentinels)):
            found = users(
                "app", topology="sentinel", kind="sentinel" if kind == "sentinel" else "server"
            )
            for member in members:
                for user in found:
                    login = ("nopass",) if user.login == "none" else (f">{user.name}",)
                    member.call("ACL", "SETUSER", user.name, "on", *login, *user.rules.split())
        for server in made.servers:
            server.call("CONFIG", "SET", "primaryuser", REPLICA, "primaryauth", REPLICA)
        for sentinel in made.sentinels:
            sentinel.call("SENTINEL", "SET", PRIMARY_NAME, "auth-user", SENTINEL)
            sentinel.call("SENTINEL", "SET", PRIMARY_NAME, "auth-pass", SENTINEL)
            sentinel.call("SENTINEL", "CONFIG", "SET", "sentinel-user", SENTINEL)
            sentinel.call("SENTINEL", "CONFIG", "SET", "sentinel-pass", SENTINEL)
        for member in (*made.servers, *made.sentinels):
            member.call("ACL", "SETUSER", "default", "off")
            member.endpoint = replace(member.endpoint, username=ADMIN, password=ADMIN)
            # Whoever came in as nobody has to come again, with its own name.
            member.call("CLIENT", "KILL", "USER", "default")
        first, *others = made.servers
        until(
            lambda: all(one.field("replication", "master_link_status") == "up" for one in others),
            10,
            "the replicas are back",
        )
        until(made.ready, 20, "the sentinels know of each other again")

        first.kill()

        until(
            lambda: any(one.field("replication", "role") == "master" for one in others),
            20,
            "a replica is promoted",
        )
        until(
            lambda: any(one.field("replication", "master_link_status") == "up" for one in others),
            20,
            "the other one follows it",
        )
