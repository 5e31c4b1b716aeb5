"""JUnit XML that any CI can read."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from valkeyctl.ops.junit import junit_xml
from valkeyctl.ops.smoke import Case


def test_cases_become_tests() -> None:
    """Counts, times and the reason of a failure are where a CI looks for them."""
    text = junit_xml(
        "valkeyctl.smoke", [Case("a", True, 0.5), Case("b", False, 0.25, '1 < 2 & "x"')]
    )

    root = ET.fromstring(text)  # noqa: S314 - our own text

    suite = root.find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("time")) == ("2", "1", "0.750")
    first, second = suite.findall("testcase")
    assert (first.get("classname"), first.get("name")) == ("valkeyctl.smoke", "a")
    assert first.find("failure") is None
    failure = second.find("failure")
    assert failure is not None
    assert failure.get("message") == failure.text == '1 < 2 & "x"'
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n')


@given(st.text(st.characters(codec=None)))
def test_any_message_gives_xml(message: str) -> None:
    """Control characters and lone surrogates of a server's answer break no report."""
    text = junit_xml("s", [Case("c", False, 0.0, message)])

    assert ET.fromstring(text.encode("utf-8")).find(".//failure") is not None  # noqa: S314
