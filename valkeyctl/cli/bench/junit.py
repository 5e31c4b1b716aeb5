"""A load run as JUnit XML: one case for each gate, and one for each arm's answers.

A gate that could not be decided is an ``error``, JUnit's word for a test that could not be
carried out. As ``skipped`` a CI server would show it in grey and call the build good, and
a benchmark that can say nothing must not look like one that passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from valkeyctl.ops.junit import Result, results_xml

if TYPE_CHECKING:
    from valkeyctl.bench.compare import RunComparison
    from valkeyctl.bench.gate import Gate, Verdict
    from valkeyctl.bench.report import Report
    from valkeyctl.errors import ValkeyctlError

RUN_SUITE, COMPARE_SUITE = "valkeyctl.bench", "valkeyctl.bench.compare"


def run_junit(found: Report, verdicts: Sequence[Verdict]) -> str:
    """Return the cases of a finished run, as the text of a JUnit XML file."""
    from valkeyctl.bench.gatemetrics import wrong_answers

    arms = []
    for arm in found.arms:
        wrong, sent = wrong_answers(arm), arm.sent
        text = f"{wrong:,} of {sent:,} requests had no right answer" if wrong else ""
        if wrong and arm.first_error:
            text += f"; the first: {arm.first_error}"
        arms.append(Result(f"answers of arm {arm.name}", "failed" if text else "passed", text))
    why = found.refused or (f"the run is incomplete: {found.incomplete}" * bool(found.incomplete))
    whole = Result("the run", "error" if why else "passed", why)
    return results_xml(RUN_SUITE, [whole, *arms, *gate_results(verdicts)])


def gate_results(verdicts: Sequence[Verdict]) -> list[Result]:
    """Return a case for each gate."""
    return [
        Result(
            f"gate {verdict.expression}",
            "error" if verdict.outcome == "inconclusive" else verdict.outcome,
            "" if verdict.outcome == "passed" else verdict.text,
        )
        for verdict in verdicts
    ]


def comparison_junit(found: RunComparison, verdicts: Sequence[Verdict]) -> str:
    """Return the cases of a comparison of runs, as the text of a JUnit XML file."""
    why = found.refused or found.incomplete
    whole = Result("the comparison", "error" if why else "passed", why)
    return results_xml(COMPARE_SUITE, [whole, *gate_results(verdicts)])


def failed_junit(suite: str, gates: Sequence[Gate], error: ValkeyctlError) -> str:
    """Return the cases of a run that gave nothing to judge, because of *error*."""
    text = f"{error}" + (f". {error.hint}" if error.hint else "")
    cases = [Result("the run", "error", text)]
    cases += [Result(f"gate {gate.expression}", "error", f"not judged: {error}") for gate in gates]
    return results_xml(suite, cases)
