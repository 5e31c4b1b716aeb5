"""The secret files of a unit on the process runtime: a private folder beside its files."""

from __future__ import annotations

from pathlib import Path

from valkeyctl.errors import FolderError
from valkeyctl.runtime.files import STATE_HINT, private_folder, remove_folder, write_private
from valkeyctl.runtime.material import Material


class SecretsFolder:
    """The folder of secrets of one unit, 0700, with files of 0600.

    Args:
        folder: Where it is, or will be.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fill(self, material: Material, *, rest: bool = False) -> bool:
        """Write the files that differ, each whole or not at all; False when none does.

        Args:
            material: The files.
            rest: Whether to remove the files that are not of *material*, such as the key
                of a certificate that is used no more.

        Raises:
            FolderError: One cannot be read, written or removed.
        """
        if rest and not material.files:
            self.remove()
            return False
        try:
            found = {file.name: file.read_bytes() for file in self._folder.iterdir()}
            for name in found.keys() - material.files.keys() if rest else ():
                (self._folder / name).unlink(missing_ok=True)
        except FileNotFoundError:
            found = {}
        except OSError as error:
            raise FolderError(
                f"cannot read {self._folder}: {error.strerror or error}", hint=STATE_HINT
            ) from error
        changed = {
            name: contents
            for name, contents in material.files.items()
            if found.get(name) != contents
        }
        if changed:
            private_folder(self._folder.parent)
            private_folder(self._folder)
        for name, contents in changed.items():
            write_private(self._folder / name, contents)
        return bool(changed)

    def remove(self) -> None:
        """Remove the folder and all that is in it.

        Raises:
            FolderError: It cannot be removed.
        """
        remove_folder(self._folder)
