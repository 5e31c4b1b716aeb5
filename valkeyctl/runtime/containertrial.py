"""Proof that an image's server accepts a valkey.conf: a throwaway container of it."""

from __future__ import annotations

import secrets

from valkeyctl.errors import ToolError
from valkeyctl.render.artefacts import CONF, SENTINEL_CONF, Artefacts
from valkeyctl.render.conf import SECRETS_DIR
from valkeyctl.runtime.directives import readings
from valkeyctl.runtime.material import EMPTY, TRIAL, Material
from valkeyctl.runtime.podmancli import PodmanCommand
from valkeyctl.runtime.tarball import tar_of
from valkeyctl.runtime.trial import accepted, refused

_TIMEOUT = 30.0
_IMAGE_HINT = (
    "Name an image that holds sh, valkey-server and valkey-cli, such as docker.io/valkey/valkey:8.1"
)
# What the script below sets otherwise than the rendered file.
_OVERRIDDEN = frozenset(
    {"cluster-enabled", "daemonize", "dir", "logfile", "port", "tls-port", "unixsocket"}
)
# The files come through standard input as an archive, and every answer leaves through
# standard output: no folder is shared, so it works with a Podman in a virtual machine.
# Nothing secret stands in an argument, and the files are gone with the container's /tmp.
# Runs in the sh of any image with valkey-cli and tar, as all have that are made of a
# Linux distribution.
_GIVEN = "/tmp/given/"  # noqa: S108 - of a container that nobody else is in
_SCRIPT = """
mkdir /tmp/given && tar -xof - -C /tmp/given || exit 1
valkey-server --version
valkey-server /tmp/given/$FILE $MODE --port 0 --tls-port 0 --unixsocket /tmp/socket \
  --dir /tmp --logfile '' --daemonize no > /tmp/log 2>&1 &
server=$!
ask() { valkey-cli --no-auth-warning $LOGIN -s /tmp/socket "$@" 2>&1; }
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


def try_container(
    artefacts: Artefacts, podman: PodmanCommand, material: Material = EMPTY
) -> list[str]:
    """Return what was proven, one line a thing, by a container without network or disk.

    It reads copies of the secret files of *material*, beside its users one more that
    tells its settings.

    Raises:
        StartError: The server refuses the configuration; carries its own words.
        ToolError: podman failed.
    """
    name = f"valkeyctl-trial-{secrets.token_hex(4)}"
    done = False
    sentinel = artefacts.kind == "sentinel"
    main = SENTINEL_CONF if sentinel else CONF
    # A Cluster's bus would want a port, and there is no network.
    clustered = "--cluster-enabled no" if artefacts.topology == "cluster" else ""
    mode = "--sentinel" if sentinel else clustered
    login = f"LOGIN=--user {TRIAL} --pass -" if artefacts.auth else "LOGIN="
    files = {
        **material.complete(artefacts).with_trial_user().files,
        main: artefacts.files[main].replace(f"{SECRETS_DIR}/", _GIVEN).encode(),
    }
    try:
        out = podman.require(
            *("run", "--rm", "--interactive", "--name", name, "--pull", "never"),
            *("--network", "none", "--read-only", "--cap-drop", "all"),
            *("--security-opt", "no-new-privileges", "--log-driver", "none"),
            # The image declares a volume for its data; none is to be left behind.
            *("--image-volume", "tmpfs", "--entrypoint", "sh", "--env", login),
            *("--env", f"FILE={main}", "--env", f"MODE={mode}"),
            *(artefacts.image, "-c", _SCRIPT),
            timeout=_TIMEOUT,
            stdin=tar_of(files, mode=0o600),
        )
        done = True
    except ToolError as error:
        hint = _IMAGE_HINT if "not found" in str(error) else error.hint
        raise ToolError(f"{artefacts.image} cannot be tried: {error}", hint=hint) from error
    finally:
        if not done:
            podman.run("rm", "--force", "--volumes", "--time", "0", name)
    described, _, rest = out.partition("\n")
    verdict, _, words = rest.partition("\n")
    server = f"valkey {version_in(described)} ({artefacts.image})"
    if verdict == "accepted":
        barred = words.startswith(("NOAUTH", "NOPERM"))
        reported = {} if barred else readings(words.split("\n"))
        skip = _OVERRIDDEN | {
            name
            for name, value in artefacts.directives.items()
            if value.startswith(f"{SECRETS_DIR}/")
        }
        return accepted(server, artefacts, reported, skip=skip, material=material)
    if verdict == "refused":
        raise refused(server, words)
    raise ToolError(
        f"{artefacts.image} cannot run valkey-server: {described.strip() or 'it said nothing'}",
        hint=_IMAGE_HINT,
    )


def version_in(described: str) -> str:
    """Return the version that ``valkey-server --version`` states; empty when it does not."""
    _, found, rest = described.partition(" v=")
    return rest.split(None, 1)[0] if found and rest else ""
