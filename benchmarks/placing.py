"""Deployments that benchmarks make for themselves: their names, ports and podman."""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import socket
from collections.abc import Iterator, Mapping

from valkeyctl.profile import Profile, load

_IN_A_ROW = 12  # ports: one for each unit of the largest topology here
_PORTS = (10_000, 12_000)  # the tests draw from other ranges
_TRIALS = 100


def small_profile(base: str, fields: Mapping[str, object]) -> Profile:
    """Return the profile *base* with a name and ports of its own, and *fields* besides."""
    data = load(base).model_dump(exclude_unset=True)
    name = f"vkb-{secrets.token_hex(4)}"
    # One port for each unit of a topology, side by side.
    own = {
        "name": name,
        "app": name,
        "publish": f"127.0.0.1:{free_row(_IN_A_ROW)}",
        "pull": "never",
    }
    return Profile.model_validate({**data, **own, **fields})


def changed(profile: Profile, fields: Mapping[str, object]) -> Profile:
    """Return *profile* with *fields* in place of its own."""
    return Profile.model_validate({**profile.model_dump(exclude_unset=True), **fields})


@contextlib.contextmanager
def using(command: str) -> Iterator[None]:
    """Let valkeyctl call the podman *command*; ``process`` stands for none."""
    before = os.environ.get("VALKEYCTL_PODMAN")
    if command != "process":
        os.environ["VALKEYCTL_PODMAN"] = command
    try:
        yield
    finally:
        os.environ.pop("VALKEYCTL_PODMAN", None)
        if before is not None:
            os.environ["VALKEYCTL_PODMAN"] = before


def free_row(count: int) -> int:
    """Return the first of *count* loopback ports in a row, all of them free.

    The system gives none of these to outgoing connections: one of those could take the
    port of a server that is being replaced.
    """
    for _ in range(_TRIALS):
        first = random.SystemRandom().randrange(*_PORTS)
        with contextlib.suppress(OSError), contextlib.ExitStack() as probes:
            for port in range(first, first + count):
                probes.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
    raise SystemExit(f"no {count} free ports side by side")
