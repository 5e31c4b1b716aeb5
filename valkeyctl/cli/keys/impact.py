"""``--impact``: how much of the server's time a verb may take from other clients."""

from __future__ import annotations

from typing import Annotated

import typer

from valkeyctl.ops.keyspace.pace import Impact

ImpactOption = Annotated[
    Impact,
    typer.Option(
        "--impact",
        metavar="low|normal|max",
        help="How much of the server's time to take from others.",
    ),
]
