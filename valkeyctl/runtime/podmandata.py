"""The data of a unit on Podman: a volume, worked on by throwaway containers of its image.

Nothing of this machine's disk is shared with them, so it works with a Podman in a virtual
machine, too: what is put in comes through standard input.
"""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Sequence
from pathlib import Path

from valkeyctl.errors import MissingError, ToolError
from valkeyctl.render.artefacts import PROFILE_LABEL, Artefacts
from valkeyctl.render.conf import DATA_DIR
from valkeyctl.runtime.containertrial import version_in
from valkeyctl.runtime.datafolder import SCRIPT, STAGED, Layout, run_fed
from valkeyctl.runtime.datalock import data_lock
from valkeyctl.runtime.loadtrial import (
    LOAD_OPTIONS,
    MOST_DATABASES,
    Loaded,
    Pour,
    cannot_load,
    found_in,
)
from valkeyctl.runtime.podmancli import PodmanCommand

# A server loads some 50 MB a second from a slow disk; this is for 30 GB.
_LOAD_PATIENCE = 600.0
_PIPE = "/tmp/in"  # noqa: S108 - in a container of its own
# $1 is the folder of the RDB, or that of a pipe which is then fed from standard input;
# the other words are the server's options.
_LOAD = r"""
folder=$1
shift
valkey-server --version
if [ "$folder" = /tmp/in ]; then
  mkdir $folder
  mkfifo $folder/dump.rdb
  # Valkey 8.0 opens it once more when it has loaded it, and would wait for ever.
  exec 3<&0  # what runs behind has nothing for its standard input
  (cat <&3 > $folder/dump.rdb; while sleep 0.1; do : > $folder/dump.rdb; done) 2>/dev/null &
fi
valkey-server "$@" --dir $folder --unixsocket /tmp/socket > /tmp/log 2>&1 &
server=$!
while kill -0 $server 2>/dev/null; do
  answer=$(timeout 1 valkey-cli -s /tmp/socket info 2>/dev/null)
  if echo "$answer" | grep -q '^loading:0'; then
    echo loaded
    echo "$answer"
    exit 0
  fi
  sleep 0.05
done
echo refused
cat /tmp/log
"""


class PodmanData:
    """The data of a unit of the Podman runtime: its volume.

    Args:
        podman: The command.
        artefacts: The unit.
        folder: Of our own files of the unit, which is locked while its data is worked on.
    """

    def __init__(self, podman: PodmanCommand, artefacts: Artefacts, folder: Path) -> None:
        self.place = f"volume {artefacts.volume}"
        self._folder = folder
        self._podman = podman
        self._artefacts = artefacts
        self._layout = Layout.of(artefacts)

    def stage(self, pour: Pour, size: int) -> None:
        """Put an RDB beside the data; see `DataFolder.stage`."""
        volume = self._artefacts.volume
        if not self._podman.run("volume", "exists", volume).ok:
            label = f"{PROFILE_LABEL}={self._artefacts.deployment}"
            self._podman.require("volume", "create", "--label", label, volume)
        self._run("stage", str(size), pour=pour)

    def try_staged(self) -> Loaded:
        """Return what the image's server finds in it; see `DataFolder.try_staged`."""
        return _load(
            self._podman,
            self._artefacts.image,
            f"{DATA_DIR}/{STAGED}",
            # Read-only: whatever this server does, the data is not its business.
            ("--user", self._user, "--volume", f"{self._artefacts.volume}:{DATA_DIR}:ro"),
            databases=self._layout.databases,
        )

    def switch(self, old: str) -> None:
        """Put what is staged in place; see `DataFolder.switch`."""
        self._run(*self._layout.switch(old))

    def undo(self, old: str) -> None:
        """Put back what was there; see `DataFolder.undo`."""
        self._run(*self._layout.undo(old))

    def settle(self, old: str, *, clear: bool = False) -> str:
        """Remove what is not needed; see `DataFolder.settle`."""
        left = self._run(*self._layout.settle(old, clear=clear))
        return f"{old} in the volume {self._artefacts.volume}" if left else ""

    @property
    def _user(self) -> str:
        return f"{self._artefacts.user}:{self._artefacts.group}"

    def _run(self, *words: str, pour: Pour | None = None) -> str:
        unit = self._artefacts
        with data_lock(self._folder) as lock:
            return _in_container(
                self._podman,
                unit.image,
                ("--user", self._user, "--volume", f"{unit.volume}:{DATA_DIR}"),
                ("-c", SCRIPT, "sh", DATA_DIR, *words),
                pour,
                self.place,
                lock=lock,
            )


def load_in_container(podman: PodmanCommand, image: str, pour: Pour) -> Loaded:
    """Return what the server of *image* finds in the RDB that *pour* writes.

    Raises:
        StartError: It cannot load it; carries its own words.
        MissingError: There is no podman.
        ToolError: podman failed.
    """
    volumes = ("--image-volume", "tmpfs")
    return _load(podman, image, _PIPE, volumes, databases=MOST_DATABASES, pour=pour)


def _load(
    podman: PodmanCommand,
    image: str,
    folder: str,
    options: Sequence[str],
    *,
    databases: int,
    pour: Pour | None = None,
) -> Loaded:
    words = ("-c", _LOAD, "sh", folder, *LOAD_OPTIONS, "--databases", str(databases))
    what = f"a trial of {image}"
    out = _in_container(podman, image, options, words, pour, what, patience=_LOAD_PATIENCE)
    described, _, rest = out.partition("\n")
    verdict, _, told = rest.partition("\n")
    server = f"valkey {version_in(described)} ({image})"
    if verdict == "loaded":
        return found_in(told, server)
    if verdict == "refused":
        raise cannot_load(server, told)
    raise ToolError(f"{image} cannot run valkey-server: {described.strip() or 'it said nothing'}")


def _in_container(
    podman: PodmanCommand,
    image: str,
    options: Sequence[str],
    words: Sequence[str],
    pour: Pour | None,
    what: str,
    *,
    patience: float = 120.0,
    lock: int | None = None,
) -> str:
    """Return what ``sh`` with *words* prints in a container without network."""
    name = f"valkeyctl-data-{secrets.token_hex(4)}"
    done = False
    try:
        out = run_fed(
            [
                # Its shell waits, and keeps the lock: sudo closes what it inherits.
                *("sh", "-c", '"$@"; exit $?', "sh", *shlex.split(str(podman))),
                *("run", "--rm", "--interactive", "--name", name, "--pull", "never"),
                *("--network", "none", "--read-only", "--cap-drop", "all"),
                *("--security-opt", "no-new-privileges", "--log-driver", "none"),
                *(*options, "--entrypoint", "sh", image, *words),
            ],
            pour,
            what,
            patience=patience,
            lock=lock,
        )
        done = True
    except ToolError as error:
        if not podman.run("image", "exists", image).ok:
            raise MissingError(
                f"the image {image} is not here", hint=f"Fetch it: {podman} pull {image}"
            ) from error
        raise
    finally:
        if not done:
            podman.run("rm", "--force", "--volumes", "--time", "0", name)
    return out
