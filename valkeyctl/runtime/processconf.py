"""The rendered configuration of a unit, made to run outside its container.

What a unit of a topology starts from, process.conf, it also writes to: a server whom it
follows, with CONFIG REWRITE, and a sentinel whom it knows. Both are carried over when the
file is written anew, as the start scripts of the containers do.
"""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from pathlib import Path

from valkeyctl.render.artefacts import CONF, SENTINEL_CONF, Artefacts
from valkeyctl.render.conf import SECRETS_DIR
from valkeyctl.render.sentinelconf import learnt_by_sentinel, watching, with_learnt
from valkeyctl.render.tls import TLS_PATHS
from valkeyctl.runtime.datavolume import moved

PROCESS_CONF = "process.conf"
# What a path, an address or the way of starting decides, and so not the profile alone.
# set-proc-title no: the command line keeps the path of process.conf, by which a server
# is found whose pid was never written down.
OVERRIDDEN = frozenset(
    {
        *("aclfile", "bind", "daemonize", "dir", "logfile", "pidfile", "port", "set-proc-title"),
        *("tls-port", "unixsocket", *TLS_PATHS),
    }
)
_FAILS_OVER_ON_SIGTERM = 9  # the first version; those before refuse the word
SECRETS_FOLDER = "secrets"  # beside the files, for what a container has in SECRETS_DIR


def process_files(
    artefacts: Artefacts,
    folder: Path,
    *,
    version: str = "",
    learnt: Sequence[str] = (),
    overrides: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the files to write into *folder*, by name.

    Args:
        artefacts: What was rendered.
        folder: Absolute; the server keeps its data in ``data`` beneath it.
        version: Of the server that will read them; empty leaves out what only some take.
        learnt: Lines that the unit itself has written before; see `learnt_lines`.
        overrides: Directives of process.conf that come last and so win.
    """
    settings = {
        "bind": artefacts.host,
        **_ports(artefacts),
        **_clustered(artefacts, version),
        "dir": str(folder / "data"),
        "logfile": "",
        "pidfile": "",
        "daemonize": "no",
        "set-proc-title": "no",
        **(overrides or {}),
    }
    if artefacts.kind == "sentinel":
        return {PROCESS_CONF: _sentinel_text(artefacts, folder, settings, learnt)}
    settings = {**_secret_paths(artefacts, folder / SECRETS_FOLDER), **settings}
    lines = [
        f"# written by valkeyctl; {CONF} beside it is the render of profile {artefacts.name}",
        f"include {_quoted(server_path(folder / CONF))}",
        *(f"{name} {_quoted(value)}" for name, value in settings.items()),
        *learnt,
    ]
    return {
        CONF: _without_container_paths(artefacts.files[CONF], folder / SECRETS_FOLDER),
        PROCESS_CONF: "\n".join(lines) + "\n",
    }


def learnt_lines(artefacts: Artefacts, written: str | None) -> list[str]:
    """Return what the unit keeps over a start; at its first one what it begins with.

    Args:
        artefacts: The unit.
        written: Its process.conf as it is now; None when there is none yet.
    """
    if artefacts.kind == "sentinel":
        return learnt_by_sentinel(written or "")
    if artefacts.topology != "sentinel":
        return []
    if written is not None:
        return [line for line in written.splitlines() if line.startswith("replicaof ")]
    return [] if artefacts.primary else [f"replicaof {artefacts.host} {artefacts.start_port}"]


def require_same_port(artefacts: Artefacts, written: str | None) -> None:
    """Prove that a unit with data is where its peers have written down that it is.

    Args:
        artefacts: The unit.
        written: Its process.conf as it is now; None when there is none yet.

    Raises:
        RefusedError: It has listened on another port.
    """
    if not artefacts.is_node or written is None:
        return
    for line in written.splitlines():
        name, _, value = line.partition(" ")
        if name in {"port", "tls-port"} and value.strip('"') not in {"0", str(artefacts.port)}:
            raise moved(artefacts, f"port {value.strip(chr(34))}", str(artefacts.port), "publish")


def mode(artefacts: Artefacts) -> tuple[str, ...]:
    """Return the arguments that follow the path of process.conf."""
    return ("--sentinel",) if artefacts.kind == "sentinel" else ()


def _sentinel_text(
    artefacts: Artefacts, folder: Path, settings: Mapping[str, str], learnt: Sequence[str]
) -> str:
    """Return sentinel.conf with *settings* in the place of the container's, and *learnt*."""
    text = watching(artefacts.files[SENTINEL_CONF], artefacts.host, artefacts.start_port)
    lines = []
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "include":
            lines.append(f"include {_included(value, folder / SECRETS_FOLDER)}")
        elif value.startswith(f"{SECRETS_DIR}/"):
            path = folder / SECRETS_FOLDER / value.removeprefix(f"{SECRETS_DIR}/")
            lines.append(f"{name} {_quoted(str(path))}")
        elif name not in settings:
            lines.append(line)
    lines += [f"{name} {_quoted(value)}" for name, value in settings.items()]
    return with_learnt("\n".join(lines) + "\n", learnt)


def _clustered(artefacts: Artefacts, version: str) -> dict[str, str]:
    """Return what a node of a Cluster needs beside the directives of its container."""
    if artefacts.topology != "cluster":
        return {}
    found = {"cluster-port": str(artefacts.bus_port)}
    major = version.partition(".")[0]
    if major.isdigit() and int(major) >= _FAILS_OVER_ON_SIGTERM:
        found["shutdown-on-sigterm"] = "failover"
    return found


def _ports(artefacts: Artefacts) -> dict[str, str]:
    if artefacts.tls:
        return {"port": "0", "tls-port": str(artefacts.port)}
    return {"port": str(artefacts.port)}


def _secret_paths(artefacts: Artefacts, folder: Path) -> dict[str, str]:
    """Return the directives that name a secret file, with its path in *folder*."""
    inside = f"{SECRETS_DIR}/"
    return {
        name: str(folder / value.removeprefix(inside))
        for name, value in artefacts.directives.items()
        if value.startswith(inside)
    }


def server_path(path: Path) -> str:
    """Return *path* as valkey-server must be told it.

    It reads a name with ``[``, ``*`` or ``?`` as a pattern, and starts with its own
    defaults, on all addresses, when nothing matches.
    """
    return glob.escape(str(path))


def _without_container_paths(conf: str, secrets: Path) -> str:
    """Return *conf* with ``dir`` turned into a comment, and what it includes in *secrets*.

    A later line does not undo an earlier ``dir /data``: the server enters that folder
    as it reads the line, and ends when there is none. No line is dropped, so that
    the line in an error message is the line of the rendered file.
    """
    lines = []
    for line in conf.splitlines(keepends=True):
        name, _, value = line.rstrip("\n").partition(" ")
        if name == "dir":
            lines.append(f"# by {PROCESS_CONF}: {line}")
        elif name == "include":
            lines.append(f"include {_included(value, secrets)}\n")
        else:
            lines.append(line)
    return "".join(lines)


def _included(path: str, secrets: Path) -> str:
    """Return how to include in *secrets* what the container has at *path*."""
    return _quoted(server_path(secrets / path.removeprefix(f"{SECRETS_DIR}/")))


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
