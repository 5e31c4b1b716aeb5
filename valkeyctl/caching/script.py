"""Lua scripts of this package, by name."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from importlib.resources import files

_READERS = frozenset({"claim", "fill", "lookup", "survey"})


@dataclass(frozen=True)
class Script:
    """A Lua script that the server may already know.

    Attributes:
        name: For messages.
        source: What EVAL sends.
        sha: What EVALSHA sends; hexadecimal SHA-1 of the source.
    """

    name: str
    source: bytes
    sha: str

    @classmethod
    def of(cls, name: str, source: str | bytes) -> Script:
        """Return the script with this source."""
        data = source.encode() if isinstance(source, str) else source
        # SHA-1 is how the server names scripts; nothing here relies on its strength.
        return cls(name, data, hashlib.sha1(data, usedforsecurity=False).hexdigest())


@functools.cache
def load_script(name: str) -> Script:
    """Return ``scripts/<name>.lua`` of this package; readers begin with ``entry.lua``."""
    folder = files(__package__) / "scripts"
    source = (folder / f"{name}.lua").read_bytes()
    if name in _READERS:
        source = (folder / "entry.lua").read_bytes() + b"\n" + source
    return Script.of(name, source)
