"""Where our own files live, for those who need no more than the path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

VARIABLE = "VALKEYCTL_STATE_DIR"


def default_root(environ: Mapping[str, str]) -> Path:
    """Return the user's folder: VALKEYCTL_STATE_DIR, else below the XDG state folder."""
    named = environ.get(VARIABLE)
    if named:
        return Path(named).expanduser()
    xdg = environ.get("XDG_STATE_HOME", "")
    # The XDG specification says to ignore a relative path.
    base = Path(xdg) if xdg.startswith("/") else Path.home() / ".local" / "state"
    return base / "valkeyctl"
