"""Right answers, wrong answers, and counters of the origin."""

from __future__ import annotations

import json
import time

import pytest

from valkeyctl.bench.load.answers import Judge, complaint, origin_calls
from valkeyctl.bench.traffic.scenario import Expectation
from valkeyctl.bench.traffic.stream import Request


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
        (500, b"[" * 100_000, "HTTP 500"),
        (500, b"[1]", "HTTP 500"),
    ],
)
def test_the_same_fault_has_the_same_words(status: int, body: bytes, said: str | None) -> None:
    """What differs in every answer, such as a request id, is left out."""
    assert complaint(status, body, Expectation(contains='"choices"')) == said


@pytest.mark.parametrize(
    ("expect", "body", "said"),
    [
        (Expectation(min_bytes=3), b"abc", None),
        (Expectation(min_bytes=4), b"abc", "it has less than 4 bytes"),
        (Expectation(max_bytes=3), b"abc", None),
        (Expectation(max_bytes=0), b"", None),
        (Expectation(max_bytes=2), b"abc", "it has more than 2 bytes"),
        (Expectation(matches="b.$"), b"abc", None),
        (Expectation(matches="^b"), b"abc", "it does not match ^b"),
        (Expectation(matches="\u00e4"), "k\u00e4se".encode(), None),
        (Expectation(contains="item 7", said="item {key}"), b"x", "it does not hold item {key}"),
        (Expectation(json=(("a", "1"),)), b"{", "it is not JSON"),
        (Expectation(json=(("a", "1"),)), b"\xff\xfe", "it is not JSON"),
        (Expectation(json=(("a", "1"),)), b"[" * 100_000, "it is not JSON"),
        (Expectation(json=(("a", "1"),)), b"[]", "it has no a"),
        (Expectation(json=(("a.b.1", '"x"'),)), b'{"a": {"b": [0, "x"]}}', None),
        (Expectation(json=(("a.b.2", "1"),)), b'{"a": {"b": [0, 1]}}', "it has no a.b.2"),
        (Expectation(json=(("a.b", "1"),)), b'{"a": "b"}', "it has no a.b"),
        (Expectation(json=(("a", "1"),)), b'{"a": 2}', "its a is not the expected one"),
        (Expectation(json=(("a", "1"),)), b'{"a": 1.0}', None),
        (Expectation(json=(("a", "1"),)), b'{"a": true}', "its a is not the expected one"),
        (Expectation(json=(("a", "true"),)), b'{"a": 1}', "its a is not the expected one"),
        (Expectation(json=(("a", '"1"'),)), b'{"a": 1}', "its a is not the expected one"),
        (Expectation(json=(("a", "null"),)), b'{"a": null}', None),
        (Expectation(json=(("a", '[1, {"b": true}]'),)), b'{"a": [1, {"b": true}]}', None),
        (Expectation(json=(("a", '[1, {"b": true}]'),)), b'{"a": [1, {"b": 1}]}', "its a is not"),
        (Expectation(json=(("a", "[1]"),)), b'{"a": [1, 2]}', "its a is not the expected one"),
        (Expectation(json=(("a", "{}"),)), b'{"a": {"b": 1}}', "its a is not the expected one"),
        (Expectation(json=(("a", "1"), ("b", "2"))), b'{"a": 1, "b": 3}', "its b is not"),
    ],
)
def test_a_wrong_body_is_said_without_what_differs_by_key(
    expect: Expectation, body: bytes, said: str | None
) -> None:
    """Sizes, text, patterns and JSON values; true is no 1, and 1 is 1.0."""
    found = complaint(200, body, expect)

    assert found is None if said is None else found and found.startswith(f"wrong answer: {said}")


def test_the_allowed_statuses_replace_the_usual_ones() -> None:
    """A scenario may ask for what is not there."""
    expect = Expectation(status=(404, 410))

    assert complaint(404, b"", expect) is None
    assert complaint(200, b"", expect) == "HTTP 200"


