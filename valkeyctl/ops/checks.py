"""What a probe finds: checks with a verdict each, and where the verdicts turn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from valkeyctl.ops.topology.picture import TopologyView

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Thresholds:
    """From where on a value is worth a warning, or is a failure.

    Attributes:
        ping_warn_ms: Median of the pings, in milliseconds.
        ping_fail_ms: Median of the pings, in milliseconds.
        memory_warn: Share of maxmemory in use, 0 to 1, where nothing can be evicted.
        pings: How many to send, at least 1.
        certificate_warn_days: Days before the end of a server's certificate.
        lag_warn_bytes: How far a replica may be behind its primary.
        lag_fail_bytes: Likewise; None never fails, for a replica that is behind stops
            no traffic.
        lag_warn_s: Seconds since a replica's last acknowledgement, which comes each second.
        lag_fail_s: Likewise; None never fails.
    """

    ping_warn_ms: float = 5.0
    ping_fail_ms: float = 100.0
    memory_warn: float = 0.85
    pings: int = 5
    certificate_warn_days: float = 30
    lag_warn_bytes: float = 1024 * 1024
    lag_fail_bytes: float | None = None
    lag_warn_s: float = 5.0
    lag_fail_s: float | None = None


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: ``ping``, ``write_read``, ``quorum``, ...
        value: What was seen.
        threshold: What is expected.
        verdict: ``fail`` means that it cannot take traffic, or that nothing would bring
            it back by itself after the next fault; ``warn`` that an operator should look.
        detail: More, for a person; may be empty.
    """

    name: str
    value: str
    threshold: str
    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True)
class HealthReport:
    """All checks of one probe.

    Attributes:
        address: Where it was asked.
        checks: In the order in which they are shown.
        elapsed_ms: Milliseconds that the probe took.
        view: The nodes that were found; None for one server.
    """

    address: str
    checks: tuple[Check, ...] = field(default_factory=tuple)
    elapsed_ms: float = 0.0
    view: TopologyView | None = None

    @property
    def healthy(self) -> bool:
        """Whether no check has failed; warnings do not count."""
        return all(check.verdict != "fail" for check in self.checks)


STANDARD = Thresholds()
_GRAVITY: dict[Verdict, int] = {"ok": 0, "warn": 1, "fail": 2}


def gravity(check: Check) -> int:
    """Return a number that is the greater, the worse the verdict is."""
    return _GRAVITY[check.verdict]
