"""One thing that was looked at on a machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Verdict: TypeAlias = Literal["ok", "warn", "fail"]
Area: TypeAlias = Literal["kernel", "podman", "server", "machine", "profile"]


@dataclass(frozen=True)
class Finding:
    """What was found of one setting, tool or resource.

    Attributes:
        area: Which part of the machine it belongs to.
        name: Of what was looked at.
        value: What was seen.
        expected: What it should be.
        verdict: ``fail`` means that a deployment will not work or may lose data,
            ``warn`` that it works less well than it could.
        why: Why it matters, as a sentence.
        fix: A command or a step that mends it; empty where there is nothing to mend.
    """

    area: Area
    name: str
    value: str
    expected: str
    verdict: Verdict
    why: str
    fix: str = ""
