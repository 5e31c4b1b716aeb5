"""What the gateway takes for a chat request."""

from __future__ import annotations

import json

import pytest

from tests.gateway.asking import question
from valkeyctl.gateway.failures import RequestFailure
from valkeyctl.gateway.schemas import read_chat


def encoded(**fields: object) -> bytes:
    return json.dumps(question(**fields)).encode()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"", "invalid_json", None),
        (b"{", "invalid_json", None),
        (b"[]", "invalid_json", None),
        (b'"text"', "invalid_json", None),
        (b'{"model": NaN}', "invalid_json", None),
        (b'{"model": "\xff"}', "invalid_json", None),
        ('{"model": "m"}'.encode("utf-16"), "invalid_json", None),
        (b"\xef\xbb\xbf{}", "invalid_json", None),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "invalid_json", None),
        (b'{"n": ' + b"9" * 5000 + b"}", "invalid_json", None),
        (b"{}", "invalid_value", "model"),
        (b'{"model": ""}', "invalid_value", "model"),
        (b'{"model": 5}', "invalid_value", "model"),
        (b'{"model": "m"}', "invalid_value", "messages"),
        (b'{"model": "m", "messages": []}', "invalid_value", "messages"),
        (b'{"model": "m", "messages": ["hi"]}', "invalid_value", "messages[0]"),
        (b'{"model": "m", "messages": [{"content": "hi"}]}', "invalid_value", "messages[0]"),
        (encoded(stream="yes"), "invalid_value", "stream"),
        (encoded(stream=1), "invalid_value", "stream"),
        (encoded(max_tokens="5"), "invalid_value", "max_tokens"),
        (encoded(max_tokens=True), "invalid_value", "max_tokens"),
        (encoded(max_tokens=0), "invalid_value", "max_tokens"),
        (encoded(max_tokens=1.5), "invalid_value", "max_tokens"),
        (encoded(n="2"), "invalid_value", "n"),
        (encoded(stream_options=[]), "invalid_value", "stream_options"),
        (
            encoded(stream_options={"include_usage": "x"}),
            "invalid_value",
            "stream_options.include_usage",
        ),
        (encoded(user=7), "invalid_value", "user"),
    ],
    ids=range(27),
)
def test_a_malformed_request_is_refused_by_name(body: bytes, code: str, param: str | None) -> None:
    """The answer is 400 and says which field is wrong."""
    with pytest.raises(RequestFailure) as caught:
        read_chat(body)

    assert (caught.value.status, caught.value.code, caught.value.param) == (400, code, param)


def test_an_error_never_repeats_the_body() -> None:
    """A prompt must not come back in an error message, which may be logged."""
    with pytest.raises(RequestFailure) as caught:
        read_chat(b'{"model": "m", "secret prompt": }')

    assert "secret" not in caught.value.message


def test_fields_that_the_gateway_does_not_know_pass() -> None:
    """A provider's new field needs no new gateway."""
    chat = read_chat(encoded(brand_new={"deep": [1, None]}, tools=[]))

    assert chat.document["brand_new"] == {"deep": [1, None]}


def test_null_means_not_given() -> None:
    """Client libraries send null for what their caller left out."""
    chat = read_chat(encoded(stream=None, max_tokens=None, n=None, stream_options=None, user=None))

    assert (chat.stream, chat.max_tokens, chat.choices, chat.user) == (False, None, 1, "")


def test_the_newer_name_of_the_bound_wins() -> None:
    """max_completion_tokens replaced max_tokens; where both are sent it counts."""
    assert read_chat(encoded(max_tokens=5, max_completion_tokens=7)).max_tokens == 7
    assert read_chat(encoded(max_tokens=5)).max_tokens == 5


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "m", "model": "n", "messages": [{"role": "user", "content": "x"}]}',
        b'{"model": "m", "messages": [{"role": "user", "role": "system", "content": "x"}]}',
    ],
)
def test_a_name_that_stands_twice_makes_a_request_ambiguous(body: bytes) -> None:
    """Parsers disagree about which value counts, on the top level and below."""
    assert read_chat(body).ambiguous
    assert not read_chat(encoded()).ambiguous
