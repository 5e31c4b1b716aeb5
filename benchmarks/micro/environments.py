"""A virtual environment for each library: their needs clash, and their pins must hold."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.micro.lock import locked
from benchmarks.micro.peers import Peer
from valkeyctl.errors import MissingError

_COMPLETE = "complete"


def default_folder() -> Path:
    """Return where the environments are kept: in the user's cache folder, never in here."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "valkeyctl" / "benchmark-peers"


async def python_of(peer: Peer, folder: Path, say: Callable[[str], None]) -> Path:
    """Return the interpreter that has *peer*, made now if it was never made with these pins.

    Raises:
        MissingError: Its packages cannot be installed.
    """
    if peer.pins is None:
        return Path(sys.executable)
    home = _home(peer.name, peer.pins, folder)
    python = home / "bin" / "python"
    with home.with_suffix(".lock").open("w") as lock:
        await locked(lock)  # another run may be making the same one
        if not (home / _COMPLETE).exists():
            say(f"installing {peer.name} into {home}")
            shutil.rmtree(home, ignore_errors=True)
            await _done(peer, sys.executable, "-m", "venv", str(home))
            # The pins are everything it needs, so nothing else is looked for.
            pip = (str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
            await _done(peer, *pip, "--no-deps", "-r", str(peer.pins))
            (home / _COMPLETE).touch()
    return python


def _home(name: str, pins: Path, folder: Path) -> Path:
    """Return the folder for these pins and this Python."""
    folder.mkdir(parents=True, exist_ok=True)
    what = f"{sys.version}\n{sys.prefix}\n{pins.read_text(encoding='utf-8')}"
    # No dot, for what follows one is taken as a suffix.
    return folder / f"{name.replace('.', '-')}-{hashlib.sha256(what.encode()).hexdigest()[:12]}"


async def _done(peer: Peer, *command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        _, words = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        lines = [line for line in words.decode().splitlines() if line.startswith("ERROR")]
        raise MissingError(
            f"{peer.name} cannot be installed: {(lines or ['no reason was given'])[0]}",
            hint="Name the libraries that can be: --peers valkeyctl,cashews",
        )
