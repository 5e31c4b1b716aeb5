"""How clients reach a deployment, by what was rendered; without a login."""

from __future__ import annotations

from valkeyctl.endpoint import Endpoint
from valkeyctl.render import Artefacts

_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


def reached(host: str) -> str:
    """Return where clients of this machine reach what is published on *host*.

    What listens on every address is not called by that: no certificate names 0.0.0.0.
    """
    return _EVERY_ADDRESS.get(host, host)


def published(unit: Artefacts) -> Endpoint:
    """Return where *unit* is published."""
    return Endpoint(host=unit.host, port=unit.port, tls=unit.tls)


def endpoint_of(artefacts: Artefacts) -> Endpoint:
    """Return the endpoint of the whole deployment, at its published addresses.

    Of a Sentinel topology these are the sentinels, of a Cluster all of its nodes.
    """
    if artefacts.topology == "standalone":
        return published(artefacts)
    kind = "sentinel" if artefacts.topology == "sentinel" else "server"
    nodes = tuple((unit.host, unit.port) for unit in artefacts.units if unit.kind == kind)
    return Endpoint(
        tls=artefacts.tls,
        topology=artefacts.topology,
        nodes=nodes,
        primary_name=artefacts.name if kind == "sentinel" else None,
    )
