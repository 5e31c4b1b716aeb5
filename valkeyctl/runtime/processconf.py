"""The rendered valkey.conf, made to run outside its container."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path

from valkeyctl.render.artefacts import CONF, Artefacts

PROCESS_CONF = "process.conf"
# What a path, an address or the way of starting decides, and so not the profile alone.
# set-proc-title no: the command line keeps the path of process.conf, by which a server
# is found whose pid was never written down.
OVERRIDDEN = frozenset(
    {"bind", "daemonize", "dir", "logfile", "pidfile", "port", "set-proc-title", "unixsocket"}
)


def process_files(
    artefacts: Artefacts, folder: Path, *, overrides: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the files to write into *folder*, by name.

    Args:
        artefacts: What was rendered.
        folder: Absolute; the server keeps its data in ``data`` beneath it.
        overrides: Directives of process.conf that come last and so win.
    """
    settings = {
        "bind": artefacts.host,
        "port": str(artefacts.port),
        "dir": str(folder / "data"),
        "logfile": "",
        "pidfile": "",
        "daemonize": "no",
        "set-proc-title": "no",
        **(overrides or {}),
    }
    lines = [
        f"# written by valkeyctl; {CONF} beside it is the render of profile {artefacts.name}",
        f"include {_quoted(server_path(folder / CONF))}",
        *(f"{name} {_quoted(value)}" for name, value in settings.items()),
    ]
    return {
        CONF: _without_container_paths(artefacts.files[CONF]),
        PROCESS_CONF: "\n".join(lines) + "\n",
    }


def server_path(path: Path) -> str:
    """Return *path* as valkey-server must be told it.

    It reads a name with ``[``, ``*`` or ``?`` as a pattern, and starts with its own
    defaults, on all addresses, when nothing matches.
    """
    return glob.escape(str(path))


def _without_container_paths(conf: str) -> str:
    """Return *conf* with what process.conf overrides turned into comments.

    A later line does not undo an earlier ``dir /data``: the server enters that folder
    as it reads the line, and ends when there is none. No line is dropped, so that
    the line in an error message is the line of the rendered file.
    """
    return "".join(
        f"# by {PROCESS_CONF}: {line}" if line.split(None, 1)[:1] == ["dir"] else line
        for line in conf.splitlines(keepends=True)
    )


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
