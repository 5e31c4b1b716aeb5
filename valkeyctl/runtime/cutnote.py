"""The note of how a pod was connected before a drill cut it off; it outlives the drill."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from valkeyctl.errors import ToolError
from valkeyctl.render.topology import deployment_of
from valkeyctl.runtime.files import private_folder, write_private

_FILE = "cut.json"


@dataclass(frozen=True)
class CutNote:
    """How a pod was connected.

    Attributes:
        infra: Id of its infra container; a pod that was made anew has another one.
        networks: Address and MAC by the name of the network.
    """

    infra: str
    networks: Mapping[str, tuple[str, str]]

    def write(self, folder: Path) -> None:
        """Write it down in the *folder* of the unit.

        Raises:
            FolderError: It cannot be written.
        """
        fields = {"infra": self.infra, "networks": self.networks}
        write_private(private_folder(folder) / _FILE, json.dumps(fields) + "\n")


def note_file(folder: Path) -> Path:
    """Return the file in the *folder* of a unit that holds its note; it may not exist."""
    return folder / _FILE


def read_note(folder: Path) -> CutNote | None:
    """Return the note in the *folder* of a unit; None without one.

    Raises:
        ToolError: It cannot be read: guessing an address could give it another server's.
    """
    file = note_file(folder)
    try:
        noted = json.loads(file.read_text(encoding="utf-8"))
        networks = {
            str(network): (str(address), str(mac))
            for network, (address, mac) in noted["networks"].items()
        }
        return CutNote(str(noted["infra"]), networks)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ToolError(
            f"{file} does not say how {folder.name} was connected: {error}",
            hint=f"Start it anew: valkeyctl restart -p {deployment_of(folder.name)}",
        ) from error
