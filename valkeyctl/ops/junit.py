"""JUnit XML, which every CI shows as a list of tests."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from valkeyctl.ops.smoke import Case

# Everything but tab, newline, return and the characters that XML 1.0 allows.
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(suite: str, cases: Sequence[Case]) -> str:
    """Return *cases* as the text of a JUnit XML file, to be written as UTF-8.

    Args:
        suite: Name of the suite, and class name of its cases.
        cases: What was run, in order.
    """
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(not case.passed for case in cases)),
        "errors": "0",
        "skipped": "0",
        "time": f"{sum(case.seconds for case in cases):.3f}",
    }
    root = ET.Element("testsuites", counts)
    group = ET.SubElement(root, "testsuite", {"name": _legal(suite), **counts})
    for case in cases:
        facts = {"name": _legal(case.name), "classname": _legal(suite)}
        element = ET.SubElement(group, "testcase", {**facts, "time": f"{case.seconds:.3f}"})
        if not case.passed:
            failure = ET.SubElement(element, "failure", {"message": _legal(case.message)})
            failure.text = _legal(case.message)
    ET.indent(root)
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return f"{head}{ET.tostring(root, encoding='unicode')}\n"


def _legal(text: str) -> str:
    """Return *text* with what no XML file may hold, escaped or not, replaced."""
    return _ILLEGAL.sub("\ufffd", text)
