"""Deployments that benchmarks make for themselves: their names, ports and podman."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from valkeyctl.profile import Profile, load

_IN_A_ROW = 12  # ports: one for each unit of the largest topology here


def small_profile(base: str, fields: Mapping[str, object]) -> Profile:
    """Return the profile *base* with a name and ports of its own, and *fields* besides."""
    data = load(base).model_dump(exclude_unset=True)
    name = f"vkb-{secrets.token_hex(4)}"
    # One port for each unit of a topology, side by side.
    own = {"name": name, "app": name, "publish": f"127.0.0.1:{_free_row()}", "pull": "never"}
    return Profile.model_validate({**data, **own, **fields})


def changed(profile: Profile, fields: Mapping[str, object]) -> Profile:
    """Return *profile* with *fields* in place of its own."""
    return Profile.model_validate({**profile.model_dump(exclude_unset=True), **fields})


@contextmanager
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


def _free_row() -> int:
    """Return a port that is free, and so are those after it."""
    for first in range(17000, 29000, _IN_A_ROW):
        if all(_free(first + step) for step in range(_IN_A_ROW)):
            return first
    raise SystemExit("no free ports side by side")


def _free(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) != 0
