"""What a profile becomes: files to write, and the facts that a runtime needs beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from valkeyctl.render.budget import MemoryBudget

CONF = "valkey.conf"
POD = "pod.yaml"
COMPOSE = "podman-compose.yaml"
# On the pod and its containers, so that a running one can be told from its profile.
PROFILE_LABEL = "valkeyctl.profile"
VERSION_LABEL = "valkeyctl.version"
HASH_LABEL = "valkeyctl.hash"
PRODUCTION_LABEL = "valkeyctl.production"  # present, with true, where the profile says so


def digest_of(files: Mapping[str, str]) -> str:
    """Return twelve hex digits that change whenever a line of *files* does, but for two labels.

    The hash label carries this very digest, and the version label must not make a
    running server look outdated whenever valkeyctl itself is upgraded.
    """
    whole = hashlib.sha256()
    for name in sorted(files):
        lines = (
            line
            for line in files[name].splitlines()
            if not line.lstrip().startswith((f"{HASH_LABEL}:", f"{VERSION_LABEL}:"))
        )
        whole.update("\n".join((name, *lines, "")).encode())
    return whole.hexdigest()[:12]


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
        """Twelve hex digits that change with any file; what HASH_LABEL carries."""
        return digest_of(self.files)

    @property
    def pod(self) -> str:
        """Name of the pod."""
        return f"{self.name}-valkey"

    @property
    def container(self) -> str:
        """Name of the server's container; kube play makes it of the pod's and its own."""
        return f"{self.pod}-server"

    @property
    def volume(self) -> str:
        """Name of the volume that holds the data."""
        return f"{self.name}-data"
