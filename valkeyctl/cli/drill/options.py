"""The options that the drills share."""

from __future__ import annotations

from typing import Annotated

import typer

from valkeyctl.errors import UsageError
from valkeyctl.units import parse_duration

Node = Annotated[
    str,
    typer.Option(
        "--node", metavar="NAME", help="Server to hit, such as node-1; default: a primary."
    ),
]
For = Annotated[
    str | None,
    typer.Option(
        "--for",
        metavar="TIME",
        help="How long the fault lasts; default: until another server has taken over, else 5s.",
    ),
]
ForFull = Annotated[
    str, typer.Option("--for", metavar="TIME", help="How long the memory stays full.")
]
Timeout = Annotated[
    str,
    typer.Option("--timeout", metavar="TIME", help="When to give up waiting after the fault."),
]
Rate = Annotated[
    float,
    typer.Option(
        "--rate",
        metavar="N",
        min=1,
        max=2000,
        help="Writes a second, and reads, of each of the two probes.",
    ),
]
Confirm = Annotated[
    int,
    typer.Option(
        "--confirm-replicas",
        metavar="N",
        min=0,
        max=16,
        help="Ask N replicas to confirm each write; losing a confirmed one is a failure.",
    ),
]
GateOption = Annotated[
    list[str] | None,
    typer.Option(
        "--gate", metavar="EXPR", help="A bound such as 'write_gap_s<=8'; status 8 when broken."
    ),
]


def seconds(option: str, text: str) -> float:
    """Return the seconds that *text* names.

    Raises:
        UsageError: It is not a duration.
    """
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error
