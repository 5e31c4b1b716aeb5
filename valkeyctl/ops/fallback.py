"""What a rollout falls back on: kept renders, the runtime that has the deployment, a clean stop."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from valkeyctl.errors import RefusedError, ToolError
from valkeyctl.ops.deployed import Deployed
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.render import Artefacts
from valkeyctl.runtime.protocol import Runtime
from valkeyctl.runtime.select import Choice, Wanted, choose


def render_of(state: StateFolder, name: str, digest: str) -> Artefacts | None:
    """Return the kept render of *name* with *digest*, else the last good one, else None."""
    history = state.history(name)
    matching = (artefacts for artefacts in history if artefacts.digest == digest)
    return next(matching, history[0] if history else None)


def unit_render_of(state: StateFolder, unit: Artefacts, digest: str) -> Artefacts | None:
    """Return the kept render of *unit* with *digest*, else its last good one, else None."""
    kept = [
        candidate
        for artefacts in state.history(unit.deployment)
        for candidate in artefacts.units
        if candidate.name == unit.name
    ]
    matching = (candidate for candidate in kept if candidate.digest == digest)
    return next(matching, kept[0] if kept else None)


def stop(runtime: Runtime, name: str, grace: float, warnings: list[str]) -> bool:
    """Stop *name*; a server that had to be killed is a warning, for it is stopped.

    Raises:
        ToolError: It still runs.
    """
    try:
        return runtime.stop(name, grace)
    except ToolError as error:
        if runtime.find(name) is not None:
            raise
        warnings.append(str(error))
        return True


def runtime_for(deployed: Deployed, state: StateFolder, wanted: Wanted) -> Choice:
    """Return the runtime to use: the one that has the deployment, where one has it."""
    here, record = deployed.runtime, deployed.record
    reason = record.reason if record else ""
    if here is not None and deployed.instance is not None:
        if wanted not in ("auto", here.name):
            raise RefusedError(
                f"{deployed.name} is on {here.name}; {wanted} would start a second server",
                hint=f"Take it down first: valkeyctl down -p {deployed.name}",
            )
        return Choice(here, reason or f"{here.name}: it is there already")
    if here is not None and wanted == "auto":
        here.check()  # its data is there, and nowhere else
        return Choice(here, reason)
    return choose(wanted, state.runtimes)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Put off Ctrl-C and SIGTERM: whoever repeats one must not stop the server from coming back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def wait(_number: int, _frame: FrameType | None) -> None:
        """Do nothing; the exception that we are handling goes on afterwards."""

    before = {number: signal.signal(number, wait) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
