"""What a deploy is told, and what it has done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from valkeyctl.endpoint import Endpoint
from valkeyctl.ops.drift import Drift
from valkeyctl.ops.endpoints import published
from valkeyctl.render import Artefacts
from valkeyctl.runtime.material import EMPTY, Material

Action = Literal[
    "started",
    "updated",
    "replaced",
    "restarted",
    "unchanged",
    "would start",
    "would update",
    "would replace",
]
Progress = Callable[[str], None]
# From a unit to its published address, with a login that may use CONFIG.
Access = Callable[[Artefacts], Endpoint]
# From a unit to the secret files that it mounts.
Secrets = Callable[[Artefacts], Material]


@dataclass(frozen=True)
class Deployment:
    """What a deploy or restart has done, or would do.

    Attributes:
        name: Of the deployment.
        runtime: ``podman`` or ``process``.
        runtime_reason: Why that one.
        url: Where it listens; never with a password.
        changed: Whether anything was done.
        action: What was done, or would be; ``updated`` is a change without a restart.
        digest: Of the artefacts that run, or would.
        version: Of the server; empty when it is not known yet.
        changes: What differed before, and what it took.
        proofs: One line per thing proven beforehand.
        write_gap_ms: Milliseconds in which a writer was not acknowledged; 0 when every
            write was, None when nothing was changed, or no write was taken before it.
        keys_before: Keys in all databases before the change; None when not asked.
        keys_after: And after it.
        warnings: What the operator should know although it worked.
    """

    name: str
    runtime: str
    runtime_reason: str
    url: str
    changed: bool
    action: Action
    digest: str
    version: str
    changes: tuple[Drift, ...] = ()
    proofs: tuple[str, ...] = ()
    write_gap_ms: float | None = None
    keys_before: int | None = None
    keys_after: int | None = None
    warnings: tuple[str, ...] = ()


def no_material(_unit: Artefacts) -> Material:
    """Return no secret files: of a deployment that asks for no password."""
    return EMPTY


@dataclass(frozen=True)
class Orders:
    """How a rollout is to be done.

    Attributes:
        anew: Whether to stop and start a server that needs no change, too.
        yes: Whether losing data is meant.
        proven: Whether it is proven already that this would start.
        material: From a unit to its secret files.
        access: From a unit to its published address, with a login that may use CONFIG.
    """

    anew: bool = False
    yes: bool = False
    proven: bool = False
    material: Secrets = no_material
    access: Access = published


PLAIN = Orders()
