"""Proof that a server accepts a valkey.conf: a throwaway run of that very server.

valkey-server has no option that only checks a file.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO

from valkeyctl.errors import StartError
from valkeyctl.render.acl import ACL_FILE
from valkeyctl.render.artefacts import SENTINEL_CONF, Artefacts
from valkeyctl.runtime.binary import ServerBinary
from valkeyctl.runtime.directives import differences, readings, refusal, tail
from valkeyctl.runtime.material import EMPTY, Material
from valkeyctl.runtime.processconf import (
    OVERRIDDEN,
    PROCESS_CONF,
    SECRETS_FOLDER,
    mode,
    process_files,
    server_path,
)
from valkeyctl.runtime.secretsfolder import SecretsFolder
from valkeyctl.runtime.trialfolder import trial_folder

_PATIENCE = 10.0
_LOGIN = b"*3\r\n$4\r\nAUTH\r\n$5\r\ntrial\r\n$1\r\n-\r\n"
_CONFIG_GET = b"*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$1\r\n*\r\n"
_SHUTDOWN = b"*2\r\n$8\r\nSHUTDOWN\r\n$6\r\nNOSAVE\r\n"


def try_process(
    artefacts: Artefacts, binary: ServerBinary, material: Material = EMPTY
) -> list[str]:
    """Return what was proven, one line a thing, by a run of *binary* without a port.

    It reads copies of the secret files of *material*, beside its users one more that
    tells its settings; only whoever may enter its folder can talk to it.

    Raises:
        StartError: It refuses the configuration; carries its own words.
    """
    with trial_folder() as folder:
        (folder / "data").mkdir()
        talk = folder / "s"
        # No port of either kind; certificates are loaded all the same, for tls-replication.
        # Nor a bus, nor a primary that hears of one more sentinel: nothing listens on port 1.
        talking = {"port": "0", "tls-port": "0", "unixsocket": str(talk)}
        if artefacts.topology == "cluster":
            talking["cluster-enabled"] = "no"
        alone = replace(artefacts, start_port=1)
        files = process_files(alone, folder, version=binary.version, overrides=talking)
        for file, text in files.items():
            (folder / file).write_text(text, encoding="utf-8")
        SecretsFolder(folder / SECRETS_FOLDER).fill(material.complete(artefacts).with_trial_user())
        log = folder / "log"
        with log.open("wb") as output:
            server = subprocess.Popen(
                [binary.path, server_path(folder / PROCESS_CONF), *mode(artefacts)],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            reported = _reported(server, talk, login=artefacts.auth)
        finally:
            _end(server, talk, login=artefacts.auth)
        if reported is None:
            raise refused(binary, log.read_text(errors="replace"))
    skip = OVERRIDDEN | talking.keys()
    return accepted(binary, artefacts, reported, skip=skip, material=material)


def accepted(
    server: object,
    artefacts: Artefacts,
    reported: Mapping[str, str],
    *,
    skip: frozenset[str] = frozenset(),
    material: Material = EMPTY,
) -> list[str]:
    """Return the lines for a configuration that *server* took and then read back."""
    if artefacts.kind == "sentinel":
        return [f"{SENTINEL_CONF} accepted by {server}"]
    if not reported:
        return [f"valkey.conf accepted by {server}; not read back: it asks for a password"]
    users = material.users
    wanted = {
        name: value
        for name, value in artefacts.directives.items()
        if name in reported and name not in skip
    }
    found = differences(wanted, reported)
    lines = [
        f"valkey.conf accepted by {server}: {len(wanted) - len(found)} of {len(wanted)} "
        "directives read back as written"
    ]
    if users:
        lines.append(f"{ACL_FILE} accepted by {server}: {', '.join(users)}")
    return lines + [
        f"note: {name} {wanted[name]!r} is read as {reported[name]!r}" for name in found
    ]


def refused(server: object, output: str) -> StartError:
    """Return the failure of a *server* that ended with *output*."""
    log = tail(output)
    why = refusal(output) or (log[-1] if log else "it ended without a word")
    return StartError(
        f"{server} refuses the configuration: {why}",
        log=log,
        hint="Correct the profile; nothing that runs was touched",
    )


def _reported(server: subprocess.Popen[bytes], talk: Path, *, login: bool) -> dict[str, str] | None:
    """Return what CONFIG GET says; empty when it is refused, None when no answer came."""
    until = time.monotonic() + _PATIENCE
    while server.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_PATIENCE)
            connection.connect(str(talk))
            connection.sendall((_LOGIN if login else b"") + _CONFIG_GET)
            with connection.makefile("rb") as reply:
                if login:
                    reply.readline()
                head = reply.readline()
                if head.startswith(b"*"):
                    return readings([_bulk(reply) for _ in range(int(head[1:]))])
                if head.startswith(b"-"):
                    return {}
        time.sleep(0.005)
    return None


def _bulk(reply: IO[bytes]) -> str:
    size = int(reply.readline().removeprefix(b"$"))
    return reply.read(size + 2)[:size].decode(errors="replace")


def _end(server: subprocess.Popen[bytes], talk: Path, *, login: bool) -> None:
    """End the throwaway server; its folder goes with it, so nothing is worth saving."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1.0)
        connection.connect(str(talk))
        connection.sendall((_LOGIN if login else b"") + _SHUTDOWN)
    try:
        server.wait(timeout=1.0)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