def test_a_pattern_cannot_hold_the_load_up() -> None:
    """A search that would take years is an answer that could not be judged."""
    began = time.monotonic()

    said = complaint(200, b"a" * 5000 + b"b", Expectation(matches="(a+)+$"))

    assert said == "wrong answer: (a+)+$ took more than 0.1 s to look for"
    assert time.monotonic() - began < 5


def test_nothing_but_the_status_costs_nothing() -> None:
    """A body that nobody asks about is not looked at."""

    class Body(bytes):
        def __len__(self) -> int:
            raise AssertionError("it was looked at")

    assert complaint(200, Body(), Expectation()) is None


def asked(key: int, *, kind: int = 0, same: bool = True) -> Request:
    """Return a request for *key*."""
    return Request(0, key, kind, "GET", "/", b"", (), Expectation(same_for_key=same))


def test_every_answer_for_a_key_must_be_its_first() -> None:
    """Byte for byte, in whatever arm; the answers of two keys may differ, and so may kinds."""
    judge = Judge()

    assert judge.complaint(asked(1), 200, b"one") is None
    assert judge.complaint(asked(2), 200, b"two") is None
    assert judge.complaint(asked(1, kind=1), 200, b"other") is None
    assert judge.complaint(asked(1), 200, b"one") is None
    said = judge.complaint(asked(1), 200, b"two")
    assert said == "wrong answer: not the first one for its key"
    assert judge.complaint(asked(1, same=False), 200, b"two") is None


def test_a_wrong_answer_is_no_first_one() -> None:
    """An error page is nothing that later answers are held against."""
    judge = Judge()

    assert judge.complaint(asked(1), 500, b"oops") == "HTTP 500"
    assert judge.complaint(asked(1), 200, b"one") is None
    assert judge.complaint(asked(1), 500, b"one") == "HTTP 500"


def test_a_judge_remembers_so_many_keys() -> None:
    """Memory has a bound; further keys are not compared."""
    judge = Judge(most=1)
    judge.complaint(asked(1), 200, b"one")
    judge.complaint(asked(2), 200, b"two")

    assert judge.complaint(asked(2), 200, b"other") is None
    assert judge.complaint(asked(1), 200, b"other") is not None


def test_what_a_request_expects_is_judged_from_its_words() -> None:
    """As the stream fills it in: JSON text for each path."""
    expect = Expectation(json=(("key", json.dumps('a"b')),))

    assert complaint(200, json.dumps({"key": 'a"b'}).encode(), expect) is None


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


def test_sizes_are_those_of_the_whole_answer() -> None:
    """Of a long answer only the beginning is kept, and it is no shorter for that."""
    kept = b"x" * 10

    assert complaint(200, kept, Expectation(min_bytes=50, max_bytes=50), 50) is None
    said = complaint(200, kept, Expectation(max_bytes=49), 50)
    assert said == "wrong answer: it has more than 49 bytes"
    said = complaint(200, kept, Expectation(min_bytes=51), 50)
    assert said == "wrong answer: it has less than 51 bytes"


def test_a_long_answer_is_not_called_wrong_for_what_was_not_kept() -> None:
    """It says that it was not looked at, and not that it is no JSON."""
    kept = b'{"ok": true, "text": "'
    cut = f"not checked: of a longer answer only the first {len(kept)} bytes are looked at"

    assert complaint(200, kept, Expectation(json=(("ok", "true"),)), 99) == cut
    assert complaint(200, kept, Expectation(contains="end"), 99) == cut
    assert complaint(200, kept, Expectation(contains="ok"), 99) is None
    assert complaint(200, kept, Expectation(contains="end")) != cut


def test_answers_with_one_beginning_are_told_apart_by_their_length() -> None:
    """As the rest of a long one was not kept."""
    judge = Judge()

    assert judge.complaint(asked(1), 200, b"begin", 50) is None
    assert judge.complaint(asked(1), 200, b"begin", 50) is None
    assert judge.complaint(asked(1), 200, b"begin", 60) is not None
