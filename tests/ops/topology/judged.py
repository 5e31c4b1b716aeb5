"""What tests of a topology's health ask for: one check by its name, as soon as it is so."""

from __future__ import annotations

from collections.abc import Mapping

from tests.caching.deployments import until
from valkeyctl.endpoint import Endpoint
from valkeyctl.ops.checks import STANDARD, Check, HealthReport, Thresholds
from valkeyctl.ops.health import probe

DEADLINE = 2.0
# Without a maxmemory every server of a test has a warning, which is not what is tested.
USUAL = {"memory": "warn"}


def judged(report: HealthReport, name: str) -> Check:
    """Return the check of *report* that is called *name*."""
    return next(check for check in report.checks if check.name == name)


def verdicts(report: HealthReport) -> dict[str, str]:
    """Return the verdicts that are not ok, by the name of their check."""
    found = {check.name: str(check.verdict) for check in report.checks if check.verdict != "ok"}
    return {name: verdict for name, verdict in found.items() if USUAL.get(name) != verdict}


def failing(report: HealthReport) -> list[Check]:
    """Return the checks of *report* that keep it from being healthy; for `assert == []`."""
    return [check for check in report.checks if check.verdict == "fail"]


def report_with(
    endpoint: Endpoint,
    wanted: Mapping[str, str],
    *,
    only: bool = False,
    naming: tuple[str, str] = ("", ""),
    deadline: float = DEADLINE,
    thresholds: Thresholds = STANDARD,
) -> HealthReport:
    """Return the first report whose verdicts include *wanted*.

    Nodes that must miss an answer within half a second hold each other for down for a
    moment when this machine is busy, so that a single look proves little.

    Args:
        endpoint: Whose health.
        wanted: Verdicts by the name of their check.
        only: Whether no other check may have something to say.
        naming: A check, and what its detail holds.
        deadline: Seconds for each look.
        thresholds: For each look.
    """
    reports: list[HealthReport] = []

    def holds() -> bool:
        reports.append(probe(endpoint, app="t", deadline=deadline, thresholds=thresholds))
        found = {check.name: str(check.verdict) for check in reports[-1].checks}
        same = not only or verdicts(reports[-1]) == dict(wanted)
        named = not naming[0] or naming[1] in judged(reports[-1], naming[0]).detail
        return same and named and wanted.items() <= found.items()

    try:
        until(holds, 20, f"health says {dict(wanted)}")
    except AssertionError as error:
        said = [check for check in reports[-1].checks if check.verdict != "ok"] if reports else ()
        raise AssertionError(f"{error}; it says {said}") from error
    return reports[-1]


def healthy_again(endpoint: Endpoint) -> None:
    """Wait until nothing at all is the matter."""
    report_with(endpoint, {}, only=True)
