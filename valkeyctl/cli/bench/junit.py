"""A load run as JUnit XML: one case for each gate, and one for each arm's answers.

A gate that could not be decided is an ``error``, JUnit's word for a test that could not be
carried out. As ``skipped`` a CI server would show it in grey and call the build good, and
a benchmark that can say nothing must not look like one that passed.

CI servers add up the times of the cases. So an arm has those of its own blocks, the case of
the run all the rest of it (starting, warming up, reporting), and a gate, which is judged by
what the others measured, none.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from valkeyctl.ops.junit import Outcome, Result, results_xml

if TYPE_CHECKING:
    from valkeyctl.bench.compare import RunComparison
    from valkeyctl.bench.gate import Gate, Verdict
    from valkeyctl.bench.report import Report
    from valkeyctl.errors import ValkeyctlError

RUN_SUITE, COMPARE_SUITE = "valkeyctl.bench", "valkeyctl.bench.compare"


def run_junit(found: Report, verdicts: Sequence[Verdict]) -> str:
    """Return the cases of a finished run, as the text of a JUnit XML file."""
    from valkeyctl.bench.gatemetrics import wrong_answers

    loads = [
        sum(stage.end - stage.begin for stage in found.source.stages if stage.arm == number)
        for number in range(len(found.arms))
    ]
    arms = []
    for arm, seconds in zip(found.arms, loads, strict=True):
        wrong, sent = wrong_answers(arm), arm.sent
        text = f"{wrong:,} of {sent:,} requests had no right answer" if wrong else ""
        if wrong and arm.first_error:
            text += f"; the first: {arm.first_error}"
        outcome: Outcome = "failed" if text else "passed"
        arms.append(Result(f"answers of arm {arm.name}", outcome, text, seconds))
    why = found.refused or (f"the run is incomplete: {found.incomplete}" * bool(found.incomplete))
    rest = max(0.0, _lasted(found) - sum(loads))
    whole = Result("the run", "error" if why else "passed", why, rest)
    return results_xml(RUN_SUITE, [whole, *arms, *gate_results(verdicts)])


def _lasted(found: Report) -> float:
    """Return how long the run took, in seconds; 0 where it does not say, as when killed."""
    try:
        begin, end = (datetime.fromisoformat(str(found.facts[key])) for key in ("started", "ended"))
    except (KeyError, ValueError):
        return 0.0
    return (end - begin).total_seconds()


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


def comparison_junit(found: RunComparison, verdicts: Sequence[Verdict], seconds: float) -> str:
    """Return the cases of a comparison of runs, as the text of a JUnit XML file.

    Args:
        found: The comparison.
        verdicts: Of the gates.
        seconds: That it took.
    """
    why = found.refused or found.incomplete
    whole = Result("the comparison", "error" if why else "passed", why, seconds)
    arms = [
        Result(f"answers of arm {arm}", "failed", f"{errors:,} requests had no right answer")
        for arm, errors in found.failed.items()
    ]
    return results_xml(COMPARE_SUITE, [whole, *arms, *gate_results(verdicts)])


def failed_junit(
    suite: str, gates: Sequence[Gate], error: ValkeyctlError, seconds: float = 0.0
) -> str:
    """Return the cases of a run that gave nothing to judge, because of *error*.

    *seconds* passed until it did.
    """
    text = f"{error}" + (f". {error.hint}" if error.hint else "")
    cases = [Result("the run", "error", text, seconds)]
    cases += [Result(f"gate {gate.expression}", "error", f"not judged: {error}") for gate in gates]
    return results_xml(suite, cases)
