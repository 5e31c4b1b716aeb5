"""What a deployed server wrote."""

from __future__ import annotations

from collections.abc import Iterator

from valkeyctl.errors import NotFoundError
from valkeyctl.ops.deployed import look_up
from valkeyctl.ops.statefolder import StateFolder


def read_logs(
    name: str, state: StateFolder, *, lines: int = 100, follow: bool = False
) -> Iterator[str]:
    """Yield the last *lines* log lines of *name*, oldest first, then new ones with *follow*.

    Raises:
        NotFoundError: There is no such deployment.
        MissingError: Its runtime is not there any more.
        ToolError: podman failed.
    """
    deployed = look_up(name, state)
    if deployed.missing is not None:
        raise deployed.missing
    if deployed.runtime is None:
        raise NotFoundError(
            f"there is no deployment {name}", hint=f"Deploy it: valkeyctl deploy -p {name}"
        )
    return deployed.runtime.logs(name, lines, follow=follow)
