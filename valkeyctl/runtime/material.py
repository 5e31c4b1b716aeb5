"""The secret files that reach a server: password hashes, replica logins, TLS keys."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from valkeyctl.errors import MissingError
from valkeyctl.render.acl import ACL_FILE
from valkeyctl.render.artefacts import Artefacts

TRIAL = "trial"  # of a server that nobody can reach, and that ends within seconds


@dataclass(frozen=True)
class Material:
    """Secret files by name; shown by neither ``repr`` nor ``str``.

    Attributes:
        files: File name to contents; what lies in the unit's folder of secrets.
    """

    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def digest(self) -> str:
        """Twelve hex digits that change with any file."""
        whole = hashlib.sha256()
        for name in sorted(self.files):
            whole.update(name.encode() + b"\0" + hashlib.sha256(self.files[name]).digest())
        return whole.hexdigest()[:12]

    @property
    def users(self) -> tuple[str, ...]:
        """Names of those who may log in, by the ACL file; empty without one."""
        lines = self.files.get(ACL_FILE, b"").decode().splitlines()
        found = (line.split() for line in lines)
        return tuple(words[1] for words in found if words[:1] == ["user"] and words[2] == "on")

    def complete(self, artefacts: Artefacts) -> Material:
        """Return this, which holds every file that *artefacts* name.

        Raises:
            MissingError: One is not there; a server would end for it.
        """
        missing = sorted(set(artefacts.material) - self.files.keys())
        if missing:
            raise MissingError(
                f"{artefacts.name} cannot be started without {', '.join(missing)}",
                hint=f"Have them made: valkeyctl deploy -p {artefacts.deployment}",
            )
        return self

    def with_trial_user(self) -> Material:
        """Return the same for a throwaway server, with a user that reads its settings back."""
        if ACL_FILE not in self.files:
            return self
        acl = self.files[ACL_FILE] + f"user {TRIAL} on nopass ~* &* +@all\n".encode()
        return Material({**self.files, ACL_FILE: acl})


EMPTY = Material()
