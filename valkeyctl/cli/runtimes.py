"""The ``--runtime`` option."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class RuntimeChoice(StrEnum):
    """Where a server runs."""

    AUTO = "auto"
    PODMAN = "podman"
    PROCESS = "process"


RuntimeName = Annotated[
    RuntimeChoice | None,
    typer.Option(
        "--runtime", help="Podman, or an embedded process; auto takes Podman where it works."
    ),
]
