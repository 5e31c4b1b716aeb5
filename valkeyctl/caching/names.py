"""Which function stores its results under which name.

The name of a function is part of the ids of its results, so two functions of one name
would give each other's. Most of all a function that is made again and again inside of
another one, and each time with other variables of that one: no argument tells those apart.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from types import CellType, CodeType, FunctionType

from valkeyctl.errors import UsageError

_EMPTY = object()
# Of ``super()`` in a method: no variable that a result depends on.
_CLASS = "__class__"


@dataclass(frozen=True)
class _Claim:
    """Who has a name.

    Attributes:
        function: The function; it may be gone.
        code: What it runs.
        captured: What it runs with, of the functions around it.
    """

    function: weakref.ref[FunctionType]
    code: CodeType
    captured: tuple[object, ...]


class Names:
    """The names taken in one namespace of one cache."""

    def __init__(self) -> None:
        self._claims: dict[str, _Claim] = {}

    def claim(self, name: str, function: FunctionType) -> None:
        """Let *function* have *name*; one that was defined anew, as in a notebook, may too.

        Raises:
            UsageError: Another function has it, or the same one with other variables.
        """
        claim = _Claim(weakref.ref(function), function.__code__, _captured(function))
        known = self._claims.setdefault(name, claim)
        if known is claim:
            return
        if len(known.captured) != len(claim.captured) or any(
            one is not other for one, other in zip(known.captured, claim.captured, strict=True)
        ):
            raise UsageError(
                f"{name} is cached twice, with different variables of the function around it, "
                "and both would share their entries",
                hint="Pass what the result depends on as arguments, or give each a name=",
            )
        holder = known.function()
        # A module's or a class's function takes the place of an earlier one of its name, as
        # when a cell of a notebook runs again; those inside of functions can live together.
        local = "<locals>" in function.__qualname__
        if local and holder is not None and known.code is not claim.code:
            raise UsageError(
                f"two functions are cached as {name}, and would share their entries",
                hint="Give one of them another name=",
            )
        self._claims[name] = claim


def _captured(function: FunctionType) -> tuple[object, ...]:
    """Return the variables of the functions around it that *function* uses, by their names."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return tuple(
        _content(cell)
        for name, cell in cells
        if name not in (_CLASS, function.__name__)  # itself, where it calls itself
    )


def _content(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return _EMPTY
