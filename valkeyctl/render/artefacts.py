"""What a profile becomes: files to write, and the facts that a runtime needs beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from valkeyctl.render.budget import MemoryBudget

CONF = "valkey.conf"
POD = "pod.yaml"
COMPOSE = "podman-compose.yaml"


@dataclass(frozen=True)
class Artefacts:
    """A rendered profile; pure data, nothing of it is on disk yet.

    Attributes:
        name: The deployment's name; prefix of every object that it makes.
        app: First part of every key.
        files: File name to text; holds no secret.
        directives: The rendered valkey.conf, directive by directive; a directive that
            stands more than once (``save``) is joined by blanks, as CONFIG GET shows it.
        image: Container image, with its tag.
        pull: ``missing`` or ``never``.
        host: Address to publish on.
        port: TCP port to publish on.
        stop_grace: Seconds a server may take to save and end.
        budget: Where the memory of the container goes.
        keeps_data: Whether data survives a restart.
        tls: Whether the server speaks TLS only.
        auth: Whether the server asks for a password.
    """

    name: str
    app: str
    files: Mapping[str, str]
    directives: Mapping[str, str]
    image: str
    pull: str
    host: str
    port: int
    stop_grace: float
    budget: MemoryBudget
    keeps_data: bool
    tls: bool
    auth: bool

    @property
    def digest(self) -> str:
        """Twelve hex digits that change whenever any file does."""
        whole = hashlib.sha256()
        for name in sorted(self.files):
            whole.update(f"{name}\0{self.files[name]}\0".encode())
        return whole.hexdigest()[:12]

    @property
    def volume(self) -> str:
        """Name of the volume that holds the data."""
        return f"{self.name}-data"
