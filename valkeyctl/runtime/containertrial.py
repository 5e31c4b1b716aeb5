"""Proof that an image's server accepts a valkey.conf: a throwaway container of it."""

from __future__ import annotations

import secrets

from valkeyctl.errors import ToolError
from valkeyctl.render.artefacts import CONF, Artefacts
from valkeyctl.runtime.directives import readings
from valkeyctl.runtime.podmancli import PodmanCommand
from valkeyctl.runtime.trial import accepted, refused

_TIMEOUT = 30.0
# What the script below sets otherwise than the rendered file.
_OVERRIDDEN = frozenset({"daemonize", "dir", "logfile", "port", "unixsocket"})
# The configuration comes through standard input, and every answer leaves through
# standard output: no folder is shared, so it works with a Podman in a virtual machine.
# Runs in the sh of any image that the pod's own liveness probe can run in.
_SCRIPT = """
cat > /tmp/valkey.conf
valkey-server --version
valkey-server /tmp/valkey.conf --port 0 --unixsocket /tmp/socket --dir /tmp --logfile '' \
  --daemonize no > /tmp/log 2>&1 &
server=$!
ask() { valkey-cli -s /tmp/socket "$@" 2>&1; }
tries=0
while kill -0 $server 2>/dev/null && [ $tries -lt 200 ]; do
  case "$(ask ping)" in
    PONG*|NOAUTH*)
      echo accepted
      ask config get '*'
      ask shutdown nosave > /dev/null
      exit 0;;
  esac
  tries=$((tries + 1))
  sleep 0.05
done
echo refused
cat /tmp/log
"""


def try_container(artefacts: Artefacts, podman: PodmanCommand) -> list[str]:
    """Return what was proven, one line a thing, by a container without network or disk.

    Raises:
        StartError: The server refuses the configuration; carries its own words.
        ToolError: podman failed.
    """
    name = f"valkeyctl-trial-{secrets.token_hex(4)}"
    done = False
    try:
        out = podman.require(
            *("run", "--rm", "--interactive", "--name", name, "--pull", "never"),
            *("--network", "none", "--read-only", "--cap-drop", "all"),
            *("--security-opt", "no-new-privileges", "--log-driver", "none"),
            # The image declares a volume for its data; none is to be left behind.
            *("--image-volume", "tmpfs", "--entrypoint", "sh"),
            *(artefacts.image, "-c", _SCRIPT),
            timeout=_TIMEOUT,
            stdin=artefacts.files[CONF],
        )
        done = True
    finally:
        if not done:
            podman.run("rm", "--force", "--volumes", "--time", "0", name)
    described, _, rest = out.partition("\n")
    verdict, _, words = rest.partition("\n")
    server = f"valkey {version_in(described)} ({artefacts.image})"
    if verdict == "accepted":
        barred = words.startswith(("NOAUTH", "NOPERM"))
        reported = {} if barred else readings(words.split("\n"))
        return accepted(server, artefacts, reported, skip=_OVERRIDDEN)
    if verdict == "refused":
        raise refused(server, words)
    raise ToolError(
        f"{artefacts.image} cannot run valkey-server: {described.strip() or 'it said nothing'}",
        hint="Name an image that holds valkey-server and valkey-cli, such as "
        "docker.io/valkey/valkey:8.1",
    )


def version_in(described: str) -> str:
    """Return the version that ``valkey-server --version`` states; empty when it does not."""
    _, found, rest = described.partition(" v=")
    return rest.split(None, 1)[0] if found and rest else ""
