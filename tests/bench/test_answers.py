"""Right answers, wrong answers, and counters of the origin."""

from __future__ import annotations

import pytest

from valkeyctl.bench.answers import complaint, origin_calls


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b'{"choices": []}', None),
        (200, b'{"error": "x"}', 'wrong answer: it does not hold "choices"'),
        (200, b"", 'wrong answer: it does not hold "choices"'),
        (302, b"", "HTTP 302"),
        (503, b"<html>", "HTTP 503"),
        (502, b'{"error": {"message": "no upstream", "request_id": "1"}}', "HTTP 502: no upstream"),
        (500, b'{"error": "boom"}', "HTTP 500: boom"),
        (500, b'{"error": {"message": 5}}', "HTTP 500"),
    ],
)
def test_the_same_fault_has_the_same_words(status: int, body: bytes, said: str | None) -> None:
    """What differs in every answer, such as a request id, is left out."""
    assert complaint(status, body, b'"choices"') == said


def test_origin_calls_are_summed_over_labels() -> None:
    """Other counters, comments and time stamps do not disturb."""
    text = (
        "# HELP valkeyctl_origin_calls_total x\n"
        'valkeyctl_origin_calls_total{upstream="a b"} 11913.0\n'
        "valkeyctl_origin_calls_total 1.5e3 1700000000\n"
        "valkeyctl_origin_calls_total_created 99\n"
        "my_valkeyctl_origin_calls_total 7\n"
    )

    assert origin_calls(text) == 13413
    assert origin_calls("up 1\n") is None
