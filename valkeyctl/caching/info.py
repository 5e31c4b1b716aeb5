"""INFO as a mapping."""

from __future__ import annotations


def parse_info(text: bytes) -> dict[str, str]:
    """Return the fields of an INFO reply under the server's own names, sections dropped."""
    lines = text.decode(errors="replace").splitlines()
    fields = (line.partition(":") for line in lines if not line.startswith("#"))
    return {name: value for name, colon, value in fields if colon}
