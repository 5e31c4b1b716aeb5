"""JUnit XML, which every CI shows as a list of tests."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from valkeyctl.ops.smoke import Case

Outcome = Literal["passed", "failed", "error"]

# Everything but tab, newline, return and the characters that XML 1.0 allows.
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ELEMENTS = {"failed": "failure", "error": "error"}


@dataclass(frozen=True)
class Result:
    """One test of a suite.

    Attributes:
        name: What was tested.
        outcome: ``error`` is a test that could not be carried out, or not be decided.
        message: Why it did not pass; empty when it did.
        seconds: That it took.
    """

    name: str
    outcome: Outcome
    message: str = ""
    seconds: float = 0.0


def junit_xml(suite: str, cases: Sequence[Case]) -> str:
    """Return the smoke checks *cases* as the text of a JUnit XML file; see `results_xml`."""
    return results_xml(
        suite,
        [
            Result(case.name, "passed" if case.passed else "failed", case.message, case.seconds)
            for case in cases
        ],
    )


def results_xml(suite: str, results: Sequence[Result]) -> str:
    """Return *results* as the text of a JUnit XML file, to be written as UTF-8.

    Args:
        suite: Name of the suite, and class name of its cases.
        results: What was tested, in order.
    """
    outcomes = [result.outcome for result in results]
    counts = {
        "tests": str(len(results)),
        "failures": str(outcomes.count("failed")),
        "errors": str(outcomes.count("error")),
        "skipped": "0",
        "time": f"{sum(result.seconds for result in results):.3f}",
    }
    root = ET.Element("testsuites", counts)
    group = ET.SubElement(root, "testsuite", {"name": _legal(suite), **counts})
    for result in results:
        facts = {"name": _legal(result.name), "classname": _legal(suite)}
        element = ET.SubElement(group, "testcase", {**facts, "time": f"{result.seconds:.3f}"})
        if result.outcome != "passed":
            message = _legal(result.message)
            ET.SubElement(element, _ELEMENTS[result.outcome], {"message": message}).text = message
    ET.indent(root)
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return f"{head}{ET.tostring(root, encoding='unicode')}\n"


def _legal(text: str) -> str:
    """Return *text* with what no XML file may hold, escaped or not, replaced."""
    return _ILLEGAL.sub("\ufffd", text)
