"""What stopping units has done, and what is said of one that had to be killed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from valkeyctl.errors import ToolError

Begun: TypeAlias = Callable[[Sequence[str]], None]


@dataclass(frozen=True)
class Stopped:
    """What stopping units has done.

    Attributes:
        units: Those that ran, and do not any more.
        killed: Those of them that did not end in time; what they had not saved is lost.
    """

    units: tuple[str, ...] = ()
    killed: tuple[str, ...] = ()


def unsaid(_units: Sequence[str]) -> None:
    """Say nothing of units that are being stopped."""


def killed(name: str, grace: float) -> ToolError:
    """Return what is told of a unit that did not end within *grace* seconds."""
    return ToolError(
        f"{name} did not end within {grace:g} s and was killed; what it had not saved is lost",
        hint="Raise stop.grace in the profile",
    )
