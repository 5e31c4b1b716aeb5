"""Small topologies to deploy, change and break, and what their servers say."""

from __future__ import annotations

import secrets

from tests.conftest import free_ports
from tests.ops.conftest import fact
from valkeyctl.endpoint import Endpoint
from valkeyctl.profile import Profile
from valkeyctl.render import render

KINDS = ("sentinel", "cluster")


def topology(kind: str, **fields: object) -> Profile:
    """Return a small profile of *kind* with a name and ports of its own."""
    return Profile.model_validate(
        {
            "name": f"vkt-{secrets.token_hex(4)}",
            "publish": f"127.0.0.1:{free_ports(12)}",
            "topology": kind,
            "persistence": "aof",
            "memory": {"limit": "160Mi"},
            "replication": {
                "replicas": 2 if kind == "sentinel" else 1,
                "output_buffer": "8Mi",
                "backlog": "4Mi",
            },
            "sentinel": {"down_after": "2s"},
            "stop": {"grace": "5s"},
            "pull": "never",
            **fields,
        }
    )


def servers(profile: Profile) -> dict[str, Endpoint]:
    """Return the published address of each data server, by its unit."""
    return {
        unit.name: Endpoint(host=unit.host, port=unit.port)
        for unit in render(profile).units
        if unit.kind == "server"
    }


def sentinels(profile: Profile) -> dict[str, Endpoint]:
    """Return the published address of each sentinel, by its unit."""
    return {
        unit.name: Endpoint(host=unit.host, port=unit.port)
        for unit in render(profile).units
        if unit.kind == "sentinel"
    }


def primary_of(profile: Profile) -> str:
    """Return the first unit that takes itself for a primary."""
    return next(name for name, one in servers(profile).items() if fact(one, "role") == "master")
